"""Average precision and ROC-AUC of detection on labelled flows, beside PyOD's detectors.

    python benchmarks/detection.py [--data FOLDER] [--set NAME ...] [--short] [--constants] [--speed EVENTS]

FOLDER holds CSV files with timestamp (seconds), src_ip, dst_ip, bytes, duration, protocol and label (attack or not),
and where they are known src_port, dst_port, packets, bytes_out and bytes_in. Every detector is fitted three ways: on
the scored batch itself, on a clean past (the first half of the benign rows), and on an uncleaned past (the first half
of all rows, where both halves have attacks). Sets with more than a third of attacks are listed apart.
PyOD gets ln(bytes), ln(duration) and the context columns, and a fixed seed. It is not a dependency of this project:
make an environment with ``pip install -e . pyod`` and run this with its Python; without it the table has our detector
alone.

``--short`` measures every set cut to its busiest 10, 30 and 60 minutes. ``--constants`` chooses the constants for each
family on all others, and tells what that family then gets. ``--speed`` adds the time of context and scores.
"""

import argparse
import itertools
import time
from dataclasses import replace
from datetime import date
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from labelled import DATA, LARGEST_SHARE, WAYS, find_family, judge, read, score_ours
from project import read_generator

from network_anomalies.detection import (
    CONTEXT_COLUMNS,
    ModelParameters,
    add_context,
    fit,
    fit_reference,
    remember,
    score,
    summarise,
)
from network_anomalies.detection.scoring.model import combine, compute_facets, prepare
from network_anomalies.generator import draw_part, plan_day

Set = tuple[pd.DataFrame, np.ndarray]
PYOD = ("ECOD", "COPOD", "HBOS", "IForest", "KNN20", "LOF", "PCA")
MINUTES = (10, 30, 60)


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", nargs="*", metavar="NAME")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--constants", action="store_true")
    parser.add_argument("--speed", type=int, default=0, metavar="EVENTS")
    options = parser.parse_args()
    names = options.set or sorted(path.stem for path in options.data.glob("*.csv"))
    sets = {name: (events, attack) for name in names for events, attack in [read(options.data / f"{name}.csv")]}
    sets = {name: labelled for name, labelled in sets.items() if labelled[1].any()}
    targets = {name: labelled for name, labelled in sets.items() if labelled[1].mean() <= LARGEST_SHARE}
    compare(targets, "sets with at most a third of attacks")
    compare({name: sets[name] for name in sets if name not in targets}, "other sets")
    if options.short:
        for minutes in MINUTES:
            cut = {name: cut_busiest(*labelled, minutes) for name, labelled in targets.items()}
            few = {name: labelled for name, labelled in cut.items() if 0 < labelled[1].mean() <= LARGEST_SHARE}
            compare(few, f"the busiest {minutes} minutes", with_pyod=False)
    if options.constants:
        choose_constants(targets)
    if options.speed:
        time_parts(options.speed)


def compare(sets: dict[str, Set], title: str, with_pyod: bool = True) -> None:
    """Print AP / AUC per set, way to fit and detector, and their means over sets and over families."""
    detectors = {"ours": score_ours}
    if with_pyod and find_spec("pyod"):
        detectors |= {name: partial(score_pyod, name) for name in PYOD}
    rows = {}
    for (name, (events, attack)), (way, split) in itertools.product(sets.items(), WAYS.items()):
        halves = split(attack)
        if halves is None or not attack[halves[1]].any():
            continue
        past, new = halves
        for detector, scorer in detectors.items():
            scores = scorer(events[new], None if past is None else events[past])
            rows[way, detector, name] = judge(attack[new], scores)
    for words, place in (("average precision", 0), ("ROC-AUC", 1)):
        table = pd.Series({key: value[place] for key, value in rows.items()}).unstack([0, 1])
        table = table.reindex([name for name in sets if name in table.index])
        families = table.groupby([find_family(name) for name in table.index]).mean()
        table.loc["mean of sets"], table.loc["mean of families"] = table.mean(), families.mean()
        print(f"{title}, {words}\n{table.round(3).to_string()}\n")


