"""What a day looks like in numbers of flows: histograms that are as small for 16 million flows as for ten."""

from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np

from network_anomalies.records.receipt import JsonRecord

HOURS = 24
SIZE_BINS = 40
"""Bin 0 is for 0 bytes, bin ``k`` for 2^(k-1) to 2^k - 1 bytes, and the last bin for all above."""
DURATION_BINS = 29
"""Bin 0 is for less than a millisecond, bin ``k`` for 2^(k-1) to 2^k milliseconds, and the last bin for all above."""
SCORE_BINS = 64
SCORE_STEP = 0.5
"""Width of a bin of scores, from 0 on, in nats; the last bin is for all above."""
PROTOCOLS = 20
OTHER = "other"


class DayProfile(JsonRecord):
    """Histograms of a day's flows.

    Attributes:
        source: whose events.
        logical_date: the UTC day.
        flows: how many there are; each histogram adds up to it.
        hours: flows by hour of the day.
        sizes: flows by bytes, ``SIZE_BINS`` of them.
        durations: flows by duration, ``DURATION_BINS`` of them.
        scores: flows by score, ``SCORE_BINS`` of them.
        protocols: flows by protocol, the most frequent first; ``other`` stands for all after the first ``PROTOCOLS``.
        model_sha256: of the model that gave the scores.
    """

    source: str
    logical_date: date
    flows: int
    hours: tuple[int, ...]
    sizes: tuple[int, ...]
    durations: tuple[int, ...]
    scores: tuple[int, ...]
    protocols: dict[str, int]
    model_sha256: str = ""


def add_histograms(histograms: Iterable[Sequence[int]], bins: int) -> tuple[int, ...]:
    """Return the sums, bin by bin.

    >>> add_histograms([(1, 0), (2, 3)], bins=2)
    (3, 3)
    """
    total = np.zeros(bins, dtype=np.int64)
    for counts in histograms:
        total += np.asarray(counts, dtype=np.int64)
    return tuple(total.tolist())


def add_protocols(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Return the sums by protocol, the most frequent first; those after the first ``PROTOCOLS`` are one, ``other``.

    >>> add_protocols([{"TCP": 1, "UDP": 2}, {"TCP": 4}])
    {'TCP': 5, 'UDP': 2}
    """
    total: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    other = total.pop(OTHER, 0)
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    rest = other + sum(count for _, count in ranked[PROTOCOLS:])
    return dict(ranked[:PROTOCOLS]) | ({OTHER: rest} if rest else {})
