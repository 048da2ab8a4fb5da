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
MANTISSA_BITS = 52
EXPONENTS, EXPONENT_OF_ONE = 2048, 1023
"""How many exponents a 64-bit float can have, and which of them stands for 1 up to 2."""


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
        sizes=_count_doublings(flows["bytes"].to_numpy(np.float64), SIZE_BINS),
        durations=_count_doublings(flows["duration"].to_numpy() * 1000, DURATION_BINS),
        scores=_count(np.clip(flows["score"].to_numpy() / SCORE_STEP, 0, SCORE_BINS - 1).astype(np.int64), SCORE_BINS),
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


def _count_doublings(values: np.ndarray, bins: int) -> tuple[int, ...]:
    """Count values of 0 and more by how many times 1 was doubled to reach them, the last bin for all above.

    That is what the exponent of a float says, so its bits are counted: it takes a third of the time of ``frexp``.
    """
    counts = np.bincount(values.view(np.int64) >> MANTISSA_BITS, minlength=EXPONENTS)[EXPONENT_OF_ONE:]
    below_one = len(values) - counts.sum()
    return (int(below_one), *counts[: bins - 2].tolist(), int(counts[bins - 2 :].sum()))


def _count(places: np.ndarray, bins: int) -> tuple[int, ...]:
    return tuple(np.bincount(places, minlength=bins).tolist())
