"""A slice in pieces, judged: the conversation-hours of all pieces first, then the flows of each piece."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.raising import match_conversations, raise_matched
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.detection.rules.anomalies import FLAGGED, know_ends
from network_anomalies.detection.scoring.cells import find_places, recode
from network_anomalies.detection.scoring.features import FACETS
from network_anomalies.detection.scoring.model import Model, rank_facets
from network_anomalies.detection.scoring.piece_scores import average_pieces
from network_anomalies.detection.scoring.pieces import Piece
from network_anomalies.detection.scoring.summary import CONVERSATION, choose_services, sort_by_keys
from network_anomalies.detection.scoring.survey import JudgedPiece, Survey, survey_pieces

Keep = Callable[[pd.DataFrame], Callable[[], pd.DataFrame]]
"""Keeps a frame until the function that it returns reads it."""
FLOW_COLUMNS = [f"{name}_{place}" for place in (1, 2, 3) for name in ("facet", "surprise")]


@dataclass(frozen=True)
class JudgedTalks:
    """The conversation-hours of a slice in pieces, in the order of their keys.

    Attributes:
        talks: ``CONVERSATION``, ``flows``, and as ``raise_scores`` gives them ``score`` and ``finding``.
        flagged: those that ``flag_conversations`` returns.
    """

    talks: pd.DataFrame
    flagged: pd.DataFrame


class _Talks:
    """Gathers from the pieces of a slice what is said of its conversation-hours."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.groups = survey.cells.conversation_hours
        count = len(self.groups)
        self.log_bytes, self.facet = np.zeros(count), np.full(count, -1)
        self.first, self.last = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)

    def add(self, judged: JudgedPiece, facets: np.ndarray) -> np.ndarray:
        """Add a piece, and return the conversation-hour of each of its flows."""
        at, micros = self.groups.codes[judged.cells], judged.coded.micros
        self.log_bytes += np.bincount(at, judged.coded.log_bytes, len(self.groups))
        np.minimum.at(self.first, at, micros)
        np.maximum.at(self.last, at, micros)
        strongest = facets.argmax(axis=0)
        new = np.flatnonzero(self.facet[at] < 0)[::-1]
        self.facet[at[new]] = strongest[new]  # what is written last stays: of the first flow of the piece
        return np.asarray(at)

    def find_services(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return conversation-hour, port and flows of each row of the survey's services."""
        cells, services, first = self.survey.cells, self.survey.services, self.groups.first
        known = [keys[first] for keys in (cells.source, cells.destination, cells.protocol, cells.hour)]
        names = [cells.sources, cells.destinations, cells.protocols, None]
        wanted = [recode(services[key], like) for key, like in zip(CONVERSATION, names, strict=True)]
        return find_places(known, wanted), services["service"].to_numpy(), services["flows"].to_numpy()


def judge_talks(
    pieces: Sequence[Piece],
    model: Model,
    named: pd.DataFrame,
    has_past: bool,
    limits: DetectorLimits = DEFAULT_LIMITS,
    see: Callable[[JudgedPiece, np.ndarray, np.ndarray], None] | None = None,
) -> JudgedTalks:
    """Judge the conversation-hours of a slice; ``judge_slice`` says the same of whole slices, flow by flow.

    Args:
        pieces: of the slice, in order of time, with context columns.
        model: as ``judge_slice`` has it, like the next three.
        named: findings of the day.
        has_past: whether the model knows the days before and not this one.
        limits: of the detectors.
        see: is called with each piece, the facets of its flows, and the rows of ``talks`` that they belong to.
    """
    survey = survey_pieces(pieces, model.history, inside=False)
    gathered = _Talks(survey)
    cells, groups = survey.cells, gathered.groups
    order = np.lexsort([keys[groups.first] for keys in (cells.hour, cells.protocol, cells.destination, cells.source)])
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order))

    def look(judged: JudgedPiece, facets: np.ndarray) -> None:
        at = gathered.add(judged, facets)
        if see:
            see(judged, facets, place[at])

    score = average_pieces(survey, model, inside=False, see=look)[groups.first]
    talks = _list_talks(gathered, score)
    matched = _match(gathered, talks["size_mean"].to_numpy(), named, model if has_past else None)
    raised = raise_matched(talks[["score"]], matched, named, limits)
    judged = talks[[*CONVERSATION, "flows"]].assign(score=raised["score"], finding=raised["finding"])
    return JudgedTalks(judged.take(order).reset_index(drop=True), _flag(gathered, talks, model))


