"""The log file of a run: the INFO lines that the terminal does not show."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
SHOWN = "network_anomalies.terminal"
"""The logger whose INFO lines are shown as they are, see ``conf/logging.yml``."""
REPEATED = re.compile(r"Node %s failed with error|No nodes ran\.|There are \d+ nodes that have not run")
"""Messages of Kedro that say nothing new beside the last line of a command, which says what failed and what to do.

Their advice to begin with the node that failed does not help: a stage commits all or nothing.
"""


@contextmanager
def keep_log(folder: Path, run_id: str) -> Iterator[Path | None]:
    """Write the INFO lines of a run into ``<folder>/<run_id>.log`` while it works.

    No file is written where the console shows these lines already, as ``conf/logging_stdout.yml`` has it. Where the
    folder cannot be written, the lines go to standard output instead.

    Yields:
        The path of the file, None without one.
    """
    root = logging.getLogger()
    if any(_is_console(handler) and handler.level <= logging.INFO for handler in root.handlers):
        yield None
        return
    handler, path = _open(folder, run_id)
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter(FORMAT))
    root.addHandler(handler)
    try:
        yield path
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def leave_out_repeated() -> Iterator[None]:
    """Keep ``REPEATED`` messages from the console. A log file has them, and a console that shows every line."""
    consoles = [each for each in logging.getLogger().handlers if _is_console(each) and each.level > logging.INFO]
    for console in consoles:
        console.addFilter(_is_new)
    try:
        yield
    finally:
        for console in consoles:
            console.removeFilter(_is_new)


def _is_new(record: logging.LogRecord) -> bool:
    return not REPEATED.match(str(record.msg))


def _open(folder: Path, run_id: str) -> tuple[logging.Handler, Path | None]:
    path = folder / f"{run_id}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, encoding="utf-8"), path
    except OSError:
        handler = logging.StreamHandler(sys.stdout)
        # The console shows warnings and results itself.
        handler.addFilter(lambda record: record.levelno < logging.WARNING and record.name != SHOWN)
        return handler, None


def _is_console(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr, sys.__stdout__)
