"""The model: what is familiar, how often each level of each feature occurs, and the score that follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.columns import UNKNOWN, Coded, encode_events
from network_anomalies.detection.scoring.context import CONTEXT_COLUMNS, compute_context
from network_anomalies.detection.scoring.features import FACETS, FEATURES, PORT_FEATURES
from network_anomalies.detection.scoring.groups import Groups, Surrounded
from network_anomalies.detection.scoring.history import History
from network_anomalies.detection.scoring.levels import compute_levels
from network_anomalies.detection.scoring.surprise import compute_surprise

Masses = dict[str, np.ndarray]
"""Arrays by feature."""


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
    return score_coded(*prepare(events), model, inside).set_axis(events.index)


def score_coded(coded: Coded, context: Mapping[str, np.ndarray], model: Model, inside: bool = False) -> pd.DataFrame:
    """Score whole hours of events that ``prepare`` returned; as ``score`` does, in row order."""
    facets = compute_facets(coded, context, model, inside)
    return pd.DataFrame({"score": combine(coded, facets, model.parameters)} | rank_facets(facets))


def rank_facets(facets: np.ndarray) -> dict[str, pd.Categorical | np.ndarray]:
    """Return the columns about the three strongest facets of each row."""
    order = np.argsort(-facets, axis=0, kind="stable")[:3]
    columns: dict[str, pd.Categorical | np.ndarray] = {}
    for place, strongest in enumerate(order, start=1):
        columns[f"facet_{place}"] = pd.Categorical.from_codes(strongest, list(FACETS))
        columns[f"surprise_{place}"] = np.take_along_axis(facets, strongest[None], axis=0)[0].astype(np.float32)
    return columns


def prepare(events: pd.DataFrame) -> tuple[Coded, Mapping[str, np.ndarray]]:
    """Return events as codes, and their context columns: those they have, or computed."""
    coded = encode_events(events)
    if all(name in events.columns for name in CONTEXT_COLUMNS):
        return coded, {name: events[name].to_numpy() for name in CONTEXT_COLUMNS}
    return coded, compute_context(coded)


def compute_facets(coded: Coded, context: Mapping[str, np.ndarray], model: Model, inside: bool) -> np.ndarray:
    """Return the mean surprise of each facet's features, an array (facets, rows)."""
    levels = compute_levels(coded, context, model.history, inside)
    return mean_facets(levels, model.surprise_inside if inside else model.surprise)


def mean_facets(levels: Mapping[str, np.ndarray], surprise: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return means over the features that are known of a row."""
    facets, members = sum_facets(levels, surprise)
    for place, count in enumerate(members):
        facets[place] /= count
    return facets


def sum_facets(
    levels: Mapping[str, np.ndarray], surprise: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the surprise of each facet's features, (facets, rows), and per facet how many of them are known."""
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
    return facets, members


def combine(rows: Surrounded, facets: np.ndarray, parameters: ModelParameters) -> np.ndarray:
    """Return final scores: strongest facets added up, then averaged by conversation-hours and what is around them."""
    return look_around(rows, _spread_mean(rows.conversation_hours, add_up(facets, parameters)))


def add_up(facets: np.ndarray, parameters: ModelParameters) -> np.ndarray:
    """Return per flow the sum of its facets, of which the strongest count in full."""
    strongest = np.partition(facets, -parameters.strongest, axis=0)[-parameters.strongest :].sum(axis=0)
    own: np.ndarray = strongest + parameters.rest_weight * (facets.sum(axis=0) - strongest)
    return own


def look_around(rows: Surrounded, talk: np.ndarray) -> np.ndarray:
    """Return final scores: the mean of a conversation-hour's own score and of the calmer one of its two ends.

    The ends are the hours of its source and of its destination. A conversation that is all that its destination has in
    the hour would confirm itself there.

    Args:
        rows: that the scores are of.
        talk: mean of each row's conversation-hour.
    """
    calmer = np.minimum(_spread_mean(rows.source_hours, talk), _spread_mean(rows.destination_hours, talk))
    final: np.ndarray = (talk + calmer) / 2
    return final


def _spread_mean(groups: Groups, values: np.ndarray) -> np.ndarray:
    means: np.ndarray = groups.mean(values)[groups.codes]
    return means
