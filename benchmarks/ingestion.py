"""Whole-process time and peak memory of ingestion beside other ways to do it, as ratios within one run.

    python benchmarks/ingestion.py start-up [--peer NAME=COMMAND ...]
    python benchmarks/ingestion.py volume [--events N] [--peer NAME=COMMAND ...]
    python benchmarks/ingestion.py memory [--events N]

``start-up`` compares the ten-event embedded run with a two-node project of stock Kedro datasets; ``volume`` runs N
events against real servers; ``memory`` compares the peak at N and at 4 N events. In a peer's command ``{n}`` is the
number of events. Commands run in turn, A B C A B C; medians are shown. Run it with the Python of the environment to
be measured; the servers need the ``dev`` extra of the one that ``--servers`` names.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVED = "BENCHMARK_SERVED"
STOCK_PROJECT = {
    "pyproject.toml": '[tool.kedro]\npackage_name = "stock"\nproject_name = "stock"\nkedro_init_version = "1.7.0"\n',
    "src/stock/__init__.py": "",
    "src/stock/settings.py": "",
    "src/stock/pipeline_registry.py": """
import pandas as pd
from kedro.pipeline import Node, Pipeline

def make() -> pd.DataFrame:
    return pd.DataFrame({"bytes": range(10)})

def count(events: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"rows": [len(events)]})

def register_pipelines() -> dict[str, Pipeline]:
    pipeline = Pipeline([Node(make, None, "events", name="make"), Node(count, "events", "registry", name="count")])
    return {"__default__": pipeline}
""",
    "conf/base/catalog.yml": """
events: {type: pandas.ParquetDataset, filepath: events.parquet}
registry: {type: pandas.SQLTableDataset, table_name: runs, credentials: db, save_args: {if_exists: append}}
""",
    "conf/local/credentials.yml": "db: {con: 'sqlite:///stock.db'}\n",
    ".telemetry": "consent: false\n",
}


def main() -> None:
    """Run the chosen comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start-up", "volume", "memory"])
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--servers", default=sys.executable, metavar="PYTHON")
    options = parser.parse_args()
    if SERVED not in os.environ:
        command = [options.servers, ROOT / "tests/servers.py", sys.executable, *sys.argv]
        sys.exit(subprocess.run(command, env=os.environ | {SERVED: "1"}, check=False).returncode)
    os.environ |= aws_names()
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Time the commands in turn and print medians and the ratios to the first."""
    project = copy_project(folder / "project")
    peers = dict(peer.split("=", 1) for peer in options.peer)
    if options.what == "start-up":
        stock = make_stock_project(folder / "stock")
        contenders = {"ingestion": (project, "embedded", 10), "stock project": (stock, [kedro(), "run"], 10)}
        contenders |= {name: (folder, shlex.split(command.format(n=10)), 10) for name, command in peers.items()}
    else:
        subprocess.run([kedro(), "setup", "--env", "minio"], cwd=project, check=True, stdout=subprocess.DEVNULL)
        sizes = [options.events] if options.what == "volume" else [options.events, 4 * options.events]
        contenders = {f"ingestion {size:,}": (project, "minio", size) for size in sizes}
        for name, command in peers.items():
            contenders[name] = (folder, shlex.split(command.format(n=options.events)), options.events)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(-1, options.rounds):
        for name, (cwd, command, events) in contenders.items():
            words = ingestion(command, events, turn) if isinstance(command, str) else command
            measured = measure(words, cwd)
            if turn >= 0:
                results[name].append(measured)
    report(results)


def ingestion(env: str, events: int, turn: int) -> list[str]:
    """Return the command that ingests a day of its own."""
    day = date(2026, 1, 10) + timedelta(days=turn + events % 97)
    params = f"generator.n_events={events},logical_date={day}"
    return [kedro(), "run", "--pipeline", "ingestion", "--env", env, "--params", params]


def measure(command: list[str], cwd: Path) -> tuple[float, float]:
    """Return seconds and peak megabytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{shlex.join(command)} failed:\n{output.decode()[-3000:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def report(results: dict[str, list[tuple[float, float]]]) -> None:
    """Print a row per contender."""
    first = next(iter(results.values()))
    print(f"{'':28}{'median s':>9}{'min':>7}{'max':>7}{'MB':>7}{'time ratio':>12}{'memory ratio':>14}")
    for name, rows in results.items():
        seconds, megabytes = ([row[place] for row in rows] for place in (0, 1))
        time_ratio = statistics.median(own[0] / other[0] for own, other in zip(first, rows, strict=True))
        memory_ratio = statistics.median(own[1] / other[1] for own, other in zip(first, rows, strict=True))
        spread = f"{statistics.median(seconds):9.2f}{min(seconds):7.2f}{max(seconds):7.2f}"
        print(f"{name:28}{spread}{max(megabytes):7.0f}{time_ratio:12.2f}{memory_ratio:14.2f}")


def kedro() -> str:
    """Return the command of the environment that runs this."""
    return str(Path(sys.executable).parent / "kedro")


def copy_project(root: Path) -> Path:
    """Copy what a run needs, so that the person's own data stay as they are."""
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, root)
    subprocess.run([sys.executable, "-m", "compileall", "-q", root / "src"], check=True)
    return root


def make_stock_project(root: Path) -> Path:
    """Write the two-node project of stock datasets."""
    for name, text in STOCK_PROJECT.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def aws_names() -> dict[str, str]:
    """Return the servers under the names that the peers read."""
    from urllib.parse import quote

    own = os.environ
    address = f"{own['PG_HOST']}:{own['PG_PORT']}/{own['PG_DATABASE']}"
    return {
        "AWS_ENDPOINT_URL": own["MINIO_ENDPOINT_URL"],
        "AWS_ACCESS_KEY_ID": own["MINIO_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": own["MINIO_SECRET_KEY"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "MINIO_ENDPOINT": own["MINIO_ENDPOINT_URL"].removeprefix("http://"),
        "POSTGRES_DSN": f"postgresql://{own['PG_USER']}:{quote(own['PG_PASSWORD'], safe='')}@{address}",
        "DO_NOT_TRACK": "1",
    }


if __name__ == "__main__":
    main()
