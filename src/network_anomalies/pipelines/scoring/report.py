"""The daily report and the list of days: HTML pages that need nothing else, of a size that does not grow with flows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from network_anomalies.pipelines.scoring.charts import BarChart, draw_bars, draw_sparkline
from network_anomalies.records.alert_counts import AlertCounts, count_alerts, count_hours, take_raised
from network_anomalies.records.batch import FATES
from network_anomalies.records.bins import (
    DURATION_LABELS,
    HOUR_LABELS,
    SCORE_LABELS,
    SIZE_LABELS,
    say_bytes,
)
from network_anomalies.records.champion import Champion
from network_anomalies.records.day_profile import DayProfile
from network_anomalies.records.day_report import Activities, DayChanges
from network_anomalies.records.plain_text import show_hidden
from network_anomalies.records.receipt import Json
from network_anomalies.records.transformation import TransformationReceipt

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_ALERTS = 100
"""How many alerts, suppressed alerts and incidents the report lists at most; it says how many more there are."""
MOST_ROWS = 30
"""How many rules, files and days it lists at most."""
FATE_WORDS = {
    "accepted": "accepted: they are in RAW",
    "rejected": "rejected: they break the contract and are in quarantine",
    "unparsable": "not readable: the lines are in quarantine",
    "duplicates_dropped": "exact duplicates that were left out",
    "early": "flows of an earlier day",
    "late": "flows of a later day",
    "not_a_flow": "headers, comments and blank lines",
}


@dataclass(frozen=True)
class DayReport:
    """What the report of a day shows.

    Attributes:
        alerts: the day's rows of ``alerts``, the highest score first, suppressed ones last.
        activity: what the hosts of the alerts did.
        changes: the day beside the days before.
        profile: the histograms of its flows.
        quality: its ``quality_report``.
        champion: the champion for the day.
        silver: the receipt of its silver.
    """

    alerts: pd.DataFrame
    activity: Activities
    changes: DayChanges
    profile: DayProfile
    quality: Json
    champion: Champion
    silver: TransformationReceipt

    @property
    def counts(self) -> AlertCounts:
        """How many alerts there are."""
        return count_alerts(self.alerts)

    @property
    def raised(self) -> list[Mapping[str, object]]:
        """The raised alerts that are listed, as rows."""
        return _to_rows(take_raised(self.alerts))

    @property
    def suppressed(self) -> list[Mapping[str, object]]:
        """The suppressed alerts that are listed, as rows."""
        return _to_rows(self.alerts[self.alerts["suppressed_by"].notna()])

    @property
    def fates(self) -> list[tuple[str, int]]:
        """What became of the lines that came in, in words."""
        return [(FATE_WORDS[fate], self.quality["counts"][fate]) for fate in FATE_WORDS if fate in FATES]

    @property
    def charts(self) -> list[BarChart]:
        """The histograms of the flows, with those of the days before as a line."""
        profile, expected = self.profile, self.changes.expected
        return [
            _draw_histogram("Flows by hour (UTC)", "hour", HOUR_LABELS, profile.hours, expected.get("hours", ())),
            _draw_histogram("Flows by bytes", "bytes", SIZE_LABELS, profile.sizes, expected.get("sizes", ())),
            _draw_histogram(
                "Flows by duration", "duration", DURATION_LABELS, profile.durations, expected.get("durations", ())
            ),
            _draw_histogram(
                "Flows by score", "score (higher is more anomalous)", SCORE_LABELS, profile.scores,
                expected.get("scores", ()),
            ),
        ]  # fmt: skip

    @property
    def alert_hours(self) -> BarChart:
        """The raised alerts by hour."""
        title = "Alerts by hour of their first flow (UTC)"
        hours = [(place, HOUR_LABELS[place]) for place in range(0, 24, 6)]
        return draw_bars(title, HOUR_LABELS, count_hours(self.alerts), ("hour", "alerts"), hours)


def render_report(report: DayReport) -> str:
    """Return the page of a day."""
    return _make_environment().get_template("report.html").render(report=report)


def render_index(source_days: pd.DataFrame, source: str, logical_date: date) -> str:
    """Return the page that lists the days of a source.

    Args:
        source_days: a row per day of the source, the earliest first.
        source: whose days.
        logical_date: a day that has a report, although the registry may not say so yet.
    """
    days = source_days.sort_values("logical_date", ascending=False).to_dict("records")
    busiest = max([int(day["alerts"]) for day in days], default=0)
    return _make_environment().get_template("index.html").render(
        source=source, days=days, busiest=max(busiest, 1), today=logical_date
    )  # fmt: skip


def _to_rows(alerts: pd.DataFrame) -> list[Mapping[str, object]]:
    shown = alerts.head(MOST_ALERTS).astype("object")
    rows: list[Mapping[str, object]] = shown.where(shown.notna(), None).to_dict("records")
    return rows


def _draw_histogram(
    title: str, xlabel: str, labels: Sequence[str], counts: Sequence[int], expected: Sequence[float]
) -> BarChart:
    """Draw a histogram from its first to its last bin that holds anything, with a label at every fourth part."""
    used = [place for place, count in enumerate(counts) if count or (expected and expected[place] >= 1)] or [0]
    first, last = used[0], used[-1] + 1
    step = max(round((last - first) / 4), 1)
    ticks = [(place - first, labels[place].partition(" to ")[0]) for place in range(first, last, step)]
    return draw_bars(
        title, labels[first:last], counts[first:last], (xlabel, "flows"), ticks, list(expected)[first:last]
    )  # fmt: skip


@cache
def _make_environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("network_anomalies.pipelines.scoring"),
        autoescape=True,
        finalize=_finalise,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bytes": say_bytes, "clock": _say_clock, "sparkline": draw_sparkline}
    environment.globals["most"] = MOST_ALERTS
    environment.globals["most_rows"] = MOST_ROWS
    return environment


def _finalise(value: object) -> object:
    """Spell out the hidden characters of a text before it is escaped; markup of the template itself stays."""
    return show_hidden(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _say_clock(time: datetime) -> str:
    return f"{time:%H:%M:%S}"
