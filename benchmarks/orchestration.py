"""What Prefect adds to a pipeline's run against a running server, as a difference within one process.

    python benchmarks/orchestration.py [--rounds N] [--events N]

A session of Kedro and a flow around an equal session take turns, each on a day of its own; both are warm, so that
imports and the server's start are in neither. Needs the `dev` extra.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from ingestion import copy_project

PORT = 14_299
FIRST = date(2020, 1, 1)


def main() -> None:
    """Start a server, take turns, print both medians and the median difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ |= {"PREFECT_HOME": folder, "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        os.chdir(copy_project(Path(folder) / "project"))
        with start_server() as url:
            os.environ["PREFECT_API_URL"] = url
            compare(options.rounds, {"generator": {"n_events": options.events}})


def compare(rounds: int, params: dict[str, object]) -> None:
    """Time both ways in turn and print what the flow adds."""
    from network_anomalies.orchestration import data_ingestion_flow
    from network_anomalies.orchestration.flow_project import configure
    from network_anomalies.runs.session import start_session

    def run_session(day: date) -> None:
        with start_session(Path.cwd(), None, params | {"logical_date": str(day)}) as session:
            session.run(pipeline_names=["ingestion"])

    configure()
    rows = []
    for turn in range(-1, rounds):
        days = (FIRST + timedelta(days=2 * turn + offset) for offset in (0, 1))
        ways = (run_session, lambda day: data_ingestion_flow(day, params=params))
        row = [measure(way, day) for way, day in zip(ways, days, strict=True)]
        if turn >= 0:
            rows.append(row)
    plain, flow = (statistics.median(column) for column in zip(*rows, strict=True))
    added = statistics.median(flow - plain for plain, flow in rows)
    print(f"session {plain:.2f} s, flow {flow:.2f} s, Prefect adds {added:.2f} s (median of {rounds} differences)")


def measure(call: object, day: date) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call(day)  # type: ignore[operator]
    return time.perf_counter() - started


@contextmanager
def start_server() -> Iterator[str]:
    """Run a Prefect server on loopback; yields the URL of its API."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(PORT)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{PORT}/api"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.3)
        yield url
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
