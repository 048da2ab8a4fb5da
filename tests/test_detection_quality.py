"""Detection on public labelled flows: the bars that the method has to clear, with one setting for all sets."""

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED

from network_anomalies.detection import AnomalyDetector

EVAL = SHARED / "data/eval"
SETS = (
    *("acm-zetaswitch-d5", "cic17-b", "ctusme11-mix", "feel012-d5", "havoc-short-d5"),
    *("iot8-cc10", "iot34-scan", "sdn-ddos-d5", "unsw-head", "westermo-left-d5"),
)
"""Small sets of nine families; havoc and unsw last minutes."""
ATTACKED_TWICE = ("cic17-b", "feel012-d5", "iot34-scan", "sdn-ddos-d5", "unsw-head", "westermo-left-d5")
"""Those with attacks in both halves."""
needs_flows = pytest.mark.skipif(not EVAL.is_dir(), reason="needs the labelled flows of ../shared")


def average_precision(attack: np.ndarray, anomaly: np.ndarray) -> float:
    """Return the mean of precision over the attacks, events of equal score taken together."""
    order = np.argsort(-anomaly, kind="stable")
    last_of_tie = np.append(np.diff(anomaly[order]) != 0, True)
    found = np.cumsum(attack[order])[last_of_tie]
    precision = found / (np.flatnonzero(last_of_tie) + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / attack.sum())


def roc_auc(attack: np.ndarray, anomaly: np.ndarray) -> float:
    """Return how likely an attack scores above another event (Mann and Whitney)."""
    ranks = pd.Series(anomaly).rank().to_numpy()
    n = attack.sum()
    return float((ranks[attack].sum() - n * (n + 1) / 2) / (n * (len(attack) - n)))


def read(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    events = pd.read_csv(EVAL / f"{name}.csv").rename(columns={"bytes_out": "src_bytes", "bytes_in": "dst_bytes"})
    events = events.sort_values("timestamp", kind="stable", ignore_index=True)
    return events.drop(columns=["label", "detail"]), (events["label"] == "attack").to_numpy()


def judge_batch(name: str) -> tuple[float, float]:
    events, attack = read(name)
    anomaly = -AnomalyDetector().fit_score_samples(events)
    return average_precision(attack, anomaly), roc_auc(attack, anomaly)


def judge_clean_past(name: str) -> tuple[float, float]:
    events, attack = read(name)
    benign = np.flatnonzero(~attack)
    past = np.isin(np.arange(len(events)), benign[: len(benign) // 2])
    anomaly = -AnomalyDetector().fit(events[past]).score_samples(events[~past])
    return average_precision(attack[~past], anomaly), roc_auc(attack[~past], anomaly)


def judge_uncleaned_past(name: str) -> tuple[float, float]:
    events, attack = read(name)
    half = len(events) // 2
    anomaly = -AnomalyDetector().fit(events[:half]).score_samples(events[half:])
    return average_precision(attack[half:], anomaly), roc_auc(attack[half:], anomaly)


@needs_flows
def test_a_batch_is_judged_against_itself():
    precision, auc = np.array([judge_batch(name) for name in SETS]).T
    assert precision.mean() >= 0.89
    assert precision.min() >= 0.70
    assert auc.mean() >= 0.985


@needs_flows
def test_even_calls_of_a_whole_day_stand_out_in_their_own_batch():
    assert judge_batch("acm-numinon-late5")[1] >= 0.85


@needs_flows
def test_hosts_that_probe_the_one_host_of_a_network_stand_out_from_its_own_sessions():
    assert judge_batch("feel010-d5")[0] >= 0.87


@needs_flows
def test_a_clean_past_separates_almost_all():
    precision, auc = np.array([judge_clean_past(name) for name in SETS]).T
    assert precision.mean() >= 0.965
    assert precision.min() >= 0.87
    assert auc.mean() >= 0.993


@needs_flows
def test_attacks_in_the_past_do_not_hide_those_to_come():
    precision = np.array([judge_uncleaned_past(name)[0] for name in ATTACKED_TWICE])
    assert precision.mean() >= 0.74


def test_the_metrics_are_those_of_the_books():
    attack = np.array([True, False, True, False])
    assert average_precision(attack, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(attack, np.ones(4)) == pytest.approx(0.5)
    assert roc_auc(attack, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(0.75)
