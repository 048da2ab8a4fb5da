"""The machine that a benchmark runs on, in one line."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def describe_machine() -> str:
    """Return processor, cores, memory, Python and the day."""
    model = next((line.partition(":")[2].strip() for line in _read("cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _read("meminfo") if line.startswith("MemTotal")), 0)
    cores = len(os.sched_getaffinity(0))
    software = f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    return f"{model or platform.machine()}, {cores} cores, {memory / 2**20:.0f} GiB, {software}"


def _read(name: str) -> list[str]:
    path = Path("/proc") / name
    return path.read_text().splitlines() if path.exists() else []
