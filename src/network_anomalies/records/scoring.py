"""Results of the scoring stage: a day's alerts, and its receipt in the registry."""

from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from network_anomalies.detection.limits import AppliedLimits
from network_anomalies.records.receipt import StageReceipt


@dataclass(frozen=True)
class DayAlerts:
    """All alerts of a source and day. They replace earlier alerts of the day.

    Attributes:
        run_id: the run that raised them.
        source: name of the source.
        logical_date: the UTC day.
        alerts: frame with the columns of the table ``alerts``, except ``run_id``, ``source``, ``logical_date`` and
            ``created_at``; null if there is no peer, technique or exception.
    """

    run_id: str
    source: str
    logical_date: date
    alerts: pd.DataFrame = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ScoringReceipt(StageReceipt):
    """The receipt of a scoring.

    Attributes:
        limits: the limits that raised its alerts, by kind and name; None if an earlier version recorded none.
    """

    limits: AppliedLimits | None
