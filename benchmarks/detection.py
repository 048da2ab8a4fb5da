"""Average precision and ROC-AUC of detection beside PyOD's ECOD and isolation forest, on sets of labelled flows.

    python benchmarks/detection.py [--data FOLDER] [--set NAME ...] [--speed EVENTS]

FOLDER holds CSV files with timestamp (seconds), src_ip, dst_ip, bytes, duration, protocol and label (attack or not).
Every detector is fitted three ways: on the scored batch itself, on a clean past (the first half of the benign rows),
and on an uncleaned past (the first half of all rows); where the rest holds no attack, there is no figure. PyOD gets
ln(bytes), ln(duration) and the context columns, and a fixed seed. It is not a dependency of this project: make an
environment with ``pip install -e . pyod`` and run this with its Python; without it the table has our detector alone.

``--spread`` adds what the constants do: batch average precision over a grid of them, and for each set the constants
that are best on all the others. ``--speed`` adds the time of context and scores beside that of reading the events.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from project import read_generator

from network_anomalies.detection import (
    CONTEXT_COLUMNS,
    AnomalyDetector,
    ModelParameters,
    add_context,
    fit_reference,
    remember,
    score,
    summarise,
)
from network_anomalies.detection.scoring.model import combine, compute_facets, prepare
from network_anomalies.generator import draw_part, plan_day

DATA = Path(__file__).parents[2] / "shared/data/eval"
SETS = ["feel008-d5", "feel011-d5", "ctusme11-mix", "ctusme11-mix-blk2", "iot34-scan", "iot34-cc10", "cic17-a"]
Scorer = Callable[[pd.DataFrame, pd.DataFrame | None], np.ndarray]
Metrics = tuple[Callable[..., float], Callable[..., float]]


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", nargs="*", default=SETS)
    parser.add_argument("--spread", action="store_true")
    parser.add_argument("--speed", type=int, default=0, metavar="EVENTS")
    options = parser.parse_args()
    sets = {name: read(options.data / f"{name}.csv") for name in options.set}
    scorers: dict[str, Scorer] = {"ours": score_ours}
    if find_spec("pyod"):
        scorers |= {"ECOD": lambda new, past: score_pyod("ECOD", new, past)}
        scorers |= {"IForest": lambda new, past: score_pyod("IForest", new, past)}
    else:
        print("PyOD is not installed: ours alone (pip install pyod, in an environment of its own)\n")
    compare(sets, scorers)
    if options.spread:
        spread(sets)
    if options.speed:
        time_parts(options.speed)


def read(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a set's events in order of time, and which are attacks."""
    events = pd.read_csv(path).sort_values("timestamp", kind="stable", ignore_index=True)
    return events, (events["label"] == "attack").to_numpy()


def compare(sets: dict[str, tuple[pd.DataFrame, np.ndarray]], scorers: dict[str, Scorer]) -> None:
    """Print AP / AUC per set, detector and way to fit."""
    fits = {"batch": split_batch, "clean past": split_clean, "uncleaned past": split_half}
    rows = {}
    for (name, (events, attack)), (fit_name, split) in itertools.product(sets.items(), fits.items()):
        past, rows_of_new = split(attack)
        new, truth = events[rows_of_new], attack[rows_of_new]
        for scorer_name, scorer in scorers.items():
            if truth.any():
                scores = scorer(new, None if past is None else events[past])
                rows[fit_name, scorer_name, name] = judge(truth, scores)
    table = pd.Series({key: value[0] for key, value in rows.items()}).unstack([0, 1]).reindex(list(sets))
    auc = pd.Series({key: value[1] for key, value in rows.items()}).unstack([0, 1]).reindex(list(sets))
    for words, figures in (("average precision", table), ("ROC-AUC", auc)):
        figures.loc["mean"], figures.loc["worst"] = figures.mean(), figures.iloc[: len(sets)].min()
        print(f"{words}\n{figures.round(3).to_string()}\n")


