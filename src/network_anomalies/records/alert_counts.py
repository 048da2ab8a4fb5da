"""How many alerts a day has: the one count that terminal, report, plots and Prefect show."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.triage import SEVERITIES
from network_anomalies.records.verdicts import Latest, find_dismissal, list_subjects

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


def count_by_day(known_alerts: pd.DataFrame, latest: Latest) -> pd.DataFrame:
    """Count the alerts of each day of a source.

    Args:
        known_alerts: of every day, ``suppressed_by`` without verdicts.
        latest: the verdicts that count.

    Returns:
        Frame with ``logical_date``, ``alerts`` (the raised ones), ``suppressed``, and the raised ones by severity.
    """
    suppressed = known_alerts["suppressed_by"].notna().to_numpy() | _find_dismissed(known_alerts, latest)
    columns = {"alerts": ~suppressed, "suppressed": suppressed}
    columns |= {name: ~suppressed & (known_alerts["severity"] == name).to_numpy() for name in SEVERITIES}
    counted = pd.DataFrame(columns, index=known_alerts["logical_date"]).astype("int64")
    return counted.groupby(level=0).sum().rename_axis("logical_date").reset_index()


def _find_dismissed(alerts: pd.DataFrame, latest: Latest) -> np.ndarray:
    """Tell of each alert whether a verdict dismisses it; few alerts are of a kind and host that has one."""
    habits = {(verdict.kind, verdict.entity) for verdict in latest.said.values() if verdict.verdict == "dismissed"}
    pairs = zip(alerts["kind"], alerts["entity"], strict=True)
    dismissed = np.fromiter((pair in habits for pair in pairs), dtype=bool, count=len(alerts))
    for place in np.flatnonzero(dismissed):
        row = alerts.iloc[[place]]
        (subject,) = list_subjects(row, row["logical_date"].iloc[0])
        dismissed[place] = find_dismissal(latest, subject) is not None
    return dismissed
