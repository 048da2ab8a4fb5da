"""Nodes that draw synthetic days of a week, measure them and plot them."""

import logging
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from network_anomalies.errors import ContractError
from network_anomalies.generator import draw_part, plan_day
from network_anomalies.generator.realism_measures import count_hours, measure_realism
from network_anomalies.parameters import GeneratorParameters

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

logger = logging.getLogger(__name__)

FEWEST_EVENTS = 50_000
MOST_POINTS = 300


def draw_days(generator: GeneratorParameters, logical_date: date) -> dict[date, pd.DataFrame]:
    """Draw the events of the date, of the day before it, and of two working days and the weekend of its week.

    Raises:
        ContractError: there are too few events to measure shares of a thousandth.
    """
    if generator.n_events < FEWEST_EVENTS:
        raise ContractError(
            f"generator.n_events is {generator.n_events}: realism is measured on {FEWEST_EVENTS} events or more"
        )
    days = {logical_date, logical_date - timedelta(days=1), *_list_week(logical_date)}
    return {day: _draw_day(generator, day) for day in sorted(days)}


def measure_profile(synthetic_days: dict[date, pd.DataFrame], logical_date: date) -> pd.DataFrame:
    """Compare the days with every target; columns as in ``generator.realism_measures.measure_realism``."""
    working_days, weekend = _split_week(synthetic_days, logical_date)
    before = logical_date - timedelta(days=1)
    report = measure_realism(synthetic_days[logical_date], synthetic_days[before], working_days, weekend)
    shown = report.drop(columns="source").round(4).to_string(index=False)
    logger.info("%d of %d targets are met:\n%s", report["within"].sum(), len(report), shown)
    return report


def plot_profile(synthetic_days: dict[date, pd.DataFrame], realism_report: pd.DataFrame, logical_date: date) -> Any:
    """Plot sizes, hosts, hours and targets of the days, as a Plotly figure of a bounded number of points."""
    from plotly.subplots import make_subplots

    titles = ("Flows larger than", "Hosts by popularity", "Flows by hour (UTC)", "Targets: from lowest to highest")
    figure = make_subplots(2, 2, subplot_titles=titles).update_layout(template="none", height=800)
    events = synthetic_days[logical_date]
    sizes = np.sort(events["bytes"].to_numpy())[::-1]
    _add_line(figure, (1, 1), sizes, np.arange(1, len(sizes) + 1) / len(sizes), "bytes")
    for name in ("src_ip", "dst_ip"):
        counts = events[name].value_counts().to_numpy()
        _add_line(figure, (1, 2), np.arange(1, len(counts) + 1), counts, name)
    for days, label in zip(_split_week(synthetic_days, logical_date), ("working day", "weekend"), strict=True):
        _add_line(figure, (2, 1), np.arange(24), np.mean([count_hours(times) for times in days], axis=0), label)
    _add_targets(figure, realism_report)
    for column, (xlabel, ylabel) in enumerate((("bytes", "share of flows"), ("rank", "flows")), start=1):
        figure.update_xaxes(type="log", title_text=xlabel, row=1, col=column)
        figure.update_yaxes(type="log", title_text=ylabel, row=1, col=column)
    return figure.update_xaxes(title_text="hour", row=2, col=1).update_yaxes(title_text="flows", row=2, col=1)


def _add_line(figure: "Figure", place: tuple[int, int], x: np.ndarray, y: np.ndarray, name: str) -> None:
    """Add a line through at most ``MOST_POINTS`` of some points, nearer to each other at the first ones."""
    chosen = np.unique(np.geomspace(1, len(x), MOST_POINTS).astype(np.int64) - 1)
    figure.add_scatter(x=x[chosen].tolist(), y=y[chosen].tolist(), name=name, row=place[0], col=place[1])


def _add_targets(figure: "Figure", report: pd.DataFrame) -> None:
    """Plot the position of each measure between the lowest and the highest value of its target, 0 and 1."""
    place = (report["measured"] - report["low"]) / (report["high"] - report["low"])
    marker = {"color": np.where(report["within"], "green", "red").tolist()}
    points = {"x": place.clip(-0.1, 1.1).tolist(), "y": report["target"].tolist()}
    figure.add_scatter(**points, mode="markers", marker=marker, name="targets", row=2, col=2)


def _draw_day(generator: GeneratorParameters, day: date) -> pd.DataFrame:
    plan = plan_day(generator, day)
    return pd.concat([draw_part(plan, part) for part in plan.parts], ignore_index=True)


def _split_week(days: dict[date, pd.DataFrame], logical_date: date) -> tuple[list[pd.Series], list[pd.Series]]:
    """Return the timestamps of the week's drawn working days and of its weekend."""
    times = [days[day]["timestamp"] for day in _list_week(logical_date)]
    return times[:2], times[2:]


def _list_week(logical_date: date) -> list[date]:
    """Return Tuesday, Wednesday, Saturday and Sunday of a date's week."""
    monday = logical_date - timedelta(days=logical_date.weekday())
    return [monday + timedelta(days=days) for days in (1, 2, 5, 6)]
