"""What the commands share: errors in one line, ranges of days, parameters."""

import atexit
import functools
import gc
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from network_anomalies.errors import explain, is_expected

DATE = click.DateTime(["%Y-%m-%d"])
parse_params: Any = next(option.callback for option in kedro_run.params if option.name == "params")
"""Makes nested parameters of ``--params``, as Kedro's own ``run`` does."""


def in_one_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a failing command with the cause and the way out; a defect, and with --traceback any error, shows where."""

    @click.option("--traceback", "is_traced", is_flag=True, help="Show where an error was raised, expected ones too.")
    @functools.wraps(command)
    def wrapped(*args: Any, is_traced: bool, **options: Any) -> Any:
        collect_less()
        try:
            return command(*args, **options)
        except (click.UsageError, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if is_traced or not is_expected(error):
                click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
            raise click.ClickException(explain(error)) from None

    return wrapped


def with_days(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the ``days`` of a range, None if no range was given."""

    @click.option("--start", type=DATE, default=None, help="First day; with --end.")
    @click.option("--end", type=DATE, default=None, help="Last day.")
    @click.option("--last", type=int, default=None, help="Instead of a range: so many days up to yesterday (UTC).")
    @functools.wraps(command)
    def wrapped(start: datetime | None, end: datetime | None, last: int | None, **options: Any) -> Any:
        from network_anomalies.backfill.plan import choose_days

        if start is None and end is None and last is None:
            return command(days=None, **options)
        today = datetime.now(UTC).date()
        return command(days=choose_days(start and start.date(), end and end.date(), last, today), **options)

    return wrapped


def collect_less() -> None:
    """Let the process of a command look for reference cycles seldom, and not once more when it ends.

    It imports much and leaves few cycles: looking for them took a fifth of a short run.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)


def collect_at_exit() -> None:
    """Undo a part of ``collect_less``: DuckDB warns about its objects that are left when the process ends."""
    atexit.unregister(gc.freeze)
