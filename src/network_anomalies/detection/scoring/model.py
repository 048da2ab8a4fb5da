"""The model: what is familiar, how often each level of each feature occurs, and the score that follows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.columns import UNKNOWN, Coded, encode_events
from network_anomalies.detection.scoring.context import CONTEXT_COLUMNS, compute_context
from network_anomalies.detection.scoring.features import FACETS, FEATURES, LEVELS, PORT_FEATURES, compute_levels
from network_anomalies.detection.scoring.groups import Groups
from network_anomalies.detection.scoring.history import History
from network_anomalies.detection.scoring.surprise import MASS_UNIT, compute_surprise

Slice = Callable[[], pd.DataFrame]
HOURS_A_DAY = 24


@dataclass(frozen=True)
class ModelParameters:
    """The constants of the method; one setting for every network.

    Attributes:
        strongest: facets that count in full.
        rest_weight: what the other facets count.
        tail: beyond this share of the reference, bytes, durations and rates surprise by distance.
        cap: the largest surprise of a feature.
        left_out: share of the conversation-hours, the most anomalous ones, that a fitted past leaves out.
        alerts_per_day: how many conversation-hours of a normal day may reach the alert score.
    """

    strongest: int = 3
    rest_weight: float = 0.25
    tail: float = 0.02
    cap: float = 15.0
    left_out: float = 0.05
    alerts_per_day: float = 1.0


@dataclass(frozen=True)
class Model:
    """A fitted model: plain numbers only.

    Attributes:
        history: what is familiar.
        masses: per feature an int64 array (2, ``LEVELS``): the reference's mass at each level when every flow counts
            1, and when every conversation-hour counts ``MASS_UNIT`` in all.
        parameters: the constants.
        alert_score: the score that a conversation-hour of a normal day reaches about ``alerts_per_day`` times.
    """

    history: History
    masses: Mapping[str, np.ndarray]
    parameters: ModelParameters = field(default_factory=ModelParameters)
    alert_score: float = np.inf

    @property
    def rows(self) -> int:
        """Flows of the reference."""
        return int(next(iter(self.masses.values()))[0].sum())

    @cached_property
    def surprise(self) -> dict[str, np.ndarray]:
        """Surprise of each level of each feature, for rows outside the reference."""
        return {name: self._surprise(name, masses, 1) for name, masses in self.masses.items()}

    @cached_property
    def surprise_inside(self) -> dict[str, np.ndarray]:
        """Surprise of each level, for rows of the reference, each leaving itself out."""
        return {name: self._surprise(name, masses, 0) for name, masses in self.masses.items()}

    def _surprise(self, name: str, masses: np.ndarray, added: int) -> np.ndarray:
        return compute_surprise(name, masses, added, self.parameters.tail, self.parameters.cap)


def fit(slices: Sequence[Slice], history: History, parameters: ModelParameters | None = None) -> Model:
    """Fit a model to past events, then again to what is left without its most anomalous conversation-hours.

    Args:
        slices: functions that return whole hours of events, with or without context columns; called several times.
        history: what those events are remembered by, merged from a ``remember`` per day.
        parameters: the constants, those of the method by default.
    """
    parameters = parameters or ModelParameters()
    first = Model(history, _weigh(slices, history), parameters)
    scored = [_score_conversations(each(), first) for each in slices]
    if parameters.left_out == 0:
        return replace(first, alert_score=_estimate_alert_score(scored, first))
    limit = _quantile([each.scores for each in scored], 1 - parameters.left_out)
    suspect = [(each.scores > limit)[each.codes] for each in scored]
    model = Model(history, _weigh(slices, history, suspect), parameters)
    scored = [_score_conversations(each(), model) for each in slices]
    return replace(model, alert_score=_estimate_alert_score(scored, model))


def fit_reference(slices: Sequence[Slice], history: History, parameters: ModelParameters | None = None) -> Model:
    """Fit a model to all events of the slices, to score these very events ``inside`` it."""
    parameters = parameters or ModelParameters()
    return fit(slices, history, replace(parameters, left_out=0.0))


def score(events: pd.DataFrame, model: Model, inside: bool = False) -> pd.DataFrame:
    """Score whole hours of events.

    Args:
        events: with or without context columns.
        model: a fitted model.
        inside: whether the model was fitted to these very events.

    Returns:
        Frame on the events' index: ``score`` (higher = more anomalous), the three strongest facets of the flow
        (``facet_1`` to ``facet_3``, categories) and their surprise (``surprise_1`` to ``surprise_3``, -ln of a share,
        float32).
    """
    coded, context = prepare(events)
    facets = compute_facets(coded, context, model, inside)
    order = np.argsort(-facets, axis=0, kind="stable")[:3]
    columns: dict[str, object] = {"score": combine(coded, facets, model.parameters)}
    for place, strongest in enumerate(order, start=1):
        columns[f"facet_{place}"] = pd.Categorical.from_codes(strongest, list(FACETS))
        columns[f"surprise_{place}"] = np.take_along_axis(facets, strongest[None], axis=0)[0].astype(np.float32)
    return pd.DataFrame(columns, index=events.index)


def prepare(events: pd.DataFrame) -> tuple[Coded, Mapping[str, np.ndarray]]:
    """Return events as codes, and their context columns: those they have, or computed."""
    coded = encode_events(events)
    if all(name in events.columns for name in CONTEXT_COLUMNS):
        return coded, {name: events[name].to_numpy() for name in CONTEXT_COLUMNS}
    return coded, compute_context(coded)


def compute_facets(coded: Coded, context: Mapping[str, np.ndarray], model: Model, inside: bool) -> np.ndarray:
    """Return the mean surprise of each facet's features, an array (facets, rows)."""
    levels = compute_levels(coded, context, model.history, inside)
    return _compute_facets(levels, model.surprise_inside if inside else model.surprise)


