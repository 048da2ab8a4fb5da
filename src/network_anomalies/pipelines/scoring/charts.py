"""Bars and lines of the daily report, as numbers that its template writes as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 6, 22, 40
"""Margins of the plot, for the axes."""
SPARK_WIDTH, SPARK_HEIGHT = 144, 28
MOST_MARKS = 5
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place in the picture, and its label."""

    place: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A bar: its place and size in the picture, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class BarChart:
    """A bar chart.

    Attributes:
        title: what it shows.
        xlabel: of the axis from left to right.
        ylabel: of the axis from bottom to top.
        bars: the bars.
        xticks: marks of the x axis.
        yticks: marks of the y axis.
        reference: points of a line to compare with; none without one.
        summary: the chart in words, for those who cannot see it.
    """

    title: str
    xlabel: str
    ylabel: str
    bars: Sequence[Bar]
    xticks: Sequence[Tick]
    yticks: Sequence[Tick]
    reference: Sequence[tuple[float, float]]
    summary: str


@dataclass(frozen=True)
class Sparkline:
    """A small line: its points, and the line in words."""

    points: Sequence[tuple[float, float]]
    summary: str


def draw_bars(
    title: str,
    labels: Sequence[str],
    counts: Sequence[int],
    axes: tuple[str, str],
    xticks: Sequence[tuple[int, str]],
    reference: Sequence[float] = (),
) -> BarChart:
    """Return a bar chart.

    Args:
        title: of the chart.
        labels: one for each bar.
        counts: the heights of the bars.
        axes: what the x axis and the y axis show.
        xticks: place of a bar and label, for the bars that have a label below them. The place after the last bar is
            its right end.
        reference: heights of a line to compare with, one for each bar; none without a line.
    """
    top = max([*counts, *reference, 1])
    step, scale = (WIDTH - LEFT - RIGHT) / len(counts), (HEIGHT - TOP - BOTTOM) / top
    bottom = HEIGHT - BOTTOM
    bars = [
        Bar(
            x=round(LEFT + place * step, 1),
            y=round(bottom - count * scale, 1),
            width=round(max(step - 1, 0.5), 1),
            height=round(count * scale, 1),
            label=f"{label}: {count:,}",
        )
        for place, (label, count) in enumerate(zip(labels, counts, strict=True))
        if count
    ]
    steps = [
        (round(LEFT + (place + side) * step, 1), round(bottom - height * scale, 1))
        for place, height in enumerate(reference)
        for side in (0, 1)
    ]
    return BarChart(
        title=title,
        xlabel=axes[0],
        ylabel=axes[1],
        bars=bars,
        xticks=[Tick(round(LEFT + place * step, 1), label) for place, label in xticks],
        yticks=[Tick(round(bottom - height * scale, 1), shorten(height)) for height in _choose_heights(top)],
        reference=steps,
        summary=_describe(title, labels, counts),
    )


def draw_sparkline(values: Sequence[float], about: str) -> Sparkline:
    """Return a small line over some values, from 0 at the bottom."""
    top, step = max([*values, 1]), (SPARK_WIDTH - 6) / max(len(values) - 1, 1)
    points = [
        (round(3 + place * step, 1), round(SPARK_HEIGHT - 3 - value / top * (SPARK_HEIGHT - 6), 1))
        for place, value in enumerate(values)
    ]
    peak = max(range(len(values)), key=lambda place: values[place])
    return Sparkline(points, f"{about}: most is {values[peak]:,.0f}, at {peak} of {len(values) - 1}")


def shorten(value: float) -> str:
    """Return a number in at most five characters.

    >>> [shorten(number) for number in (0.5, 12, 9_500, 16_000_000)]
    ['0.5', '12', '9.5k', '16M']
    """
    for size, unit in UNITS:
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _choose_heights(top: float) -> list[float]:
    """Return round heights for marks of an axis from 0 to ``top``, three to six of them.

    >>> _choose_heights(2180)
    [0, 500, 1000, 1500, 2000]
    """
    size = 10.0 ** np.floor(np.log10(top))
    step = max(next(part * size for part in (0.2, 0.5, 1, 2) if top / (part * size) < MOST_MARKS), 1)
    return [step * place for place in range(int(top // step) + 1)]


def _describe(title: str, labels: Sequence[str], counts: Sequence[int]) -> str:
    total, peak = sum(counts), max(range(len(counts)), key=lambda place: counts[place])
    return f"{title}: {total:,} in all, most at {labels[peak]} ({counts[peak]:,})" if total else f"{title}: none"
