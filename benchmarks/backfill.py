"""How much faster `kedro backfill` is with several jobs than with one, as a ratio within one run.

    python benchmarks/backfill.py [--days N] [--events N] [--jobs N] [--rounds N]

Each round backfills the same days into two fresh embedded projects, one job and then several, as whole commands. Run
it with the Python of the environment to be measured.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from ingestion import copy_project, measure


def main() -> None:
    """Time the two in turn; print seconds and their ratio for each round, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "project")
        for _ in range(options.rounds):
            one, several = (backfill(project, options, jobs) for jobs in (1, options.jobs))
            ratios.append(one / several)
            print(f"1 job {one:6.1f} s, {options.jobs} jobs {several:6.1f} s, ratio {one / several:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


def backfill(project: Path, options: argparse.Namespace, jobs: int) -> float:
    """Return the seconds that a backfill into empty stores takes."""
    shutil.rmtree(project / "data", ignore_errors=True)
    command = [sys.executable, "-m", "network_anomalies", "backfill", "--last", options.days, "--jobs", jobs]
    seconds, _ = measure([*map(str, command), "--params", f"generator.n_events={options.events}"], project)
    return seconds


if __name__ == "__main__":
    main()
