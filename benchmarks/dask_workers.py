"""A day by stages, in threads and on Dask workers: time, processor time, and the peak memory of client and workers.

    python benchmarks/dask_workers.py [--events N] [--processes N ...] [--folder DIR]

0 processes are the threads of an ordinary run. Each stage runs in a process of its own, on local stores, and with a
local cluster that it starts; its start-up is in the time. Needs the `dask` extra.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from project import make_project

DAY = "2024-04-19"
STAGES = ("ingestion", "transformation", "training", "scoring")
BETWEEN = {"training": "evaluation,registration"}
"""What has to run after a stage, so that the next one has what it reads; it is not measured."""


def main() -> None:
    """Run each stage of a day with each number of processes, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--stage", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(run_stage(options.stage, options.events, options.processes[0])))
        return
    with tempfile.TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as folder:
        root = make_project(Path(folder) / "project")
        print("stage           processes  seconds  client cpu  workers cpu  client MB  largest worker MB")
        for stage in STAGES:
            for processes in options.processes:
                print(format_row(stage, processes, measure(root, stage, options.events, processes)), flush=True)
            if stage in BETWEEN:
                measure(root, BETWEEN[stage], options.events, 0)


def measure(root: Path, stage: str, events: int, processes: int) -> dict[str, float]:
    """Run a stage in a process of its own."""
    script = [sys.executable, str(Path(__file__).resolve()), "--stage", stage]
    command = [*script, "--events", str(events), "--processes", str(processes)]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_stage(stage: str, events: int, processes: int) -> dict[str, float]:
    """Run a stage in this process; return seconds, and megabytes of memory."""
    from kedro.framework.project import configure_project

    from network_anomalies.runs.session import start_session

    configure_project("network_anomalies")
    os.environ.pop("DASK_SCHEDULER_ADDRESS", None)
    workers = {"dask": processes > 0, "local_processes": processes}
    params = {"logical_date": DAY, "generator": {"n_events": events}, "workers": workers}
    started = time.monotonic()
    with start_session(Path.cwd(), None, params) as session:
        session.run(pipeline_names=stage.split(","))
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "seconds": time.monotonic() - started,
        "client_cpu": own.ru_utime + own.ru_stime,
        "workers_cpu": children.ru_utime + children.ru_stime,
        "client_mb": own.ru_maxrss / 1024,
        "worker_mb": children.ru_maxrss / 1024 if processes else 0,
    }


def format_row(stage: str, processes: int, found: dict[str, float]) -> str:
    """Return a row of the table."""
    cpu = f"{found['client_cpu']:>10.1f}  {found['workers_cpu']:>11.1f}"
    memory = f"{found['client_mb']:>9.0f}  {found['worker_mb']:>17.0f}"
    return f"{stage:<15} {processes:>9}  {found['seconds']:>7.1f}  {cpu}  {memory}"


if __name__ == "__main__":
    main()
