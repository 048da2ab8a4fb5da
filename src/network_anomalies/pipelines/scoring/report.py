"""The daily report and the list of days: HTML pages that need nothing else, of a size that does not grow with flows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from network_anomalies.errors import show_hidden
from network_anomalies.pipelines.scoring.charts import BarChart, draw_bars, draw_sparkline
from network_anomalies.records.alert_counts import AlertCounts, count_alerts, count_hours, take_raised
from network_anomalies.records.alerts import KindShares, list_fact_sentences
from network_anomalies.records.batch import FATES
from network_anomalies.records.bins import (
    DURATION_LABELS,
    HOUR_LABELS,
    SCORE_LABELS,
    SIZE_LABELS,
    say_bytes,
)
from network_anomalies.records.champion import Champion
from network_anomalies.records.day_report import Activities, DayChanges
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


Row = Mapping[str, Any]
"""A row of a table of the registry, by column."""


@dataclass(frozen=True)
class IncidentCard:
    """An incident and its alerts of the day; None and one alert where an alert belongs to no incident."""

    incident: Row | None
    alerts: Sequence[Row]


@dataclass(frozen=True)
class DayReport:
    """What the report of a day shows.

    Attributes:
        alerts: the day's rows of ``alerts``, the highest score first, suppressed ones last.
        incidents: those that have alerts of the day, closed ones last, then the highest score first.
        activity: what the hosts of the alerts did.
        changes: the day beside the days before, and the histograms of its flows.
        verdicts: what people decided, by kind of alert.
        quality: its ``quality_report``.
        champion: the champion for the day.
        silver: the receipt of its silver.
    """

    alerts: pd.DataFrame
    incidents: pd.DataFrame
    activity: Activities
    changes: DayChanges
    verdicts: Sequence[KindShares]
    quality: Json
    champion: Champion
    silver: TransformationReceipt

    @property
    def counts(self) -> AlertCounts:
        """How many alerts there are."""
        return count_alerts(self.alerts)

    @property
    def cards(self) -> list[IncidentCard]:
        """The incidents that are listed, each with its alerts of the day; then alerts that belong to none."""
        left = _to_rows(take_raised(self.alerts))
        cards = []
        for incident in _to_rows(self.incidents):
            own = [alert for alert in left if alert["entity"] in incident["entities"]]
            left = [alert for alert in left if alert not in own]
            cards.append(IncidentCard(incident, own))
        return [*cards, *(IncidentCard(None, [alert]) for alert in left)]

    @property
    def suppressed(self) -> list[Row]:
        """The suppressed alerts that are listed, as rows."""
        return _to_rows(self.alerts[self.alerts["suppressed_by"].notna()])

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The kinds of the raised alerts and how many there are of each, the most frequent first."""
        counts = take_raised(self.alerts)["kind"].value_counts()
        return [(str(kind), int(count)) for kind, count in counts.head(MOST_ROWS).items()]

    @property
    def fates(self) -> list[tuple[str, int]]:
        """What became of the lines that came in, in words."""
        return [(FATE_WORDS[fate], self.quality["counts"][fate]) for fate in FATE_WORDS if fate in FATES]

    @property
    def charts(self) -> list[BarChart]:
        """The histograms of the flows, with those of the days before as a line."""
        profile, expected = self.changes.profile, self.changes.expected
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


def render_index(counted_days: pd.DataFrame, source: str) -> str:
    """Return the page that lists the days of a source.

    Args:
        counted_days: a row per day of the source.
        source: whose days.
    """
    days = counted_days.sort_values("logical_date", ascending=False).to_dict("records")
    busiest = max([1, *counted_days["alerts"]])
    return _make_environment().get_template("index.html").render(source=source, days=days, busiest=busiest)


def _to_rows(table: pd.DataFrame) -> list[Row]:
    shown = table.head(MOST_ALERTS).astype("object")
    rows: list[Row] = shown.where(shown.notna(), None).to_dict("records")
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
    environment.filters |= {
        "bytes": say_bytes,
        "clock": _say_clock,
        "sparkline": draw_sparkline,
        "facts": list_fact_sentences,
    }
    environment.globals["most"] = MOST_ALERTS
    environment.globals["most_rows"] = MOST_ROWS
    return environment


def _finalise(value: object) -> object:
    """Spell out the hidden characters of a text before it is escaped; markup of the template itself stays."""
    return show_hidden(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _say_clock(time: datetime) -> str:
    return f"{time:%H:%M:%S}"
