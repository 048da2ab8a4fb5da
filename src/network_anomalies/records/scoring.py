"""A day's alerts, as scoring passes them on."""

from dataclasses import dataclass, field
from datetime import date

import pandas as pd


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
