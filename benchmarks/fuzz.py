"""A coverage-guided search for inputs that break a parser of flow logs.

    pip install hypofuzz pytest-cov
    python benchmarks/fuzz.py [--minutes N]

HypoFuzz runs the properties of ``tests/test_formats.py`` again and again, and keeps the inputs that reach code that was
not reached before. Then pytest runs the kept inputs again, and measures which lines of the parsers they reach. An input
that breaks a property is printed; the exit code is then 1.

The properties are copied to a folder of their own, since the fixtures of this project are not needed for them.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from hypofuzz.database import FatalFailure, Report
from hypothesis.internal.conjecture.data import Status

ROOT = Path(__file__).parent.parent
COPIED = ("test_formats.py", "flow_logs.py")
STOP_SECONDS = 30
CONFTEST = f"""
from pathlib import Path
import pytest
from hypothesis import Phase, settings
from hypothesis.internal.reflection import function_digest

SHARED = Path({str(ROOT.parent / "shared")!r})
settings.register_profile("replay", phases=[Phase.reuse], max_examples=1_000_000, deadline=None)

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    # What HypoFuzz kept lies under a key of its own; Hypothesis reads the test's.
    if settings.get_current_profile_name() == "replay" and hasattr(item.obj, "hypothesis"):
        key, database = function_digest(item.obj.hypothesis.inner_test), settings().database
        for choices in list(database.fetch(key + b".hypofuzz.corpus")):
            database.save(key, choices)
"""


def main() -> int:
    """Fuzz for some minutes; print what was run, and what HypoFuzz found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in COPIED:
            text = (ROOT / "tests" / file).read_text()
            (folder / file).write_text(text.replace("max_examples=60", "").replace("max_examples=30", ""))
        (folder / "conftest.py").write_text(CONFTEST)
        fuzz(folder, 60 * options.minutes)
        failures = describe_search(folder)
        replayed = subprocess.run(
            [*_python("pytest"), "-q", "-p", "no:xdist", "--hypothesis-profile", "replay", "-k", "damaged or alike or "
             "size or random or beginning", "--cov", "network_anomalies.formats", "--cov-branch", str(folder)],
            cwd=folder, check=False,
        )  # fmt: skip
    return int(bool(failures or replayed.returncode))


def fuzz(folder: Path, seconds: float) -> None:
    """Run HypoFuzz, which does not end by itself, with all its processes."""
    command = [Path(sys.executable).parent / "hypothesis", "fuzz", "--no-dashboard", "--numprocesses", "1", "--"]
    process = subprocess.Popen([*command, "-p", "no:xdist", str(folder)], cwd=folder, start_new_session=True)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def describe_search(folder: Path) -> int:
    """Print how many inputs were run per property; return how many properties were broken."""
    stored = [path.read_bytes() for path in (folder / ".hypothesis").rglob("*") if path.is_file()]
    reports: dict[str, Report] = {}
    for report in filter(None, map(Report.from_json, stored)):
        if report.elapsed_time >= (reports[report.nodeid].elapsed_time if report.nodeid in reports else 0):
            reports[report.nodeid] = report
    for name, report in sorted(reports.items()):
        print(f"{name}: {_count(report):,} inputs, {report.behaviors:,} behaviours, {report.elapsed_time:.0f} s")
    print(f"{len(reports)} properties, {sum(map(_count, reports.values())):,} inputs")
    crashed = list(filter(None, map(FatalFailure.from_json, stored)))
    for failure in crashed:
        print(failure.nodeid, failure.traceback, sep="\n")
    return len(crashed) + sum(report.status_counts[Status.INTERESTING] > 0 for report in reports.values())


def _count(report: Report) -> int:
    return int(sum(report.status_counts.values()))


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


if __name__ == "__main__":
    sys.exit(main())
