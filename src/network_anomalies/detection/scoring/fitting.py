"""Fit a model to past slices: weigh the reference, score its conversation-hours, and estimate the alert score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.columns import UNKNOWN, Keyed
from network_anomalies.detection.scoring.features import FEATURES, LEVELS, PORT_FEATURES
from network_anomalies.detection.scoring.groups import Groups
from network_anomalies.detection.scoring.history import History
from network_anomalies.detection.scoring.levels import compute_levels
from network_anomalies.detection.scoring.model import (
    Masses,
    Model,
    ModelParameters,
    combine,
    mean_facets,
    prepare,
)
from network_anomalies.detection.scoring.piece_scores import average_pieces
from network_anomalies.detection.scoring.pieces import Piece
from network_anomalies.detection.scoring.surprise import MASS_UNIT
from network_anomalies.detection.scoring.survey import judge_pieces, survey_pieces

Slice = Piece | Sequence[Piece]
"""Reads whole hours of events; several functions, in order of time, read them in pieces."""
HOURS_A_DAY = 24
KEPT_EVENTS = 2_000_000
"""For so many events it is worth some 180 MB to ``keep`` what a fit needs of them."""


@dataclass(frozen=True)
class _Rows:
    """What a fit needs of the flows of a slice in one piece, in row order; some 90 bytes each.

    Attributes:
        levels: per feature.
        conversation_hours: groups of the flows, like the next two.
        source_hours: of the flows of a source in an hour.
        destination_hours: of the flows to a destination in an hour.
        habits: as ``_list_habits`` returns them.
    """

    levels: Mapping[str, np.ndarray]
    conversation_hours: Groups
    source_hours: Groups
    destination_hours: Groups
    habits: pd.DataFrame


_Reference = Callable[[], _Rows] | Sequence[Piece]
"""A slice of the reference: a function that gives its rows, or where it is not in one piece, its pieces."""


def fit(
    slices: Sequence[Slice], history: History, parameters: ModelParameters | None = None, keep: bool = False
) -> Model:
    """Fit a model to past events, then again to what is left without its most anomalous conversation-hours.

    Args:
        slices: whole hours of events each, with or without context columns, in pieces with them; the functions are
            called several times.
        history: what those events are remembered by, merged from a ``remember`` per day.
        parameters: the constants, those of the method by default.
        keep: whether the levels of all events may be in memory at the same time, which takes some 90 bytes each. If
            not, slices are read four times. Those in pieces always are.
    """
    parameters = parameters or ModelParameters()
    reference = [_open_slice(each, history, keep) for each in slices]
    first = Model(history, _weigh(reference, history), parameters)
    scored = [_score_conversations(each, first) for each in reference]
    if parameters.left_out == 0:
        return replace(first, alert_score=_estimate_alert_score(scored, first))
    limit = _quantile([each.scores for each in scored], 1 - parameters.left_out)
    model = Model(history, _weigh(reference, history, [each.scores > limit for each in scored]), parameters)
    scored = [_score_conversations(each, model) for each in reference]
    return replace(model, alert_score=_estimate_alert_score(scored, model))


def fit_reference(
    slices: Sequence[Slice], history: History, parameters: ModelParameters | None = None, keep: bool = False
) -> Model:
    """Fit a model to all events of the slices, to score these very events ``inside`` it; ``keep`` as ``fit`` has it."""
    parameters = parameters or ModelParameters()
    return fit(slices, history, replace(parameters, left_out=0.0), keep)


def _open_slice(pieces: Slice, history: History, keep: bool) -> _Reference:
    if isinstance(pieces, Sequence) and len(pieces) > 1:
        return pieces
    piece = pieces[0] if isinstance(pieces, Sequence) else pieces
    read = partial(_read_rows, piece, history)
    return cache(read) if keep else read


def _read_rows(piece: Piece, history: History) -> _Rows:
    coded, context = prepare(piece())
    levels = compute_levels(coded, context, history, inside=True)
    return _Rows(
        levels=levels,
        conversation_hours=_narrow(coded.conversation_hours),
        source_hours=_narrow(coded.source_hours),
        destination_hours=_narrow(coded.destination_hours),
        habits=_list_habits(coded, levels["pair_hours"]),
    )


def _narrow(groups: Groups) -> Groups:
    """Return groups whose codes take half the memory."""
    return replace(groups, codes=groups.codes.astype(np.int32))


def _weigh(reference: Sequence[_Reference], history: History, suspect: Sequence[np.ndarray] | None = None) -> Masses:
    """Return the masses of the reference without suspect rows, unless their pair was seen in other hours too.

    ``suspect`` tells of each slice's conversation-hours, in the order of ``_Scored``, which are suspect.
    """
    masses = {name: np.zeros((2, LEVELS), dtype=np.int64) for name in FEATURES}
    for place, each in enumerate(reference):
        of_slice = None if suspect is None else suspect[place]
        if callable(each):
            _weigh_rows(masses, each(), of_slice)
        else:
            _weigh_pieces(masses, each, history, of_slice)
    return masses


def _weigh_rows(masses: Masses, rows: _Rows, suspect: np.ndarray | None) -> None:
    groups = rows.conversation_hours
    kept = _choose_rows(groups, rows.levels["pair_hours"], suspect)
    _add_masses(masses, rows.levels, np.ones(len(kept), dtype=np.int64), groups.sizes[groups.codes], kept)


def _weigh_pieces(masses: Masses, pieces: Sequence[Piece], history: History, suspect: np.ndarray | None) -> None:
    """Add what cells tell, each as many flows as it has, and what flows tell by themselves."""
    survey = survey_pieces(pieces, history, inside=True)
    cells, levels = survey.cells, survey.keys.levels
    groups = cells.conversation_hours
    conversation_flows = groups.sizes[groups.codes]
    kept = _choose_rows(groups, levels["pair_hours"], suspect)
    _add_masses(masses, levels, cells.flows, conversation_flows, kept)
    for judged in judge_pieces(survey, history):
        at, ones = judged.cells, np.ones(len(judged.cells), dtype=np.int64)
        _add_masses(masses, judged.levels, ones, conversation_flows[at], kept[at])


def _choose_rows(conversation_hours: Groups, pair_hours: np.ndarray, suspect: np.ndarray | None) -> np.ndarray:
    """Return which rows are part of the reference."""
    if suspect is None:
        return np.ones(len(pair_hours), dtype=bool)
    kept: np.ndarray = ~suspect[conversation_hours.codes] | (pair_hours > 0)
    return kept


def _add_masses(
    masses: Masses,
    all_levels: Mapping[str, np.ndarray],
    flows: np.ndarray,
    conversation_flows: np.ndarray,
    kept: np.ndarray,
) -> None:
    """Add rows to masses.

    Args:
        masses: to be changed.
        all_levels: of the rows, per feature.
        flows: that each row stands for.
        conversation_flows: flows of its conversation-hour.
        kept: which rows count.
    """
    counts = flows[kept].astype(np.float64)
    weights = counts * (MASS_UNIT // conversation_flows[kept].astype(np.int64))
    for name, levels in all_levels.items():
        of_rows, of_counts, of_weights = levels[kept], counts, weights
        if name in PORT_FEATURES:
            known = of_rows != UNKNOWN
            of_rows, of_counts, of_weights = of_rows[known], counts[known], weights[known]
        masses[name][0] += np.bincount(of_rows, of_counts, LEVELS).astype(np.int64)
        masses[name][1] += np.bincount(of_rows, of_weights, LEVELS).astype(np.int64)


@dataclass(frozen=True)
class _Scored:
    """Conversation-hours of a slice of the reference: their scores, and their sources' habits.

    ``habits`` has the highest score per source and day of what the pair does in other hours too.
    """

    scores: np.ndarray
    habits: pd.DataFrame


def _score_conversations(reference: _Reference, model: Model) -> _Scored:
    if callable(reference):
        rows = reference()
        scores = combine(rows, mean_facets(rows.levels, model.surprise_inside), model.parameters)
        return _Scored(scores[rows.conversation_hours.first], _score_habits(rows.habits, scores))
    survey = survey_pieces(reference, model.history, inside=True)
    scores = average_pieces(survey, model, inside=True)
    habits = _list_habits(survey.cells, survey.keys.levels["pair_hours"])
    return _Scored(scores[survey.cells.conversation_hours.first], _score_habits(habits, scores))


def _list_habits(rows: Keyed, pair_hours: np.ndarray) -> pd.DataFrame:
    """Return ``row``, ``source`` and ``day`` of conversation-hours whose pair also talks in other hours."""
    first = rows.conversation_hours.first
    again = first[pair_hours[first] > 0]
    days = rows.hour[again] // HOURS_A_DAY
    return pd.DataFrame({"row": again, "source": rows.sources.to_numpy()[rows.source[again]], "day": days})


def _score_habits(habits: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    return _highest(habits[["source", "day"]].assign(score=scores[habits["row"].to_numpy()]))


def _highest(habits: pd.DataFrame) -> pd.DataFrame:
    return habits.sort_values("score", ascending=False, kind="stable").drop_duplicates(["source", "day"])


def _estimate_alert_score(scored: Sequence[_Scored], model: Model) -> float:
    """Return the score that a normal day's conversation-hours reach about ``alerts_per_day`` times.

    The highest scores of a reference may be attacks. Scores are sums of -ln of shares, so their upper tail falls off
    about exponentially: its scale is read between the 80th and the 90th percentile, which few attacks reach. What
    a pair does in several hours is taken for a habit, and has to stay below as well, but for as many sources.
    """
    scores = [each.scores for each in scored]
    size = sum(len(each) for each in scores)
    if size == 0:
        return np.inf
    alerts = model.parameters.alerts_per_day * max(model.history.total_hours / HOURS_A_DAY, 1.0)
    upper, high = _quantile(scores, 0.80), _quantile(scores, 0.90)
    extrapolated = upper + (high - upper) / np.log(2) * np.log(max(0.2 * size / alerts, 1.0))
    habits = _highest(pd.concat([each.habits for each in scored]))["score"].to_numpy()
    highest = habits[int(alerts)] if len(habits) > int(alerts) else 0.0
    return float(max(extrapolated, highest))


def _quantile(scores: Sequence[np.ndarray], share: float) -> float:
    values = np.concatenate([np.zeros(0), *scores])
    return float(np.quantile(values, share)) if len(values) else np.inf
