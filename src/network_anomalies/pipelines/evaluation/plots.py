"""Plots of an evaluation, as matplotlib figures."""

from typing import Any

import numpy as np
import pandas as pd


def draw_distribution(scores: np.ndarray, label: np.ndarray) -> Any:
    """Draw the distribution of the scores of attack flows and of other flows."""
    figure, axes = _make_axes("Scores of test flows", "score (higher is more anomalous)", "flows")
    bins = np.linspace(scores.min(), max(scores.max(), scores.min() + 1), 60)
    axes.hist(scores[~label], bins, label="other flows", color="tab:blue", alpha=0.7)
    if label.any():
        axes.hist(scores[label], bins, label="attack flows", color="tab:red", alpha=0.7)
    axes.set_yscale("log")
    axes.legend()
    return figure


def draw_precision_recall(scores: dict[str, np.ndarray], label: np.ndarray) -> Any:
    """Draw precision against recall of each model; without ground truth an empty plot with a note."""
    figure, axes = _make_axes("Precision and recall of test flows", "recall", "precision")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    if not 0 < label.sum() < len(label):
        axes.text(0.5, 0.5, "no ground truth", ha="center")
        return figure
    from sklearn.metrics import precision_recall_curve

    for name, values in scores.items():
        precision, recall, _ = precision_recall_curve(label, values)
        axes.step(recall, precision, where="post", label=name)
    axes.legend()
    return figure


def draw_hours(findings: pd.DataFrame) -> Any:
    """Draw the findings by the UTC hour in which they begin."""
    figure, axes = _make_axes("Findings by hour (UTC)", "hour", "findings")
    hours = np.bincount(findings["first_seen"].dt.hour, minlength=24) if len(findings) else np.zeros(24)
    axes.bar(np.arange(24), hours)
    return figure


def _make_axes(title: str, xlabel: str, ylabel: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure, axes
