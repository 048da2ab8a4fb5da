"""Plots of an evaluation, as Plotly figures of a bounded number of points."""

from typing import TYPE_CHECKING

import numpy as np

from network_anomalies.pipelines.evaluation.ranking import rank_flows

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BINS = 60
MOST_POINTS = 300


def draw_distribution(scores: np.ndarray, label: np.ndarray, counts: np.ndarray) -> "Figure":
    """Draw the distribution of the scores of attack flows and of other flows; each score is that of ``counts``."""
    import plotly.graph_objects as go

    edges = np.linspace(scores.min(), max(scores.max(), scores.min() + 1), BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).round(3).tolist()
    groups = {"other flows": ~label} | ({"attack flows": label} if label.any() else {})
    flows = {name: np.histogram(scores[rows], edges, weights=counts[rows])[0] for name, rows in groups.items()}
    bars = [go.Bar(x=middles, y=values.tolist(), name=name) for name, values in flows.items()]
    layout = _make_layout("Scores of test flows", "score (higher is more anomalous)", "flows")
    return go.Figure(bars, layout=layout).update_layout(barmode="overlay", bargap=0).update_yaxes(type="log")


def draw_precision_recall(scores: dict[str, np.ndarray], label: np.ndarray, counts: np.ndarray) -> "Figure":
    """Draw precision against recall of each model; without ground truth an empty plot with a note."""
    import plotly.graph_objects as go

    figure = go.Figure(layout=_make_layout("Precision and recall of test flows", "recall", "precision"))
    figure.update_xaxes(range=[0, 1.02]).update_yaxes(range=[0, 1.02])
    if not 0 < label.sum() < len(label):
        return figure.add_annotation(text="no ground truth", x=0.5, y=0.5, showarrow=False)
    for name, values in scores.items():
        ranked = rank_flows(label, values, counts)
        recall, precision = np.append(0.0, ranked.recall), np.append(1.0, ranked.precision)
        chosen = np.unique(np.linspace(0, len(recall) - 1, MOST_POINTS).astype(np.int64))
        points = {"x": recall[chosen].tolist(), "y": precision[chosen].tolist()}
        figure.add_scatter(**points, name=name, mode="lines", line={"shape": "hv"})
    return figure


def _make_layout(title: str, xlabel: str, ylabel: str) -> dict[str, object]:
    return {
        "title": {"text": title},
        "xaxis": {"title": {"text": xlabel}},
        "yaxis": {"title": {"text": ylabel}},
        "template": "none",
    }
