"""Kill the project's commands at random moments, and check every promise of the RAW layer after each kill.

    python benchmarks/faults.py [--seed N] [--kills N] [--minutes N] [--env embedded|minio|both]

Projects in temporary folders are used, on embedded stores and on real servers (those of `tests/servers.py`), both at
once. A step draws a command and kills it (SIGKILL, one in five SIGTERM), now and then several times in a row; it reads
the stores after each kill with plain clients; then it runs the command again, which must succeed, and once more, which
must change nothing. Every few steps `verify` must find no mismatch. The exit code is 1 if a promise was broken, 2 if
the time was up before all kills were made. A seed gives the same commands, and moments after the same
shares of a command's length and output.

Run it with the Python of the environment to be tested; the servers need the `dev` extra.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

from faults_campaign import Campaign, run_campaign
from faults_commands import find_kinds
from faults_places import ROOT
from faults_starter import Starter
from faults_tally import format_tally

LAST_STEP_SECONDS = 60
"""What the last step and the last `verify` take, at most, after the time is up for further steps."""


def main() -> int:
    """Run the campaigns, print a table for each, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100, help="in all, shared out over the environments")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--env", choices=["embedded", "minio", "both"], default="both")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes - LAST_STEP_SECONDS
    envs = ["embedded", "minio"] if options.env == "both" else [options.env]
    share = -(-options.kills // len(envs))
    with ExitStack() as stack:
        campaigns = [start_campaign(env, options.seed, stack) for env in envs]
        with ThreadPoolExecutor(len(envs)) as pool:
            tallies = list(pool.map(lambda campaign: run_campaign(campaign, share, deadline), campaigns))
    for env, tally in zip(envs, tallies, strict=True):
        print("\n".join(format_tally(env, options.seed, tally)))
    if any(tally.violations for tally in tallies):
        return 1
    return 2 if any(tally.kills.total() < share for tally in tallies) else 0


def start_campaign(env: str, seed: int, stack: ExitStack) -> Campaign:
    """Make a campaign's folder, and its servers if it needs any; the stack ends them."""
    servers: dict[str, str] = {}
    if env == "minio":
        sys.path.append(str(ROOT / "tests"))
        from servers import start_servers

        servers = stack.enter_context(start_servers())
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True))
    return Campaign(env, servers, seed, Path(folder), find_kinds(), stack.enter_context(closing(Starter())))


if __name__ == "__main__":
    sys.exit(main())
