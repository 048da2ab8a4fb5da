"""Scikit-learn's outlier conventions on a frame of events."""

from typing import Self

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.explain import explain_events
from network_anomalies.detection.alerts.raising import raise_scores
from network_anomalies.detection.judging import name_attacks
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.detection.scoring.columns import HOUR, to_micros
from network_anomalies.detection.scoring.fitting import KEPT_EVENTS, Slice, fit, fit_reference
from network_anomalies.detection.scoring.history import History, remember
from network_anomalies.detection.scoring.model import Model, ModelParameters, score
from network_anomalies.detection.scoring.summary import Summary, merge_summaries, summarise
from network_anomalies.errors import ProjectError

_ROWS_PER_SLICE = 100_000


class AnomalyDetector:
    """Score network flows by how surprising they are to a reference, and by what the named detectors find.

    Nothing is random and no label is read. Events are frames with ``timestamp`` (datetime64, or seconds since 1970),
    ``src_ip``, ``dst_ip``, ``bytes``, ``duration`` (seconds) and ``protocol``. ``src_port``, ``dst_port``,
    ``src_bytes`` and ``dst_bytes`` are used where they are; other columns are left alone. Scores are float64, in row
    order, and lower means more anomalous.

    Args:
        parameters: the constants of the method; the default serves every network.
        limits: of the named detectors.
    """

    def __init__(self, parameters: ModelParameters | None = None, limits: DetectorLimits = DEFAULT_LIMITS) -> None:
        self.parameters = parameters or ModelParameters()
        self.limits = limits
        self.model: Model | None = None

    def fit(self, events: pd.DataFrame) -> Self:
        """Learn what is normal from past events, which may hold some anomalies."""
        slices, history = _reference(events)
        self.model = fit(slices, history, self.parameters, keep=len(events) <= KEPT_EVENTS)
        return self

    def score_samples(self, events: pd.DataFrame) -> np.ndarray:
        """Return the scores of new events against the fitted past."""
        return self._score(events, has_past=True)

    def fit_score_samples(self, events: pd.DataFrame) -> np.ndarray:
        """Fit to a batch and score that same batch, each event left out of what it is compared with."""
        slices, history = _reference(events)
        self.model = fit_reference(slices, history, self.parameters, keep=len(events) <= KEPT_EVENTS)
        return self._score(events, has_past=False)

    def explain(self, events: pd.DataFrame) -> pd.DataFrame:
        """Return, per event, what is unusual about it beside the fitted past.

        Returns:
            Frame on the events' index, see ``explain.explain_events``.
        """
        model = self._fitted()
        places = split_hours(events)
        named = self._name_attacks(events, has_past=True)
        parts = [explain_events(events.iloc[rows], model, named, self.limits) for rows in places]
        return pd.concat(parts).iloc[np.argsort(np.concatenate(places), kind="stable")]

    def _score(self, events: pd.DataFrame, has_past: bool) -> np.ndarray:
        model, named = self._fitted(), self._name_attacks(events, has_past)
        scores = np.zeros(len(events))
        for rows in split_hours(events):
            part = events.iloc[rows]
            own = score(part, model, inside=not has_past)
            raised = raise_scores(part, own, named, model.history if has_past else None, self.limits)
            scores[rows] = -raised["score"].to_numpy()
        return scores

    def _name_attacks(self, events: pd.DataFrame, has_past: bool) -> pd.DataFrame:
        model = self._fitted()
        named = name_attacks(_summarise(events), model, has_past, self.limits)
        # Without a past the rest of the batch stands for it, and has to be as long.
        return named if has_past or self.limits.past.is_enough(model.history.total_hours) else named.iloc[:0]

    def _fitted(self) -> Model:
        if self.model is None:
            raise ProjectError("the detector is not fitted: call fit with past events, or fit_score_samples")
        return self.model


def split_hours(events: pd.DataFrame, rows: int = _ROWS_PER_SLICE) -> list[np.ndarray]:
    """Return the row places of slices of whole UTC hours, each closed once it has ``rows`` rows."""
    hours = to_micros(events["timestamp"]) // HOUR
    order = np.argsort(hours, kind="stable")
    starts = np.flatnonzero(np.diff(hours[order], prepend=-(2**62)))
    _, closing = np.unique(np.append(starts[1:], len(order))[: len(starts)] // rows, return_index=True)
    return np.split(order, starts[closing][1:]) if len(order) else [order]


def _reference(events: pd.DataFrame) -> tuple[list[Slice], History]:
    places = split_hours(events)
    slices: list[Slice] = [lambda rows=rows: events.iloc[rows] for rows in places]  # type: ignore[misc]
    return slices, remember(_summarise(events))


def _summarise(events: pd.DataFrame) -> Summary:
    return merge_summaries([summarise(events.iloc[rows]) for rows in split_hours(events)])
