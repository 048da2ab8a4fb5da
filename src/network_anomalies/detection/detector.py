"""Scikit-learn's outlier conventions on a frame of events."""

from typing import Self

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.explain import explain_events
from network_anomalies.detection.scoring.columns import HOUR, to_micros
from network_anomalies.detection.scoring.history import History, remember
from network_anomalies.detection.scoring.model import Model, ModelParameters, Slice, fit, fit_reference, score
from network_anomalies.detection.scoring.summary import merge_summaries, summarise
from network_anomalies.errors import ProjectError

_ROWS_PER_SLICE = 100_000


class AnomalyDetector:
    """Score network flows by how surprising they are to a reference; nothing is random and no label is read.

    Events are frames with ``timestamp`` (datetime64, or seconds since 1970), ``src_ip``, ``dst_ip``, ``bytes``,
    ``duration`` (seconds) and ``protocol``; other columns are left alone. Scores are float64, in row order, and
    lower means more anomalous.

    Args:
        parameters: the constants of the method; the default serves every network.
    """

    def __init__(self, parameters: ModelParameters | None = None) -> None:
        self.parameters = parameters or ModelParameters()
        self.model: Model | None = None

    def fit(self, events: pd.DataFrame) -> Self:
        """Learn what is normal from past events, which may hold some anomalies."""
        slices, history = _reference(events)
        self.model = fit(slices, history, self.parameters)
        return self

    def score_samples(self, events: pd.DataFrame) -> np.ndarray:
        """Return the scores of new events against the fitted past."""
        return _score_all(events, self._fitted(), inside=False)

    def fit_score_samples(self, events: pd.DataFrame) -> np.ndarray:
        """Fit to a batch and score that same batch, each event left out of what it is compared with."""
        slices, history = _reference(events)
        self.model = fit_reference(slices, history, self.parameters)
        return _score_all(events, self.model, inside=True)

    def explain(self, events: pd.DataFrame) -> pd.DataFrame:
        """Return, per event, what is unusual about it beside the fitted past.

        Returns:
            Frame on the events' index, see ``explain.explain_events``.
        """
        model = self._fitted()
        parts = [explain_events(events.iloc[rows], model) for rows in split_hours(events)]
        explained = pd.concat(parts).iloc[np.argsort(np.concatenate(split_hours(events)), kind="stable")]
        return explained

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
    return slices, remember(merge_summaries([summarise(each()) for each in slices]))


def _score_all(events: pd.DataFrame, model: Model, inside: bool) -> np.ndarray:
    scores = np.zeros(len(events))
    for rows in split_hours(events):
        scores[rows] = -score(events.iloc[rows], model, inside)["score"].to_numpy()
    return scores
