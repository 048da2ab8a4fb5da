"""Processes for the fault campaign, forked from one that has imported what the project's commands need.

Each is a process of its own with a session of its own, and runs what ``python -m network_anomalies`` runs. Its start
takes a tenth of a second instead of two, so that most kills strike a command at work and not Python's imports.
"""

import gc
import importlib
import json
import os
import queue
import runpy
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

OWN = ("cli", "settings", "pipeline_registry", "datasets", "registry.batches", "registry.models", "upkeep")
OTHERS = (
    "alembic.command",
    "kedro.framework.context",
    "kedro.validation",
    "kedro_datasets.json",
    "kedro_datasets.pandas",
    "pandera.strategies.pandas_strategies",
    "s3fs",
)
POLL_SECONDS = 0.05


class Starter:
    """Starts commands, one at a time, and waits for them."""

    def __init__(self, *quicker: str) -> None:
        """Start the process that forks; it calls ``speed_up`` of the modules that are named."""
        self._server = subprocess.Popen(
            [sys.executable, __file__, *quicker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = 0
        threading.Thread(target=self._read, daemon=True).start()

    def start(self, words: tuple[str, ...], folder: Path, variables: dict[str, str], output: Path) -> int:
        """Start a command in a folder; return its process id, which is that of its session too."""
        order = {"words": words, "folder": str(folder), "variables": variables, "output": str(output)}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        self._process = self._expect("started", None)
        return self._process

    def wait(self, seconds: float) -> int | None:
        """Return the exit code of the command that was started, or None if it still runs after so many seconds."""
        try:
            return self._expect(f"ended {self._process}", seconds)
        except queue.Empty:
            return None

    def _expect(self, subject: str, seconds: float | None) -> int:
        """Return the number in the line about a subject; lines about commands that were given up are left out."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            line = self._lines.get(timeout=timeout)
            if not line:
                code = self._server.wait()
                raise RuntimeError(f"the process that starts commands has ended with {code}: its error stands above")
            said, _, number = line.rpartition(" ")
            if said == subject:
                return int(number)

    def close(self) -> None:
        """End the process that forks."""
        self._server.kill()
        self._server.wait()

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            self._lines.put(line)
        self._lines.put("")


def kill_session(session: int) -> None:
    """Send SIGKILL to a command and to every process that it started, such as the workers of a backfill."""
    for process in (session, *find_session(session)):  # its own first: it may not have its session yet
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def wait_for_session(session: int, seconds: float) -> bool:
    """Return whether every process of a session has gone within so many seconds."""
    deadline = time.monotonic() + seconds
    while find_session(session):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def find_session(session: int) -> list[int]:
    """Return the processes of a session (Linux); one that waits to be reaped is none any more."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, _group, own = path.read_text().rpartition(") ")[2].split()[:4]
            if int(own) == session and state != "Z":
                found.append(int(path.parent.name))
    return found


def serve() -> None:
    """Fork a process for each order that comes in; say its id, then its exit code."""
    from kedro.framework.project import configure_project

    for name in (*(f"network_anomalies.{name}" for name in OWN), *OTHERS):
        with suppress(ImportError):  # then a command imports it, if it needs it
            importlib.import_module(name)
    configure_project("network_anomalies")
    for name in sys.argv[1:]:
        importlib.import_module(name).speed_up()
    gc.freeze()  # what is shared with the processes to come stays as it is
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            _become_command(**json.loads(line))
            return
        print("started", process, flush=True)
        _, status = os.waitpid(process, 0)
        print("ended", process, os.waitstatus_to_exitcode(status), flush=True)


def _become_command(words: list[str], folder: str, variables: dict[str, str], output: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.update(variables)
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    _redirect(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1, 2)
    sys.argv = ["network_anomalies", *words]
    runpy.run_module("network_anomalies", run_name="__main__", alter_sys=True)


def _redirect(file: int, *targets: int) -> None:
    for target in targets:
        os.dup2(file, target)
    os.close(file)


if __name__ == "__main__":
    serve()
