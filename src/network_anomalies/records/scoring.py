"""What scoring passes on, and what it leaves in the registry."""

from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from network_anomalies.detection.limits import AppliedLimits
from network_anomalies.records.receipt import StageReceipt


@dataclass(frozen=True)
class DayAlerts:
    """All alerts of a source and day. They replace those that were there.

    Attributes:
        run_id: the run that raised them.
        source: whose events.
        logical_date: the UTC day.
        alerts: frame with the columns of the table ``alerts`` that this record and the registry do not give; null
            where there is no peer, technique or exception.
    """

    run_id: str
    source: str
    logical_date: date
    alerts: pd.DataFrame = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ScoringReceipt(StageReceipt):
    """A scoring.

    Attributes:
        limits: those that its alerts were raised by, by kind and name; None where an earlier version recorded none.
    """

    limits: AppliedLimits | None
