"""The project's commands: Kedro's `run` with one-line errors, and what the registry and the lake need."""

import copy
import functools
import logging
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS, env_option

from network_anomalies.errors import explain

logger = logging.getLogger(__name__)
DATE = click.DateTime(["%Y-%m-%d"])


def in_one_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a failing command with the cause and the way out; the traceback is logged at DEBUG."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            logger.debug("The command failed", exc_info=error)
            raise click.ClickException(explain(error)) from None

    return wrapped


@click.group(context_settings=CONTEXT_SETTINGS)
def cli() -> None:
    """Ingest network events, prove what was stored, find the anomalies."""


# `--pipeline` stays welcome here beside `--pipelines`.
warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
run = copy.copy(kedro_run)
run.callback = in_one_line(kedro_run.callback)  # type: ignore[arg-type]
cli.add_command(run)


@cli.command()
@env_option
@in_one_line
def setup(env: str | None) -> None:
    """Make the buckets and the registry's schema where they are missing."""
    from network_anomalies.upkeep import load_stores, setup_stores

    for line in setup_stores(load_stores(env)):
        click.echo(line)


@cli.command()
@env_option
@in_one_line
def doctor(env: str | None) -> None:
    """Check what a run relies on: packages, configuration, store, registry, clock; exit 1 if anything FAILs."""
    from network_anomalies.upkeep.doctor import examine
    from network_anomalies.upkeep.findings import to_table

    findings = examine(env)
    for line in to_table(findings):
        click.echo(line)
    if any(finding.state == "FAIL" for finding in findings):
        raise click.exceptions.Exit(1)


@cli.command()
@env_option
@click.option("--start", type=DATE, default=None, help="First date to verify (default: the first there is).")
@click.option("--end", type=DATE, default=None, help="Last date to verify (default: the last there is).")
@click.option("--prune", is_flag=True, help="List what retention would delete; see conf/base/parameters_retention.yml.")
@click.option("--delete", is_flag=True, help="With --prune: delete it.")
@in_one_line
def verify(env: str | None, start: datetime | None, end: datetime | None, prune: bool, delete: bool) -> None:
    """Re-read stored objects and hold them to the registry; list orphans; exit 1 on any mismatch."""
    from network_anomalies.upkeep import load_stores, prune_stores, verify_stores

    if delete and not prune:
        raise click.UsageError("--delete needs --prune")
    stores = load_stores(env)
    report = verify_stores(stores, start.date() if start else None, end.date() if end else None)
    for line in report.lines():
        click.echo(line)
    if prune:
        for line in prune_stores(stores, report.orphans, datetime.now(UTC), delete):
            click.echo(line)
    if report.mismatches:
        raise click.exceptions.Exit(1)
