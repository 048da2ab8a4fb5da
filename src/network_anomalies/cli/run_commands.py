"""Commands that run pipelines: for a day, for many days, or for quarantined rows."""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import DATE, find_root, in_one_line, parse_params, with_days
from network_anomalies.terminal.run_log import leave_out_repeated

if TYPE_CHECKING:
    from network_anomalies.runs.session import RuntimeParameters

run_kedro: Any = kedro_run.callback


@click.command(params=list(kedro_run.params), help=kedro_run.help)
@in_one_line
def run(pipeline: str | None, pipelines: list[str], **options: Any) -> Any:
    """Run pipelines by Kedro's own command; here ``--pipeline`` is another name of ``--pipelines``."""
    if pipeline and pipelines:
        raise click.UsageError("give --pipelines or --pipeline, not both")
    names = [pipeline] if pipeline else pipelines
    with leave_out_repeated():
        return run_kedro(pipeline=None, pipelines=names, **options)


@click.command()
@env_option
@click.option("--source", required=True, help="The source of the rows.")
@click.option("--date", "day", type=DATE, required=True, help="The logical date of the rows.")
@click.option("--rule", default=None, help="Only rows that broke this rule, such as protocol_unknown.")
@in_one_line
def replay(env: str | None, source: str, day: datetime, rule: str | None) -> None:
    """Put quarantined rows through the present gate again; rows that pass make a new revision of the day."""
    from network_anomalies.upkeep.replay_day import replay_day

    replay_day(find_root(), env, source, day.date(), rule)


@click.command()
@env_option
@click.option("--source", default=None, help="Only this source (default: all sources).")
@click.option("--last", type=int, default=None, help="This many days up to yesterday (default: the last 14 known).")
@click.option("--params", default="", callback=parse_params, help="Parameters that differ from conf, as in `run`.")
@in_one_line
def status(env: str | None, source: str | None, last: int | None, params: "RuntimeParameters") -> None:
    """Show the state of each day (done, stale, missing, failed), why, and the next command; this runs nothing."""
    from network_anomalies.backfill.choices import open_project
    from network_anomalies.backfill.status import report_status

    project = open_project(find_root(), env, params)
    for line in report_status(project, source or params.get("source"), last, datetime.now(UTC).date()):
        click.echo(line)


@click.command()
@env_option
@click.option("--stale", is_flag=True, help="Also run stale stages; without a range, those of every day with a run.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Number of days to ingest and transform at once.")
@click.option(
    "--pipelines",
    "--pipeline",
    default=None,
    help="Stages or groups of them (default: the source's ingestion; with --stale the stages that a day was run with).",
)
@click.option("--params", default="", callback=parse_params, help="Parameters of every day's run, as in `run`.")
@click.option("--list", "only_list", is_flag=True, help="Only show what would be run.")
@click.option("--share", default="0/1", help="Share I/N of the days, from 0: N processes or pods take one each.")
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
    share: str,
) -> None:
    """Run the missing stages of many days; exit 1 if a day fails."""
    from network_anomalies.backfill.workers import warm_up

    if not only_list:
        warm_up()
    from network_anomalies.backfill.choices import open_project
    from network_anomalies.backfill.plan import Request, check_request, list_gaps, parse_share, plan_backfill
    from network_anomalies.backfill.run import run_backfill

    names = None if pipelines is None else [name.strip() for name in pipelines.split(",") if name.strip()]
    request = Request(days, names, stale, jobs, parse_share(share))
    check_request(request)
    plan = plan_backfill(request, open_project(find_root(), env, params))
    if only_list:
        click.echo(list_gaps(plan))
        return
    run_backfill(plan, click.echo)