def score_pyod(name: str, new: pd.DataFrame, past: pd.DataFrame | None) -> np.ndarray:
    """Return PyOD's scores on standardised logs of bytes and duration, and of the context columns."""
    detector = make_pyod(name)
    reference = to_features(new if past is None else past)
    mean, deviation = reference.mean(axis=0), reference.std(axis=0) + 1e-9
    detector.fit((reference - mean) / deviation)
    if past is None:
        return np.nan_to_num(detector.decision_scores_)
    return np.nan_to_num(detector.decision_function((to_features(new) - mean) / deviation))


def make_pyod(name: str):
    """Return a detector with PyOD's own settings, but for the number of neighbours."""
    from pyod.models import copod, ecod, hbos, iforest, knn, lof, pca

    makers = {
        "ECOD": ecod.ECOD,
        "COPOD": copod.COPOD,
        "HBOS": hbos.HBOS,
        "IForest": partial(iforest.IForest, random_state=0),
        "KNN20": partial(knn.KNN, n_neighbors=20),
        "LOF": lof.LOF,
        "PCA": partial(pca.PCA, random_state=0),
    }
    return makers[name]()


def to_features(events: pd.DataFrame) -> np.ndarray:
    """Return PyOD's features."""
    columns = add_context(events)[["bytes", "duration", *CONTEXT_COLUMNS]]
    return np.log1p(columns.fillna(0.0).to_numpy(dtype="float64"))


def cut_busiest(events: pd.DataFrame, attack: np.ndarray, minutes: int) -> Set:
    """Return the minutes that have the most flows."""
    times = events["timestamp"].to_numpy()
    ends = np.searchsorted(times, times + 60 * minutes)
    first = int(np.argmax(ends - np.arange(len(times))))
    return events.iloc[first : ends[first]].reset_index(drop=True), attack[first : ends[first]]


def choose_constants(sets: dict[str, Set]) -> None:
    """Print, for batch and clean past, what each family gets with the constants that are best on all others."""
    grid = [
        ModelParameters(strongest=strongest, rest_weight=rest, tail=tail)
        for strongest, rest, tail in itertools.product((2, 3, 4), (0.1, 0.25, 0.5), (0.01, 0.02, 0.05))
    ]
    families = np.array([find_family(name) for name in sets])
    for way in ("batch", "clean past"):
        precision = np.array(
            [measure_grid(events, WAYS[way](attack), attack, grid) for events, attack in sets.values()]
        )
        means, ours = precision.mean(axis=0), precision[:, grid.index(ModelParameters())]
        print(f"{way}: mean AP of {len(grid)} settings {means.min():.3f} to {means.max():.3f}, ours {ours.mean():.3f}")
        held_out = np.zeros(len(sets))
        for family in np.unique(families):
            rest = families != family
            chosen = precision[rest].mean(axis=0).argmax()
            held_out[~rest] = precision[~rest, chosen]
            print(f"  {family:12}{held_out[~rest].mean():.3f} held out, ours {ours[~rest].mean():.3f}")
        print(f"  mean of sets, each family held out: {held_out.mean():.3f}\n")


def measure_grid(
    events: pd.DataFrame,
    halves: tuple[np.ndarray | None, np.ndarray] | None,
    attack: np.ndarray,
    grid: list[ModelParameters],
) -> list[float]:
    """Return the average precision of the scores alone, without findings, for each setting."""
    assert halves is not None
    past, new = halves
    reference = events[new] if past is None else events[past]
    learn = fit_reference if past is None else fit
    model = learn([lambda: reference], remember(summarise(reference)))
    coded, context = prepare(events[new])
    precision, facets = [], {}
    for setting in grid:
        if setting.tail not in facets:
            other = replace(model, parameters=setting)
            facets[setting.tail] = compute_facets(coded, context, other, inside=past is None)
        precision.append(judge(attack[new], combine(coded, facets[setting.tail], setting))[0])
    return precision


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
