"""Everything about speed and memory in one command: the tables as Markdown, and a plot of how the stages grow.

    python benchmarks/speed.py [--out FOLDER] [--events N ...] [--rounds R] [--peer NAME=COMMAND ...]

It runs ``ingestion.py`` (start-up beside a stock Kedro project, volume and memory on real servers, beside the peers),
``modelling.py`` (silver and scoring beside pandas and DuckDB) and ``growth.py`` (every stage as the day grows), one
after another on a quiet machine. ``--peer`` is that of ``ingestion.py volume``.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from machine import describe_machine

HERE = Path(__file__).parent


def main() -> None:
    """Run the benchmarks and write ``speed.md`` and ``growth.html``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("data/benchmarks"))
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 4_000_000, 16_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rounds = ["--rounds", str(options.rounds)]
    volume = ["--events", str(sorted(options.events)[len(options.events) // 2])]
    peers = [word for peer in options.peer for word in ("--peer", peer)]
    sections = {
        "Start-up: ten events": ["ingestion.py", "start-up", *rounds],
        "Volume: ingestion on real servers": ["ingestion.py", "volume", *volume, *rounds, *peers],
        "Memory: ingestion on real servers": ["ingestion.py", "memory", *volume, "--rounds", "1"],
        "Modelling: a million events": ["modelling.py", *rounds],
        "Growth": ["growth.py", "--out", str(options.out), "--events", *map(str, options.events)],
    }
    page = options.out / "speed.md"
    page.write_text(f"# Speed\n\n{describe_machine()}\n")
    for title, words in sections.items():
        print(f"{title} ...", flush=True)
        text = run(words)
        print(text, flush=True)
        with page.open("a") as file:
            file.write(f"\n## {title}\n\n```\n{text}\n```\n")


def run(words: list[str]) -> str:
    """Return what a benchmark prints; its progress goes to the terminal."""
    command = [sys.executable, HERE / words[0], *words[1:]]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
