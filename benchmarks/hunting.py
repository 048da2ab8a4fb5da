"""How long a question about one host over many days takes: the table `flows`, and pandas.

    python benchmarks/hunting.py [--days N] [--events N] [--rounds N] [--folder FOLDER]

The days are ingested into a new embedded project first (or found in FOLDER, if it has them). Then, in one process that
has started up, each round asks the same question in several ways: "the ten hosts that one host sent most bytes to".
The time of `flows` includes asking the registry for the current objects. Seconds are of the wall clock; beside them
stands processor time, which other programs on the machine change less.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from project import ROOT, make_project

from network_anomalies.datasets.flow_table import select

QUESTION = "SELECT dst_ip, sum(bytes) AS bytes FROM flows WHERE src_ip = '{host}' GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
COLUMNS = ["src_ip", "dst_ip", "bytes"]


def main() -> None:
    """Ingest, then ask in each way in turn; print the medians and the ratios to `flows`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "project"
        if not (folder / "conf").exists():
            folder.mkdir(parents=True)
            ingest(make_project(folder), options.days, options.events)
        compare(folder, options.days, options.rounds)


def ingest(project: Path, days: int, events: int) -> None:
    """Ingest the days up to yesterday."""
    command = [sys.executable, "-m", "network_anomalies", "backfill", "--last", str(days), "--jobs", "2"]
    subprocess.run([*command, "--params", f"generator.n_events={events}"], cwd=project, check=True)


def compare(project: Path, days: int, rounds: int) -> None:
    """Print how long each way takes."""
    bootstrap_project(ROOT)
    last = pd.Timestamp.now(tz="UTC").normalize() - pd.Timedelta(days=1)
    chosen = [f"{last - pd.Timedelta(days=age):%Y-%m-%d}" for age in reversed(range(days))]
    params = {"hunting": {"start": chosen[0], "end": chosen[-1]}}
    with KedroSession.create(project, runtime_params=params, conf_source=str(project / "conf")) as session:
        catalog = session.load_context().catalog
    flows = catalog.load("flows")
    (host, count), *_ = select(
        flows, "SELECT src_ip, count(*) FROM flows GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
    ).fetchall()
    paths = [str(path) for path in sorted((project / "data/lake/cybersec-ml-raw").rglob("network_events_*.parquet"))]
    print(f"{len(paths)} objects; {host} has {count} flows")
    question = QUESTION.format(host=host)
    ways: dict[str, Callable[[], Any]] = {
        "flows": lambda: select(catalog.load("flows"), question).fetchall(),
        "pandas, all columns": lambda: ask_pandas(paths, host, None),
        "pandas, three columns": lambda: ask_pandas(paths, host, COLUMNS),
        "pandas, three columns, filter": lambda: ask_pandas(paths, host, COLUMNS, [("src_ip", "==", host)]),
    }
    answers = {name: ask() for name, ask in ways.items()}
    assert len({repr(answer) for answer in answers.values()}) == 1, answers
    walls: dict[str, list[float]] = {name: [] for name in ways}
    processors: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, ask in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            ask()
            walls[name].append(time.perf_counter() - wall)
            processors[name].append(time.process_time() - processor)
    for name in ways:
        ratios = [statistics.median(times[name]) / statistics.median(times["flows"]) for times in (walls, processors)]
        seconds = statistics.median(walls[name]), statistics.median(processors[name])
        print(f"{name:30} {seconds[0]:6.2f} s, processor {seconds[1]:6.2f} s, {ratios[0]:5.1f} ({ratios[1]:.1f}) times")


def ask_pandas(
    paths: list[str], host: str, columns: list[str] | None, filters: list[tuple[str, str, str]] | None = None
) -> list[tuple[str, int]]:
    """Return the answer, with each day loaded by pandas."""
    frame = pd.concat([pd.read_parquet(path, columns=columns, filters=filters) for path in paths], ignore_index=True)
    of_host = frame[frame["src_ip"] == host]
    sums = of_host.groupby(of_host["dst_ip"].astype("str"))["bytes"].sum().sort_values(ascending=False).head(10)
    return [(str(address), int(total)) for address, total in sums.items()]


if __name__ == "__main__":
    main()