def judge(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return average precision and ROC-AUC, scikit-learn's."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return float(average_precision_score(truth, scores)), float(roc_auc_score(truth, scores))


def split_batch(attack: np.ndarray) -> tuple[None, np.ndarray]:
    """Return no past, and all rows."""
    return None, np.ones(len(attack), dtype=bool)


def split_clean(attack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first half of the benign rows, and the rest."""
    past = ~attack & (np.cumsum(~attack) <= (~attack).sum() // 2)
    return past, ~past


def split_half(attack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first half of all rows, and the rest."""
    past = np.arange(len(attack)) < len(attack) // 2
    return past, ~past


def score_ours(new: pd.DataFrame, past: pd.DataFrame | None) -> np.ndarray:
    """Return our scores, higher = more anomalous."""
    detector = AnomalyDetector()
    return -(detector.fit_score_samples(new) if past is None else detector.fit(past).score_samples(new))


def score_pyod(name: str, new: pd.DataFrame, past: pd.DataFrame | None) -> np.ndarray:
    """Return PyOD's scores on standardised logs of bytes and duration, and of the context columns."""
    from pyod.models.ecod import ECOD
    from pyod.models.iforest import IForest

    detector = ECOD() if name == "ECOD" else IForest(random_state=0)
    reference = to_features(new if past is None else past)
    mean, deviation = reference.mean(axis=0), reference.std(axis=0) + 1e-9
    detector.fit((reference - mean) / deviation)
    return np.asarray(detector.decision_function((to_features(new) - mean) / deviation))


def to_features(events: pd.DataFrame) -> np.ndarray:
    """Return PyOD's features."""
    columns = add_context(events)[["bytes", "duration", *CONTEXT_COLUMNS]]
    return np.log1p(columns.fillna(0.0).to_numpy(dtype="float64"))


def spread(sets: dict[str, tuple[pd.DataFrame, np.ndarray]]) -> None:
    """Print batch average precision over a grid of constants, and with those chosen on the other sets."""
    grid = [
        ModelParameters(strongest=strongest, rest_weight=rest, conversation_share=own, destination_share=destination)
        for strongest, rest, own, destination in itertools.product((3, 4, 5), (0, 0.25, 0.5), (0.4, 0.5, 0.6), (0, 0.3))
    ]
    columns = []
    for events, attack in sets.values():
        model = fit_reference([lambda events=events: events], remember(summarise(events)))
        coded, context = prepare(events)
        facets = compute_facets(coded, context, model, inside=True)
        columns.append([judge(attack, combine(coded, facets, parameters))[0] for parameters in grid])
    precision = np.array(columns).T
    means = precision.mean(axis=1)
    chosen = means[grid.index(ModelParameters())]
    left_out = [
        precision[np.delete(precision, place, axis=1).mean(axis=1).argmax(), place] for place in range(len(sets))
    ]
    print(
        f"batch average precision over {len(grid)} settings: {means.min():.3f} to {means.max():.3f}, ours {chosen:.3f}"
    )
    print(
        f"each set with the setting that is best on the others: mean {np.mean(left_out):.3f}, {np.round(left_out, 3)}\n"
    )


def time_parts(size: int) -> None:
    """Print seconds of processor time for context and scores of a day of synthetic events in 24 slices."""
    generator = read_generator(n_events=size, part_events=size)
    whole = (draw_part(plan_day(generator, date(2026, 11, day)), 1) for day in (17, 18))
    past, day = ([part for _, part in events.groupby(events["timestamp"].dt.hour)] for events in whole)
    history = remember(summarise(pd.concat(past, ignore_index=True)))
    model = fit_reference([lambda part=part: part for part in past], history)
    start = time.process_time()
    with_context = [add_context(part) for part in day]
    middle = time.process_time()
    for part in with_context:
        score(part, model)
    end = time.process_time()
    print(f"{size:,} events: context {middle - start:.2f} s, scores {end - middle:.2f} s")


if __name__ == "__main__":
    main()
