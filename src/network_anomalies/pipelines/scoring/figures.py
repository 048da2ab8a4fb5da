"""The charts of a day as Plotly figures, for `kedro viz` and notebooks. They show the numbers of the daily report."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from network_anomalies.records.bins import HOUR_LABELS, SCORE_LABELS, SIZE_LABELS
from network_anomalies.records.day_profile import DayProfile

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def draw_hours(title: str, counts: Sequence[int], what: str) -> "Figure":
    """Draw counts by hour of the day."""
    return _draw_bars(title, "hour (UTC)", what, HOUR_LABELS, counts)


def draw_protocols(profile: DayProfile) -> "Figure":
    """Draw the flows by protocol."""
    return _draw_bars(
        "Flows by protocol", "protocol", "flows", list(profile.protocols), list(profile.protocols.values())
    )


def draw_sizes(profile: DayProfile) -> "Figure":
    """Draw the flows by bytes."""
    return _draw_used("Flows by bytes", "bytes of a flow", SIZE_LABELS, profile.sizes)


def draw_scores(profile: DayProfile) -> "Figure":
    """Draw the flows by score."""
    figure = _draw_used("Flows by score", "score (higher is more anomalous)", SCORE_LABELS, profile.scores)
    return figure.update_yaxes(type="log")


def draw_rules(rules: Mapping[str, int]) -> "Figure":
    """Draw the rejected flows by rule."""
    return _draw_bars("Rejected flows by rule", "rule", "flows", list(rules), list(rules.values()))


def _draw_used(title: str, xlabel: str, labels: Sequence[str], counts: Sequence[int]) -> "Figure":
    """Draw a histogram from its first to its last bin that holds anything."""
    used = [place for place, count in enumerate(counts) if count] or [0]
    span = slice(used[0], used[-1] + 1)
    return _draw_bars(title, xlabel, "flows", labels[span], counts[span])


def _draw_bars(title: str, xlabel: str, ylabel: str, labels: Sequence[str], counts: Sequence[int]) -> "Figure":
    import plotly.graph_objects as go

    layout = {
        "title": {"text": title},
        "xaxis": {"title": {"text": xlabel}, "type": "category"},
        "yaxis": {"title": {"text": ylabel}},
        "template": "none",
    }
    return go.Figure(go.Bar(x=list(labels), y=list(counts)), layout=layout)
