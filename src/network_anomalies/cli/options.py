"""What the commands share: errors in one line, ranges of days, parameters."""

import atexit
import functools
import gc
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.utils import find_kedro_project

from network_anomalies.errors import explain, is_expected

DATE = click.DateTime(["%Y-%m-%d"])
parse_params: Any = next(option.callback for option in kedro_run.params if option.name == "params")
"""Reads ``--params`` into nested parameters, as Kedro's own ``run`` does."""


def in_one_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a failing command with its cause in one line; show the traceback of a defect, or with --traceback of any."""

    @click.option("--traceback", "is_traced", is_flag=True, help="Show the traceback of every error.")
    @functools.wraps(command)
    def wrapped(*args: Any, is_traced: bool, **options: Any) -> Any:
        collect_less()
        try:
            return command(*args, **options)
        except (click.UsageError, click.Abort, click.exceptions.Exit, BrokenPipeError):  # the last: as of `| head`
            raise
        except Exception as error:
            if is_traced or not is_expected(error):
                click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
            raise click.ClickException(explain(error)) from None

    return wrapped


def find_root() -> Path:
    """Return the root of the project that the working directory belongs to."""
    return find_kedro_project(Path.cwd()) or Path.cwd()


def with_days(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options for a range of days to a command; its argument ``days`` is None if no range is given."""

    @click.option("--start", type=DATE, default=None, help="First day; needs --end.")
    @click.option("--end", type=DATE, default=None, help="Last day.")
    @click.option("--last", type=int, default=None, help="Instead of a range: this many days up to yesterday (UTC).")
    @functools.wraps(command)
    def wrapped(start: datetime | None, end: datetime | None, last: int | None, **options: Any) -> Any:
        from network_anomalies.backfill.plan import choose_days

        if start is None and end is None and last is None:
            return command(days=None, **options)
        today = datetime.now(UTC).date()
        return command(days=choose_days(start and start.date(), end and end.date(), last, today), **options)

    return wrapped


def collect_less() -> None:
    """Make Python's garbage collection rare in the process of a command, and skip it at the end.

    A command imports many modules and leaves few reference cycles: collection took a fifth of a short run.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(freeze_objects)


def freeze_objects() -> None:
    """Leave out the last search for cycles; not with DuckDB, which warns about its objects that are left at the end."""
    if "duckdb" not in sys.modules:
        gc.freeze()
