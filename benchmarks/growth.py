"""Seconds and peak memory of each stage as a day grows, with the exponent of its cost.

    python benchmarks/growth.py [--events N ...] [--busy hour|host] [--out FOLDER]

Each stage of an embedded day is a `kedro run` of its own, timed as a whole process. The exponent of a stage is the
slope of ln(seconds) over ln(events) between two sizes: 1 means that twice the events take twice the time. With
``--busy hour``, nine of ten events are moved to one hour, with ``--busy host`` they come from one host. ``--out`` also
writes the table as Markdown and a plot.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ingestion import copy_project, kedro
from machine import describe_machine

STAGES = ("ingestion", "transformation", "training", "evaluation", "registration", "scoring")
DAY = "2026-11-18"
BUSY_HOUR, BUSY_HOST = 14, "10.99.0.1"
PART = 250_000
MAPPING = """logs:
  mapping:
    columns:
      {timestamp: timestamp, src_ip: src_ip, dst_ip: dst_ip, bytes: bytes, duration: duration, protocol: protocol}
"""
"""The busy day is plain Parquet: which columns make an event."""


@dataclass(frozen=True)
class Cost:
    """What a stage took for a day: whole process, processor seconds of all its threads, peak megabytes."""

    stage: str
    events: int
    seconds: float
    processor_seconds: float
    megabytes: float


def main() -> None:
    """Measure every stage at every size, the smallest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 4_000_000, 16_000_000])
    parser.add_argument("--busy", choices=["hour", "host"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    costs: list[Cost] = []
    for events in sorted(options.events):
        with tempfile.TemporaryDirectory() as folder:
            costs += measure_day(Path(folder), events, options.busy)
    text = f"{describe_machine()}\n\n{make_table(costs)}\n"
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "growth.md").write_text(text)
        draw(costs, options.out / "growth.html")


def measure_day(folder: Path, events: int, busy: str | None) -> list[Cost]:
    """Run the stages of a day one after another."""
    project = copy_project(folder / "project")
    costs = []
    for stage in STAGES:
        words = [kedro(), "run", "--pipeline", stage, "--params", f"logical_date={DAY}"]
        if stage == "ingestion" and busy:
            write_busy_day(project, events, busy)
            words = [kedro(), "run", "--pipeline", "log_ingestion", "--params", f"logical_date={DAY},source=busy"]
        elif stage == "ingestion":
            words[-1] += f",generator.n_events={events}"
        elif busy:
            words[-1] += ",source=busy"
        costs.append(measure(stage, events, words, project))
        print(costs[-1], file=sys.stderr, flush=True)
    return costs


def write_busy_day(project: Path, events: int, busy: str) -> None:
    """Write a day's log of which nine of ten events are in one hour, or from one host, part after part."""
    import numpy as np
    import pandas as pd
    from project import read_generator

    from network_anomalies.generator import draw_part, plan_day

    folder, local = project / "data/logs", project / "conf/local"
    folder.mkdir(parents=True)
    local.mkdir(exist_ok=True)
    (local / "parameters.yml").write_text(MAPPING)
    day = plan_day(read_generator(n_events=events, part_events=PART), pd.Timestamp(DAY).date())
    start = pd.Timestamp(DAY, tz="UTC") + pd.Timedelta(hours=BUSY_HOUR)
    for part in range(1, math.ceil(events / PART) + 1):
        flows = draw_part(day, part)
        stays = np.arange(len(flows)) % 10 == 0
        if busy == "hour":
            moved = start + (flows["timestamp"] - flows["timestamp"].dt.floor("h"))
            flows["timestamp"] = flows["timestamp"].where(stays, moved)
        else:
            flows["src_ip"] = flows["src_ip"].astype("str").where(stays, BUSY_HOST)
        flows.to_parquet(folder / f"part_{part:05d}.parquet")


def measure(stage: str, events: int, command: Sequence[str], folder: Path) -> Cost:
    """Run a command and return what it took."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"DO_NOT_TRACK": "1"}
    ) as process:
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{output.decode()[-3000:]}")
    processor = usage.ru_utime + usage.ru_stime
    return Cost(stage, events, time.perf_counter() - start, processor, usage.ru_maxrss / 1024)


def make_table(costs: Sequence[Cost]) -> str:
    """Return a Markdown table: a row per stage and size, with the exponent from the next smaller size."""
    lines = ["| stage | events | seconds | processor seconds | MB | exponent |", "|---|---|---|---|---|---|"]
    for stage in STAGES:
        of_stage = [cost for cost in costs if cost.stage == stage]
        exponents = [""] + [f"{find_exponent(small, large):.2f}" for small, large in pairwise(of_stage)]
        lines += [
            f"| {stage} | {cost.events:,} | {cost.seconds:.1f} | {cost.processor_seconds:.1f} | {cost.megabytes:.0f} "
            f"| {exponent} |"
            for cost, exponent in zip(of_stage, exponents, strict=True)
        ]
    return "\n".join(lines)


def find_exponent(small: Cost, large: Cost) -> float:
    """Return the slope of ln(seconds) over ln(events)."""
    return math.log(large.seconds / small.seconds) / math.log(large.events / small.events)


def draw(costs: Sequence[Cost], path: Path) -> None:
    """Write a plot of seconds and of peak memory over events, a line per stage."""
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, subplot_titles=("seconds", "peak memory, MB"))
    for stage in STAGES:
        of_stage = [cost for cost in costs if cost.stage == stage]
        events = [cost.events for cost in of_stage]
        for column, values in ((1, [cost.seconds for cost in of_stage]), (2, [cost.megabytes for cost in of_stage])):
            figure.add_scatter(x=events, y=values, name=stage, showlegend=column == 1, row=1, col=column)
    figure.update_xaxes(type="log", title="events").update_yaxes(type="log", col=1).update_yaxes(
        rangemode="tozero", col=2
    )
    figure.update_layout(title=describe_machine(), template="none")
    figure.write_html(path, include_plotlyjs="cdn")


if __name__ == "__main__":
    main()
