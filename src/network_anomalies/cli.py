"""The project's commands: Kedro's `run` with one-line errors, and what the registry and the lake need."""

import atexit
import functools
import gc
import getpass
import os
import traceback
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.hooks import cli_hook_impl, get_cli_hook_manager
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS, env_option
from kedro.framework.project import settings

from network_anomalies.errors import ProjectError, explain, is_expected

if TYPE_CHECKING:
    from network_anomalies.runs.session import RuntimeParameters

DATE = click.DateTime(["%Y-%m-%d"])
run_kedro: Any = kedro_run.callback
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


@click.group(context_settings=CONTEXT_SETTINGS)
def cli() -> None:
    """Ingest network events, prove what was stored, find the anomalies."""


class VizCheck:
    """Reads the credentials before ``kedro viz`` does: it reads them in another process, which ends in a traceback."""

    @cli_hook_impl
    def before_command_run(self, command_args: list[str]) -> None:
        """End with the cause in one line if the environment of a ``kedro viz`` command cannot be used."""
        if command_args[:1] != ["viz"] or {"-h", "--help"} & set(command_args):
            return
        options = ArgumentParser(add_help=False)
        options.add_argument("-e", "--env", default=os.environ.get("KEDRO_ENV"))
        try:
            session = settings.SESSION_CLASS.create(env=options.parse_known_args(command_args)[0].env)
            session.load_context().config_loader["credentials"]
        except ProjectError as error:
            raise SystemExit(f"Error: {error}") from error


get_cli_hook_manager().register(VizCheck())


@cli.command(params=list(kedro_run.params), help=kedro_run.help)
@in_one_line
def run(pipeline: str | None, pipelines: list[str], **options: Any) -> Any:
    """Run pipelines by Kedro's own command; ``--pipeline`` means ``--pipelines`` here and stays."""
    if pipeline and pipelines:
        raise click.UsageError("give --pipelines or --pipeline, not both")
    names = [pipeline] if pipeline else pipelines
    return run_kedro(pipeline=None, pipelines=names, **options)


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
@click.option("--reason", default="chosen by hand", show_default=True, help="Why, with --rollback or --promote.")
@click.option("--by", "person", default=getpass.getuser, show_default="the user of this machine", help="Who decides.")
@in_one_line
def models(env: str | None, source: str, rollback: bool, promote: int | None, reason: str, person: str) -> None:
    """List the models of a source and its champions; with --rollback or --promote choose the champion by hand."""
    from network_anomalies.registry.model_rows import list_models, list_promotions, roll_back
    from network_anomalies.upkeep import load_stores

    engine = load_stores(env).engine
    if rollback and promote is not None:
        raise click.UsageError("give --rollback or --promote, not both")
    if rollback or promote is not None:
        champion = roll_back(engine, source, promote, person, reason)
        named = f"version {champion.version} ({champion.model_sha256[:12]})"
        click.echo(f"champion of {source} is {named}, from {champion.champion_from} on")
        click.echo(describe_stale_alerts(engine, source))
    known = list_models(engine, source)
    if known.empty:
        click.echo(f"source {source} has no models yet")
        return
    click.echo(known[["version", "status", "model_sha256", "registered_at", "reason"]].to_string(index=False))
    decided = list_promotions(engine, source)
    shown = decided[["logical_date", "version", "status", "promoted_at", "promoted_by", "reason"]]
    click.echo(f"champions, from which day on:\n{shown.to_string(index=False)}")


def describe_stale_alerts(engine: Any, source: str) -> str:
    """Say of which days the alerts come from a model that is not their champion, and how to raise them again."""
    from network_anomalies.registry.model_rows import list_days_of_other_champions

    days = list_days_of_other_champions(engine, source)
    if not days:
        return "the alerts of every day come from its champion"
    named = f"{days[0]} to {days[-1]}" if len(days) > 1 else f"{days[0]}"
    advice = f"kedro backfill --stale --start {days[0]} --end {days[-1]} --pipelines scoring --params source={source}"
    return f"the alerts of {len(days)} days ({named}) come from another model: {advice}"