def _compute_facets(levels: Mapping[str, np.ndarray], surprise: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return means over the features that are known of a row."""
    size = len(next(iter(levels.values())))
    facets, members = np.zeros((len(FACETS), size)), [np.zeros(1) for _ in FACETS]
    for name, values in levels.items():
        place = FACETS.index(FEATURES[name].facet)
        if name in PORT_FEATURES:
            facets[place] += np.append(surprise[name], 0.0)[values]  # UNKNOWN takes the last place
            members[place] = members[place] + (values != UNKNOWN)
        else:
            facets[place] += surprise[name][values]
            members[place] = members[place] + 1
    for place, count in enumerate(members):
        facets[place] /= count
    return facets


def combine(coded: Coded, facets: np.ndarray, parameters: ModelParameters) -> np.ndarray:
    """Return final scores: strongest facets added up, then the mean of a flow's three surroundings.

    They are its conversation-hour, and the hours of its source and of its destination.
    """
    strongest = np.partition(facets, -parameters.strongest, axis=0)[-parameters.strongest :].sum(axis=0)
    own = strongest + parameters.rest_weight * (facets.sum(axis=0) - strongest)
    talk = _spread_mean(coded.conversation_hours, own)
    around = _spread_mean(coded.source_hours, talk) + _spread_mean(coded.destination_hours, talk)
    final: np.ndarray = (talk + around) / 3
    return final


def _weigh(
    slices: Sequence[Slice], history: History, suspect: Sequence[np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Return the masses of the reference without suspect rows, unless their pair was seen in other hours too."""
    masses = {name: np.zeros((2, LEVELS), dtype=np.int64) for name in FEATURES}
    for place, each in enumerate(slices):
        coded, context = prepare(each())
        all_levels = compute_levels(coded, context, history, inside=True)
        rows = np.ones(len(coded), dtype=bool)
        if suspect is not None:
            rows = ~suspect[place] | (all_levels["pair_hours"] > 0)
        weights = (MASS_UNIT // context["conversation_flows_hour"][rows].astype(np.int64)).astype(np.float64)
        for name, levels in all_levels.items():
            of_rows, of_weights = levels[rows], weights
            if name in PORT_FEATURES:
                known = of_rows != UNKNOWN
                of_rows, of_weights = of_rows[known], weights[known]
            masses[name][0] += np.bincount(of_rows, minlength=LEVELS)
            masses[name][1] += np.bincount(of_rows, of_weights, LEVELS).astype(np.int64)
    return masses


@dataclass(frozen=True)
class _Scored:
    """Conversation-hours of a slice of the reference: each row's, their scores, and their sources' habits.

    ``habits`` has the highest score per source and day of what the pair does in other hours too.
    """

    codes: np.ndarray
    scores: np.ndarray
    habits: pd.DataFrame


def _score_conversations(events: pd.DataFrame, model: Model) -> _Scored:
    coded, context = prepare(events)
    levels = compute_levels(coded, context, model.history, inside=True)
    scores = combine(coded, _compute_facets(levels, model.surprise_inside), model.parameters)
    talk = coded.conversation_hours
    rows = talk.first[levels["pair_hours"][talk.first] > 0]
    habits = pd.DataFrame(
        {
            "source": coded.sources.to_numpy()[coded.source[rows]],
            "day": coded.hour[rows] // HOURS_A_DAY,
            "score": scores[rows],
        }
    )
    return _Scored(talk.codes.astype(np.int32), scores[talk.first], _highest(habits))


def _highest(habits: pd.DataFrame) -> pd.DataFrame:
    return habits.sort_values("score", ascending=False, kind="stable").drop_duplicates(["source", "day"])


def _spread_mean(groups: Groups, values: np.ndarray) -> np.ndarray:
    means: np.ndarray = groups.mean(values)[groups.codes]
    return means


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
