"""Survey: what all pieces of a slice tell that its flows are judged by, and the levels of each piece beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.cells import (
    CELL,
    Cells,
    add_counts,
    count_cells,
    find_cells,
    find_places,
    merge_in_turn,
    recode,
    to_cells,
)
from network_anomalies.detection.scoring.columns import MINUTE, SERVICES, Coded, encode_events
from network_anomalies.detection.scoring.groups import group_rows
from network_anomalies.detection.scoring.history import History
from network_anomalies.detection.scoring.levels import (
    KeyLevels,
    judge_flows,
    judge_keys,
    judge_services,
    level_new_in_minute,
)
from network_anomalies.detection.scoring.model import prepare
from network_anomalies.detection.scoring.pieces import Piece, Stretches
from network_anomalies.detection.scoring.tally import SERVICE, Surroundings, count_service_flows


@dataclass(frozen=True)
class Survey:
    """What all pieces of a slice tell.

    Attributes:
        cells: its flows by cells of the history's blocks of time.
        keys: levels of the cells, and what else their keys say.
        services: ``flows`` per conversation-hour and port, see ``tally.SERVICE``.
        ports: per cell, how many ports of its destination the source uses in the hour.
        stretches: the pieces, see ``Stretches``.
    """

    cells: Cells
    keys: KeyLevels
    services: pd.DataFrame
    ports: np.ndarray
    stretches: Sequence[Sequence[Piece]]


@dataclass(frozen=True)
class JudgedPiece:
    """A piece of a slice: its events, the cell of each of them, and levels of what the cells do not tell."""

    events: pd.DataFrame
    coded: Coded
    cells: np.ndarray
    levels: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Counts:
    cells: pd.DataFrame
    services: pd.DataFrame

    def __len__(self) -> int:
        return len(self.cells) + len(self.services)


def survey_pieces(pieces: Sequence[Piece], history: History, inside: bool) -> Survey:
    """Read all pieces of a slice once, and return what they tell together.

    Args:
        pieces: in order of time, with context columns.
        history: what is familiar.
        inside: whether these events are part of the history, see ``compute_levels``.
    """
    stretches = Stretches()
    block = history.block.micros
    counts = merge_in_turn((_count(piece, stretches, block) for piece in pieces), _merge)
    cells = to_cells(counts.cells, block)
    sizes = {"destination": cells.destination_hours, "pair": cells.pair_hours}
    hours = {f"{name}_flows_hour": groups.sizes[groups.codes] for name, groups in sizes.items()}
    keys = judge_keys(cells, hours, history, inside)
    return Survey(cells, keys, counts.services, _count_ports(cells, counts.services), stretches.pieces)


def judge_pieces(survey: Survey, history: History) -> Iterator[JudgedPiece]:
    """Yield the pieces of a surveyed slice with the levels that cells do not tell; empty ones are left out."""
    for stretch in survey.stretches:
        shared = _judge_minutes(stretch, survey) if len(stretch) > 1 else None
        for piece in stretch:
            events = piece()
            coded, context = prepare(events)
            at = find_cells(survey.cells, coded)
            minute = shared.spread(coded) if shared else level_new_in_minute(coded, survey.keys.new[at])
            services = judge_services(coded, history, survey.ports[at])
            yield JudgedPiece(
                events, coded, at, {**minute, **judge_flows(coded, context, survey.keys.lone[at]), **services}
            )


def _count(piece: Piece, stretches: Stretches, block_micros: int) -> _Counts:
    coded = encode_events(piece())
    stretches.add(piece, coded)
    return _Counts(count_cells(coded, block_micros), count_service_flows(coded))


def _merge(parts: Sequence[_Counts]) -> _Counts:
    cells, services = [part.cells for part in parts], [part.services for part in parts]
    return _Counts(add_counts(cells, CELL), add_counts(services, SERVICE)) if len(parts) > 1 else parts[0]


def _judge_minutes(stretch: Sequence[Piece], survey: Survey) -> Surroundings:
    """Return levels of what is counted by minute, from all pieces of a stretch."""
    tables = [count_cells(encode_events(piece()), MINUTE) for piece in stretch]
    minutes = to_cells(add_counts(tables, CELL), MINUTE)
    return Surroundings(minutes, level_new_in_minute(minutes, survey.keys.new[find_cells(survey.cells, minutes)]))


def _count_ports(cells: Cells, services: pd.DataFrame) -> np.ndarray:
    """Return, per cell, how many ports of its destination the source uses."""
    pair = cells.pair_hours
    known = [keys[pair.first] for keys in (cells.source, cells.destination, cells.hour)]
    names = {"src_ip": cells.sources, "dst_ip": cells.destinations, "hour": None}
    places = find_places(known, [recode(services[key], like) for key, like in names.items()])
    distinct = group_rows(places * SERVICES + services["service"].to_numpy())
    ports: np.ndarray = np.bincount(places[distinct.first], minlength=len(pair))[pair.codes]
    return ports
