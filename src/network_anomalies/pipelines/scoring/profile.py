"""The histograms of a day's flows, made slice by slice while the slices are scored."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from network_anomalies.records.day_profile import (
    DURATION_BINS,
    HOURS,
    SCORE_BINS,
    SCORE_STEP,
    SIZE_BINS,
    DayProfile,
    add_histograms,
    add_protocols,
)
from network_anomalies.records.transformation import TransformationReceipt

MICROSECONDS_PER_HOUR = 3_600_000_000


def profile_flows(flows: pd.DataFrame, about: TransformationReceipt, model_sha256: str) -> DayProfile:
    """Return the histograms of scored flows.

    Args:
        flows: with ``timestamp``, ``bytes``, ``duration`` (seconds), ``protocol`` and ``score``.
        about: the receipt of the silver that they come from.
        model_sha256: of the model that scored them.
    """
    micros = flows["timestamp"].astype("int64").to_numpy()
    protocols = flows["protocol"].value_counts()
    return DayProfile(
        source=about.source,
        logical_date=about.logical_date,
        flows=len(flows),
        hours=_count(micros // MICROSECONDS_PER_HOUR % HOURS, HOURS),
        sizes=_count(_double(flows["bytes"].to_numpy(np.float64)), SIZE_BINS),
        durations=_count(_double(flows["duration"].to_numpy() * 1000), DURATION_BINS),
        scores=_count(flows["score"].to_numpy() / SCORE_STEP, SCORE_BINS),
        protocols=add_protocols([{str(name): int(count) for name, count in protocols.items() if count}]),
        model_sha256=model_sha256,
    )


def merge_profiles(profiles: Sequence[DayProfile]) -> DayProfile:
    """Return the histograms of all flows from those of slices, in whatever order."""
    first = profiles[0]
    return first.model_copy(
        update={
            "flows": sum(profile.flows for profile in profiles),
            "hours": add_histograms((profile.hours for profile in profiles), HOURS),
            "sizes": add_histograms((profile.sizes for profile in profiles), SIZE_BINS),
            "durations": add_histograms((profile.durations for profile in profiles), DURATION_BINS),
            "scores": add_histograms((profile.scores for profile in profiles), SCORE_BINS),
            "protocols": add_protocols(profile.protocols for profile in profiles),
        }
    )


def _double(values: np.ndarray) -> np.ndarray:
    """Return how many times 1 was doubled to reach each value: 0 for less than 1, ``k`` for 2^(k-1) to 2^k."""
    _, exponents = np.frexp(values)
    return np.asarray(np.maximum(exponents, 0))


def _count(places: np.ndarray, bins: int) -> tuple[int, ...]:
    counted = np.bincount(np.clip(places, 0, bins - 1).astype(np.int64), minlength=bins)
    return tuple(counted.tolist())
