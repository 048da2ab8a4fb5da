"""How many alerts a day has: the one count that terminal, report, plots and Prefect show."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

HOURS = 24


@dataclass(frozen=True)
class AlertCounts:
    """Numbers of a day's alerts.

    Attributes:
        raised: alerts that nobody answers for.
        suppressed: alerts that an exception or a verdict answers for. They are stored, and are not among the raised.
    """

    raised: int
    suppressed: int


def take_raised(alerts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``alerts`` that are not suppressed."""
    return alerts[alerts["suppressed_by"].isna()]


def count_alerts(alerts: pd.DataFrame) -> AlertCounts:
    """Count a day's rows of ``alerts``."""
    raised = len(take_raised(alerts))
    return AlertCounts(raised, len(alerts) - raised)


def count_hours(alerts: pd.DataFrame) -> tuple[int, ...]:
    """Return the raised alerts by the UTC hour of their first flow; the sum is ``AlertCounts.raised``."""
    hours = [time.hour for time in take_raised(alerts)["first_seen"]]
    return tuple(np.bincount(np.array(hours, dtype=np.int64), minlength=HOURS).tolist())
