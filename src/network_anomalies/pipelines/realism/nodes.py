"""Nodes that draw synthetic days of a week, measure them and plot them."""

import logging
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.errors import ContractError
from network_anomalies.generator import draw_part, plan_day
from network_anomalies.generator.realism_measures import count_hours, measure_realism
from network_anomalies.parameters import GeneratorParameters

logger = logging.getLogger(__name__)

FEWEST_EVENTS = 50_000


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
    """Plot sizes, hosts, hours and targets of the days, as a matplotlib figure."""
    from matplotlib.figure import Figure

    events = synthetic_days[logical_date]
    figure = Figure(figsize=(11, 8), layout="constrained")
    ((sizes, hosts), (hours, targets)) = figure.subplots(2, 2)
    _plot_sizes(sizes, events["bytes"])
    for name in ("src_ip", "dst_ip"):
        counts = events[name].value_counts().to_numpy()
        hosts.loglog(np.arange(1, len(counts) + 1), np.maximum(counts, 0.5), label=name)
    hosts.set(title="Hosts by popularity", xlabel="rank", ylabel="flows")
    hosts.legend()
    for days, label in zip(_split_week(synthetic_days, logical_date), ("working day", "weekend"), strict=True):
        hours.step(np.arange(24), np.mean([count_hours(times) for times in days], axis=0), where="mid", label=label)
    hours.set(title="Flows by hour (UTC)", xlabel="hour", ylabel="flows", ylim=(0, None))
    hours.legend()
    _plot_targets(targets, realism_report)
    return figure


def _plot_sizes(axes: Any, sizes: pd.Series) -> None:
    ordered = np.sort(sizes.to_numpy())[::-1]
    axes.loglog(ordered, np.arange(1, len(ordered) + 1) / len(ordered))
    axes.set(title="Flows larger than", xlabel="bytes", ylabel="share of flows")


def _plot_targets(axes: Any, report: pd.DataFrame) -> None:
    """Plot the position of each measure between the lowest and the highest value of its target."""
    position = (report["measured"] - report["low"]) / (report["high"] - report["low"])
    rows = np.arange(len(report))[::-1]
    axes.barh(rows, 1.0, color="0.9")
    axes.scatter(position.clip(-0.1, 1.1), rows, c=np.where(report["within"], "tab:green", "tab:red"), s=18)
    axes.set_yticks(rows, report["target"], fontsize=6)
    axes.set(title="Targets: from lowest to highest", xlim=(-0.15, 1.15), xticks=[])


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
