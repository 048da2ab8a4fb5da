"""Silver and scoring of a day beside pandas reading and writing the same events, as ratios within one run.

python benchmarks/modelling.py [--events N] [--rounds R]

Each is a process of its own that times its work without start-up and tells its peak memory: ``copy`` is pandas reading
one Parquet file and writing it again; ``silver`` reads it by hours, adds the columns, summarises and writes;
``duckdb`` makes the same columns, without the summary, by one query on the same cores; ``scoring`` reads silver by
hours, scores with a model of half the day, concludes and writes. ``full`` compares whole processes: `kedro run` with
100,000 events on a fresh project, and its ten-event ingestion.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
DAY = date(2026, 11, 18)
HOURS = 24


def main() -> None:
    """Run every contender in turn, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="?", choices=["copy", "silver", "duckdb", "scoring"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(measure(options.work, options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.events)
        compare(Path(folder), options.rounds)
        compare_runs(Path(folder), options.rounds)


def prepare(folder: Path, events: int) -> None:
    """Write a synthetic day as one Parquet file."""
    from project import read_generator

    from network_anomalies.generator import draw_part, plan_day

    day = plan_day(read_generator(n_events=events, part_events=events), DAY)
    draw_part(day, 1).to_parquet(folder / "events.parquet", row_group_size=100_000)


def compare(folder: Path, rounds: int) -> None:
    """Time the kinds of work in turn."""
    results: dict[str, list[dict[str, float]]] = {"copy": [], "silver": [], "duckdb": [], "scoring": []}
    events = pq.read_metadata(folder / "events.parquet").num_rows
    for _ in range(rounds):
        for work, rows in results.items():
            command = [sys.executable, __file__, work, "--folder", str(folder)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    copies = [row["seconds"] for row in results["copy"]]
    for work, rows in results.items():
        seconds = statistics.median(row["seconds"] for row in rows)
        ratio = statistics.median(row["seconds"] / copy for row, copy in zip(rows, copies, strict=True))
        megabytes = max(row["megabytes"] for row in rows)
        print(f"{work:10}{seconds:8.2f} s {megabytes:7.0f} MB {ratio:6.2f} {events / seconds:12,.0f} events a second")


def compare_runs(folder: Path, rounds: int) -> None:
    """Time `kedro run` of a fresh project beside its ten-event ingestion."""
    project = folder / "project"
    for name in ("conf", "pyproject.toml", ".telemetry"):
        source = ROOT / name
        shutil.copytree(source, project / name) if source.is_dir() else shutil.copy(source, project / name)
    (project / "src").symlink_to(ROOT / "src")
    pairs = []
    for turn in range(rounds):
        shutil.rmtree(project / "data", ignore_errors=True)
        tiny = ["--pipeline", "ingestion", "--params", f"generator.n_events=10,logical_date=2026-01-{turn + 1:02d}"]
        small = run_project(project, tiny)
        shutil.rmtree(project / "data", ignore_errors=True)
        pairs.append((run_project(project, ["--params", f"logical_date={DAY}"]), small))
    full, small = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    print(
        f"full      {full:8.2f} s, ten-event ingestion {small:.2f} s, {statistics.median(a / b for a, b in pairs):.2f}"
    )


def run_project(project: Path, arguments: list[str]) -> float:
    """Return the seconds of a run."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "network_anomalies", "run", *arguments]
    subprocess.run(command, cwd=project, env=os.environ | {"DO_NOT_TRACK": "1"}, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(work: str, folder: Path) -> dict[str, float]:
    """Return the seconds and peak megabytes of one kind of work in this process."""
    makers = {"copy": copy_events, "silver": make_silver, "duckdb": query_silver, "scoring": score_silver}
    task: Callable[[], None] = makers[work](folder)
    start = time.perf_counter()
    task()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def copy_events(folder: Path) -> Callable[[], None]:
    """Return the work of reading and writing once with pandas."""
    return lambda: pd.read_parquet(folder / "events.parquet").to_parquet(folder / "copy.parquet")


def make_silver(folder: Path) -> Callable[[], None]:
    """Return the work of the transformation."""
    from network_anomalies.parameters import TransformationParameters, WorkersParameters
    from network_anomalies.pipelines.transformation.nodes import transform_slices
    from network_anomalies.records.silver_day import Slice, StoredEvents

    events = pq.read_metadata(folder / "events.parquet").num_rows
    receipt = pd.DataFrame({"revision": [1], "record_count": [events]})
    slices = {
        f"{hour:02d}": Slice.of(StoredEvents(partial(read_hour, folder / "events.parquet", hour)))
        for hour in range(HOURS)
    }

    def work() -> None:
        (folder / "silver").mkdir(exist_ok=True)
        parameters = TransformationParameters(slice_hours=1, slice_rows=250_000)
        workers = WorkersParameters(dask=False, local_processes=0)
        for number, yielded in enumerate(transform_slices(slices, receipt, parameters, workers, [])):
            for read in (*yielded[0].values(), *yielded[1].values()):
                (folder / "silver" / f"{number:02d}.parquet").write_bytes(read())

    return work


def query_silver(folder: Path) -> Callable[[], None]:
    """Return the work of DuckDB, which makes the columns of silver."""
    from silver_in_duckdb import write_silver

    return partial(write_silver, folder / "events.parquet", folder / "duckdb.parquet")


def score_silver(folder: Path) -> Callable[[], None]:
    """Return the work of the scoring, with a model that is fitted before the clock starts."""
    from network_anomalies.detection import (
        DetectorLimits,
        conclude,
        fit,
        merge_summaries,
        remember,
        summarise,
        to_bytes,
        unpack_summary,
    )
    from network_anomalies.parameters import WorkersParameters
    from network_anomalies.pipelines.scoring.nodes import name_day_attacks, score_slices
    from network_anomalies.records.champion import Champion
    from network_anomalies.records.silver_day import Slice, StoredEvents
    from network_anomalies.records.transformation import SilverObject, TransformationReceipt

    files = sorted((folder / "silver").glob("*.parquet"))
    slices = {file.stem: Slice.of(StoredEvents(partial(read_file, file))) for file in files[:HOURS]}
    past = list(slices.values())[: HOURS // 2]
    model = fit(past, remember(merge_summaries(summarise(read()) for read in past)))
    limits = DetectorLimits()
    unused = dict.fromkeys(field.name for field in fields(Champion))
    known = {"read": partial(to_bytes, model), "model_sha256": "0" * 64, "train_end": datetime.max.replace(tzinfo=UTC)}
    champion = Champion(**unused | known)
    silver = TransformationReceipt(**dict.fromkeys(field.name for field in fields(TransformationReceipt)))
    nameless = SilverObject(uri="", sha256="", kind="slice", size_bytes=0, record_count=0, hours=1)
    rows = {file.stem: pq.read_metadata(file).num_rows for file in files[:HOURS]}
    objects = [nameless.model_copy(update={"hour": hour, "record_count": count}) for hour, count in rows.items()]

    def work() -> None:
        flagged: list[pd.DataFrame] = []
        day = replace(
            silver, inputs_sha256="0" * 64, source="lab", run_id="r", revision=1, logical_date=DAY, outputs=objects
        )
        summary = unpack_summary(files[-1].read_bytes())
        workers = WorkersParameters(dask=False, local_processes=0)
        named = name_day_attacks(lambda: summary, champion, day, limits, workers)
        for scores, some, _, _ in score_slices(slices, champion, day, named, limits, workers, []):
            flagged.append(some)
            for name, read in scores.items():
                (folder / f"{name}.parquet").write_bytes(read())
        conclude(flagged, named, summary, limits)

    return work


def read_hour(path: Path, hour: int) -> list[pa.Table]:
    """Return the events of an hour."""
    first = pd.Timestamp(DAY, tz="UTC") + pd.Timedelta(hours=hour)
    within = [("timestamp", ">=", first), ("timestamp", "<", first + pd.Timedelta(hours=1))]
    return [pq.read_table(path, filters=within)]


def read_file(path: Path) -> list[pa.Table]:
    """Return what a Parquet file holds."""
    return [pq.read_table(path)]


if __name__ == "__main__":
    main()
