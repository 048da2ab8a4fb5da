"""How long a day of logs takes from the start of reading to the commit, and how much memory, beside plain readers.

    python benchmarks/logs.py rate [--flows N] [--rounds N]
    python benchmarks/logs.py memory [--megabytes N]

``rate`` generates a day of flows as a Zeek log and as JSON lines, with ports, sizes of both sides and flow ids. One
side is the pipeline ``log_ingestion`` on an embedded project, from its first node to its last, with all columns: the
other is `pandas.read_csv(engine="c")` of the same columns for the Zeek log, and pyarrow's JSON reader for JSON lines.
Everything runs on one core; the two sides in turn. Times are processor time, so that other work on the machine does
not count. Per kind of log, a line prints the median of the ratios, and the ratio of each round.

``memory`` compares the peak of whole processes that ingest a Zeek log of N megabytes, one twice as long, and the first
one packed with gzip, of which the size before packing counts.
"""

import argparse
import gzip
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import formats as readers
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import SequentialRunner
from project import make_project

SOURCE = "bench"
DAY = "2024-04-19"


def main() -> None:
    """Run the chosen comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "memory"])
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.what == "rate":
            compare_rates(Path(name), options.flows, options.rounds)
        else:
            compare_memory(Path(name), options.megabytes)


def compare_rates(folder: Path, flows: int, rounds: int) -> None:
    """Print the ratio of each round, per kind of log."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    logs = readers.write_logs(folder, readers.draw_flows(flows))
    project = make_project(folder / "project")
    with chdir(project):
        bootstrap_project(project)
        ingest(project, logs["zeek"])  # imports and the schema of the registry are not part of the comparison
        others: dict[str, Callable[[Path], int]] = {"zeek": readers.read_pandas, "json": readers.read_arrow}
        for name, other in others.items():
            pairs = [(ingest(project, logs[name]), measure(other, logs[name])) for _ in range(rounds)]
            ratios = [ours / plain for ours, plain in pairs]
            shown = " ".join(f"{ratio:.2f}" for ratio in ratios)
            ours, plain = (statistics.median(side) for side in zip(*pairs, strict=True))
            print(f"{name}: {statistics.median(ratios):.2f} ({shown}); {ours:.2f} s and {plain:.2f} s", flush=True)


def ingest(project: Path, log: Path) -> float:
    """Ingest a log into an empty registry and lake; return the processor seconds from the first node to the last."""
    shutil.rmtree(project / "data", ignore_errors=True)
    (project / "data").mkdir()
    params = {"source": SOURCE, "logical_date": DAY, "logs": {"path": str(log)}}
    runner = TimedRunner()
    with KedroSession.create(project, runtime_params=params) as session:
        session.run(pipeline_names=["log_ingestion"], runner=runner)
    return runner.seconds


class TimedRunner(SequentialRunner):
    """Kedro's runner, which knows how long the nodes took: from the first load to the last save.

    Attributes:
        seconds: processor time of the last run.
    """

    seconds = 0.0

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a pipeline."""
        start = time.process_time()
        outputs = super().run(*args, **kwargs)
        self.seconds = time.process_time() - start
        return outputs


def measure(reader: Callable[[Path], int], path: Path) -> float:
    """Return the processor seconds that a reader takes."""
    start = time.process_time()
    reader(path)
    return time.process_time() - start


def compare_memory(folder: Path, megabytes: int) -> None:
    """Print the peak of each process."""
    once, twice, packed = (folder / name for name in ("once.log", "twice.log", "once.log.gz"))
    # A process is at least as large as the one that starts it: this one stays small.
    writer = multiprocessing.get_context("spawn").Process(target=write_logs, args=(once, twice, packed, megabytes))
    writer.start()
    writer.join()
    for log in (once, twice, packed):
        project = make_project(folder / f"project_{log.name}")
        command = [sys.executable, "-m", "network_anomalies", "run", "--pipeline", "log_ingestion", "--params"]
        params = f"source={SOURCE},logical_date={DAY},logs.path={log}"
        process = subprocess.Popen([*command, params], cwd=project, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"the run on {log.name} failed")
        print(f"{log.name}: {log.stat().st_size / 1e6:,.0f} MB, peak {usage.ru_maxrss / 1024:,.0f} MiB", flush=True)
        shutil.rmtree(project)


def write_logs(once: Path, twice: Path, packed: Path, megabytes: int) -> None:
    """Write the logs of ``compare_memory``."""
    write_log(once, megabytes * 1_000_000)
    write_log(twice, 2 * megabytes * 1_000_000)
    with once.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as file:
        shutil.copyfileobj(plain, file)


def write_log(path: Path, size: int) -> None:
    """Write a Zeek log of about ``size`` bytes: the same flows again and again, each time under other ids."""
    rows = readers.write_logs(path.parent, readers.draw_flows(200_000))["zeek"].read_text()
    header, _, body = rows.partition("\n1")
    body = f"1{body}"
    with path.open("w") as file:
        file.write(header + "\n")
        for repeat in range(-(-size // len(body))):
            file.write(body.replace("\tC", f"\tC{repeat}x"))


if __name__ == "__main__":
    main()
