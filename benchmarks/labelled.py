"""Sets of labelled flows and how a detector is measured on them; shared by the benchmarks of detection."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from network_anomalies.detection import AnomalyDetector

DATA = Path(__file__).parents[2] / "shared/data/eval"
SIDES = {"bytes_out": "src_bytes", "bytes_in": "dst_bytes"}
LARGEST_SHARE = 1 / 3
FAMILIES = ("acm", "cic17", "ctubotnet4", "ctusme11", "feel", "havoc", "iot", "luflow", "sdn", "unsw", "westermo")
Split = tuple[np.ndarray | None, np.ndarray]


def read(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a set's events in order of time, and which are attacks."""
    events = pd.read_csv(path, low_memory=False).rename(columns=SIDES)
    events = events.sort_values("timestamp", kind="stable", ignore_index=True)
    return events.drop(columns=["label", "detail"]), (events["label"] == "attack").to_numpy()


def find_family(name: str) -> str:
    """Return the family of a set: the network and project that it comes from."""
    return next((family for family in FAMILIES if name.startswith(family)), name)


def judge(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return average precision and ROC-AUC, scikit-learn's; higher scores are more anomalous."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return float(average_precision_score(truth, scores)), float(roc_auc_score(truth, scores))


def score_ours(new: pd.DataFrame, past: pd.DataFrame | None) -> np.ndarray:
    """Return our scores, higher = more anomalous."""
    detector = AnomalyDetector()
    return -(detector.fit_score_samples(new) if past is None else detector.fit(past).score_samples(new))


def split_batch(attack: np.ndarray) -> Split:
    """Return no past, and all rows."""
    return None, np.ones(len(attack), dtype=bool)


def split_clean(attack: np.ndarray) -> Split:
    """Return the first half of the benign rows, and the rest."""
    past = ~attack & (np.cumsum(~attack) <= (~attack).sum() // 2)
    return past, ~past


def split_half(attack: np.ndarray) -> Split | None:
    """Return the first half of all rows and the rest, nothing if one of them has no attack."""
    past = np.arange(len(attack)) < len(attack) // 2
    return (past, ~past) if attack[past].any() and attack[~past].any() else None


WAYS: dict[str, Callable[[np.ndarray], Split | None]] = {
    "batch": split_batch,
    "clean past": split_clean,
    "uncleaned past": split_half,
}