@cli.command()
@env_option
@in_one_line
def doctor(env: str | None) -> None:
    """Check what a run relies on: packages, configuration, store, registry, clock; exit 1 if anything FAILs."""
    from network_anomalies.upkeep.checks import to_table
    from network_anomalies.upkeep.doctor import examine

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
@click.option("--force", is_flag=True, help="With --delete: also more than retention.max_share of a bucket.")
@in_one_line
def verify(
    env: str | None, start: datetime | None, end: datetime | None, prune: bool, delete: bool, force: bool
) -> None:
    """Hold everything that is stored to the registry; list orphans; exit 1 on any mismatch."""
    from network_anomalies.upkeep import Range, load_stores, prune_stores, read_clock, verify_stores

    if (delete and not prune) or (force and not delete):
        raise click.UsageError("--delete needs --prune, and --force needs --delete")
    stores, dates = load_stores(env), Range(start.date() if start else None, end.date() if end else None)
    report = verify_stores(stores, dates.start, dates.end)
    for line in report.lines():
        click.echo(line)
    if prune:
        for line in prune_stores(stores, read_clock(stores), dates, delete, force):
            click.echo(line)
    if report.mismatches:
        raise click.exceptions.Exit(1)


@cli.command()
@env_option
@click.option("--list", "only_list", is_flag=True, help="Show what would be restored, change nothing.")
@in_one_line
def restore(env: str | None, only_list: bool) -> None:
    """Rebuild the RAW part of a lost or older registry from the lake's manifests; exit 1 if a day is refused."""
    from network_anomalies.upkeep import Restoration, load_stores, restore_registry

    verb, total = "would restore" if only_list else "restored", Restoration()
    for outcome in restore_registry(load_stores(env), only_list):
        total.add(outcome)
        for line in outcome.lines(verb):
            click.echo(line)
    for line in total.lines(verb, env):
        click.echo(line)
    if total.refused:
        raise click.exceptions.Exit(1)


@cli.command()
@env_option
@click.option("--source", required=True, help="Whose rows.")
@click.option("--date", "day", type=DATE, required=True, help="Their logical date.")
@click.option("--rule", default=None, help="Only rows that broke this rule, such as protocol_unknown.")
@in_one_line
def replay(env: str | None, source: str, day: datetime, rule: str | None) -> None:
    """Put quarantined rows through today's gate again; what passes makes a new revision of the day."""
    from network_anomalies.upkeep.replay_day import replay_day

    replay_day(Path.cwd(), env, source, day.date(), rule)


@cli.command()
@env_option
@click.option("--source", default=None, help="Whose days (default: all sources).")
@click.option("--last", type=int, default=None, help="So many days up to yesterday (default: the last 14 known).")
@click.option("--params", default="", callback=parse_params, help="Parameters that differ from conf, as in `run`.")
@in_one_line
def status(env: str | None, source: str | None, last: int | None, params: "RuntimeParameters") -> None:
    """Show how far each day is: done, stale, missing or failed, why, and what to type next; runs nothing."""
    from network_anomalies.backfill.choices import open_project
    from network_anomalies.backfill.status import report_status

    project = open_project(Path.cwd(), env, params)
    for line in report_status(project, source or params.get("source"), last, datetime.now(UTC).date()):
        click.echo(line)


@cli.command()
@env_option
@click.option("--stale", is_flag=True, help="Run what is stale too; without a range: of every day that was run before.")
@click.option("--jobs", type=int, default=1, show_default=True, help="How many days to ingest and transform at once.")
@click.option(
    "--pipelines",
    "--pipeline",
    default=None,
    help="Stages or groups of them (default: the source's ingestion; with --stale the stages that a day was run with).",
)
@click.option("--params", default="", callback=parse_params, help="Parameters of every day's run, as in `run`.")
@click.option("--list", "only_list", is_flag=True, help="Show what would be run, run nothing.")
@in_one_line
@with_days
def backfill(
    env: str | None,
    days: list[date] | None,
    stale: bool,
    jobs: int,
    pipelines: str | None,
    params: "RuntimeParameters",
    only_list: bool,
) -> None:
    """Run what is missing of many days; exit 1 if a day fails."""
    from network_anomalies.backfill.workers import warm_up

    if not only_list:
        warm_up()
    from network_anomalies.backfill.choices import open_project
    from network_anomalies.backfill.plan import Request, check_request, list_gaps, plan_backfill
    from network_anomalies.backfill.run import run_backfill

    names = None if pipelines is None else [name.strip() for name in pipelines.split(",") if name.strip()]
    request = Request(days, names, stale, jobs)
    check_request(request)
    plan = plan_backfill(request, open_project(Path.cwd(), env, params))
    if only_list:
        click.echo(list_gaps(plan))
        return
    run_backfill(plan, click.echo)