def judge_pieces_of_slice(
    pieces: Sequence[Piece],
    model: Model,
    named: pd.DataFrame,
    has_past: bool,
    limits: DetectorLimits,
    keep: Keep,
) -> tuple[Iterator[tuple[pd.DataFrame, pd.DataFrame]], pd.DataFrame]:
    """Return the events of each piece of a slice with their scores, and what the slice flags.

    The pieces are read three times, and a few numbers of each flow are kept in between: for what the pieces tell
    together, for what the flows say, and when their turn comes. The first two are done when this returns.

    Args:
        pieces: as ``judge_talks`` has it, like the next four.
        model: that scores.
        named: findings of the day.
        has_past: whether the model knows the days before and not this one.
        limits: of the detectors.
        keep: see ``Keep``; what it keeps takes about 20 bytes for each flow.
    """
    kept: list[Callable[[], pd.DataFrame]] = []

    def see(_: JudgedPiece, facets: np.ndarray, talk: np.ndarray) -> None:
        kept.append(keep(pd.DataFrame({"talk": talk} | _to_codes(rank_facets(facets)))))

    talks = judge_talks(pieces, model, named, has_past, limits, see)
    return _score_flows(pieces, talks.talks, kept), talks.flagged


def _score_flows(
    pieces: Sequence[Piece], talks: pd.DataFrame, kept: Sequence[Callable[[], pd.DataFrame]]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    reads = iter(kept)
    score, finding = talks["score"].to_numpy(), talks["finding"].cat
    for piece in pieces:
        events = piece()
        if events.empty:  # nothing was kept of it
            continue
        flows = next(reads)()
        at = flows["talk"].to_numpy()
        columns = {"score": score[at]} | {name: flows[name].to_numpy() for name in FLOW_COLUMNS}
        for name in FLOW_COLUMNS[::2]:
            columns[name] = pd.Categorical.from_codes(columns[name], list(FACETS))
        columns["finding"] = pd.Categorical.from_codes(finding.codes.to_numpy()[at], finding.categories)
        yield events, pd.DataFrame(columns, index=events.index)


def _to_codes(ranked: dict[str, pd.Categorical | np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values.codes if isinstance(values, pd.Categorical) else values for name, values in ranked.items()}


def _list_talks(gathered: _Talks, score: np.ndarray) -> pd.DataFrame:
    """Return the conversation-hours in the order of the survey."""
    cells, groups = gathered.survey.cells, gathered.groups
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(cells.source[groups.first], cells.sources),
            "dst_ip": pd.Categorical.from_codes(cells.destination[groups.first], cells.destinations),
            "protocol": pd.Categorical.from_codes(cells.protocol[groups.first], cells.protocols),
            "hour": cells.hour[groups.first],
            "flows": groups.sizes,
            "first": gathered.first,
            "last": gathered.last,
            "size_mean": gathered.log_bytes / groups.sizes,
            "score": score,
        }
    )


def _match(gathered: _Talks, log_bytes: np.ndarray, named: pd.DataFrame, past: Model | None) -> np.ndarray:
    at, services, flows = gathered.find_services()
    sizes = gathered.groups.sizes

    def share(service: int) -> np.ndarray:
        chosen = services == service
        shares: np.ndarray = np.bincount(at[chosen], flows[chosen], len(sizes)) / sizes
        return shares

    history = past.history if past else None
    return match_conversations(gathered.survey.cells, log_bytes, share, named, history)


def _flag(gathered: _Talks, talks: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Return the conversation-hours that reach the model's alert score, as ``flag_conversations`` does."""
    ports = choose_services(*gathered.find_services(), len(talks))
    high = np.flatnonzero(talks["score"].to_numpy() >= model.alert_score)
    knows = know_ends(gathered.survey.cells, gathered.groups.first[high], model.history)
    flagged = talks.assign(**ports, facet=np.array(FACETS, dtype=object)[gathered.facet]).take(high)
    text = {key: flagged[key].cat.remove_unused_categories() for key in CONVERSATION[:3]}
    flagged = flagged.assign(excess=flagged["score"] - model.alert_score, knows=knows, **text)
    return sort_by_keys(flagged, CONVERSATION)[[*FLAGGED, "score", "excess", "facet", "knows"]]
