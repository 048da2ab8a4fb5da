"""A slice in pieces: consecutive ranges of its time, each of which fits into memory where the slice does not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.cells import CELL, add_counts, count_cells, to_cells
from network_anomalies.detection.scoring.columns import MINUTE, Coded, encode_events
from network_anomalies.detection.scoring.context import CONTEXT_COLUMNS, count_minutes
from network_anomalies.detection.scoring.summary import Summary
from network_anomalies.detection.scoring.tally import (
    Surroundings,
    merge_tallies,
    summarise_tally,
    surround_hours,
    tally,
)

Piece = Callable[[], pd.DataFrame]
"""Reads the events of a piece: all events of a slice from one instant to another."""


@dataclass
class Stretches:
    """Pieces that have a minute in common, in order; a piece of whole minutes is alone.

    What is counted by minute needs the pieces of one stretch only, so it never takes the memory of an hour.
    """

    pieces: list[list[Piece]] = field(default_factory=list)
    last: int = -1

    def add(self, piece: Piece, coded: Coded) -> None:
        """Add the next piece; one without events is left out."""
        if len(coded) == 0:
            return
        if self.pieces and self.last == coded.micros.min() // MINUTE:
            self.pieces[-1].append(piece)
        else:
            self.pieces.append([piece])
        self.last = int(coded.micros.max() // MINUTE)


def describe_pieces(pieces: Sequence[Piece]) -> tuple[Iterator[pd.DataFrame], Summary]:
    """Return the events of a slice with their context columns, and the summary of the slice.

    Each piece is read twice: for what it tells of its hours, which is done when this returns, and when its turn comes.

    Args:
        pieces: in order of time; two neighbours may share an instant. A function may be called several times.

    Returns:
        The events piece by piece, without empty pieces, and the summary. Both are what ``describe_slice`` returns for
        all events at once, except for the last digits of sums and moments.
    """
    stretches = Stretches()
    whole = merge_tallies(tally(coded) for coded in _encode_pieces(pieces, stretches))
    return _add_context(stretches.pieces, surround_hours(whole)), summarise_tally(whole)


def summarise_pieces(pieces: Sequence[Piece]) -> Summary:
    """Summarise a slice in pieces, which are in order of time."""
    return summarise_tally(merge_tallies(tally(encode_events(piece())) for piece in pieces))


def _encode_pieces(pieces: Sequence[Piece], stretches: Stretches) -> Iterator[Coded]:
    for piece in pieces:
        coded = encode_events(piece())
        stretches.add(piece, coded)
        yield coded


def _add_context(stretches: Sequence[Sequence[Piece]], hours: Surroundings) -> Iterator[pd.DataFrame]:
    for stretch in stretches:
        shared = surround_minutes(stretch) if len(stretch) > 1 else None
        for piece in stretch:
            events = piece()
            coded = encode_events(events)
            yield events.assign(**_list_context(coded, hours, shared))


def surround_minutes(stretch: Sequence[Piece]) -> Surroundings:
    """Return the context columns of minutes, from all pieces of a stretch."""
    tables = [count_cells(encode_events(piece()), MINUTE) for piece in stretch]
    cells = to_cells(add_counts(tables, CELL), MINUTE)
    return Surroundings(cells, count_minutes(cells))


def _list_context(coded: Coded, hours: Surroundings, shared: Surroundings | None) -> Mapping[str, np.ndarray]:
    minutes = shared.spread(coded) if shared else count_minutes(coded)
    context = {"size_bin": coded.size_bin.astype(np.int32)} | hours.spread(coded) | minutes
    return {name: context[name] for name in CONTEXT_COLUMNS}
