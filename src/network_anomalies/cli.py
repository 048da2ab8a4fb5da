"""The project's commands: Kedro's `run` with one-line errors, and what the registry and the lake need."""

import atexit
import copy
import functools
import gc
import logging
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS, _split_params, env_option, split_string

from network_anomalies.errors import explain

logger = logging.getLogger(__name__)
DATE = click.DateTime(["%Y-%m-%d"])


def in_one_line(command: Callable[..., Any]) -> Callable[..., Any]:
    """End a failing command with the cause and the way out; the traceback is logged at DEBUG."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        collect_less()
        try:
            return command(*args, **options)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            logger.debug("The command failed", exc_info=error)
            raise click.ClickException(explain(error)) from None

    return wrapped


def collect_less() -> None:
    """Let the process of a command look for reference cycles seldom, and not once more when it ends.

    It imports much and leaves few cycles: looking for them took a fifth of a short run.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)


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
@click.option("--source", default="synthetic", show_default=True, help="Whose models.")
@click.option("--rollback", is_flag=True, help="Make the champion before the present one champion again.")
@click.option("--promote", type=int, default=None, metavar="VERSION", help="Make this version champion.")
@in_one_line
def models(env: str | None, source: str, rollback: bool, promote: int | None) -> None:
    """List the models of a source, newest last; with --rollback or --promote choose the champion by hand."""
    from network_anomalies.registry.models import list_models, roll_back
    from network_anomalies.upkeep import load_stores

    engine = load_stores(env).engine
    if rollback and promote is not None:
        raise click.UsageError("give --rollback or --promote, not both")
    if rollback or promote is not None:
        champion = roll_back(engine, source, promote)
        click.echo(f"champion of {source} is version {champion['version']} ({champion['model_sha256'][:12]})")
    shown = list_models(engine, source)[["version", "status", "model_sha256", "registered_at", "promoted_at", "reason"]]
    click.echo(shown.to_string(index=False) if len(shown) else f"source {source} has no models yet")


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


@cli.command()
@env_option
@click.option("--start", type=DATE, default=None, help="First day; with --end.")
@click.option("--end", type=DATE, default=None, help="Last day.")
@click.option("--last", type=int, default=None, help="Instead of a range: so many days up to yesterday (UTC).")
@click.option("--jobs", type=int, default=1, show_default=True, help="How many days to run at once.")
@click.option("--pipelines", "--pipeline", "names", default="ingestion", show_default=True, callback=split_string)
@click.option("--params", default="", callback=_split_params, help="Parameters of every day's run, as in `run`.")
@click.option("--list", "only_list", is_flag=True, help="Show the gaps, run nothing.")
@in_one_line
def backfill(
    env: str | None,
    start: datetime | None,
    end: datetime | None,
    last: int | None,
    jobs: int,
    names: list[str],
    params: dict[str, Any],
    only_list: bool,
) -> None:
    """Run the days of a range that the registry misses; exit 1 if one fails."""
    from network_anomalies.backfill.workers import warm_up

    if not only_list:
        warm_up()
    from network_anomalies.backfill.plan import choose_days, format_gaps, plan_backfill, run_backfill

    days = choose_days(start.date() if start else None, end.date() if end else None, last, datetime.now(UTC).date())
    plan, settings = plan_backfill(days, names, jobs, env, params, Path.cwd())
    if only_list:
        click.echo(format_gaps(plan))
        return
    run_backfill(plan, settings, click.echo)
