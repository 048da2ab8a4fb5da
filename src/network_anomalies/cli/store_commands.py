"""Commands for the lake and the registry: make, check, prove and rebuild them."""

from datetime import datetime

import click
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import DATE, in_one_line


@click.command()
@env_option
@in_one_line
def setup(env: str | None) -> None:
    """Make the buckets and the registry's schema if they are missing."""
    from network_anomalies.upkeep import load_stores, setup_stores

    for line in setup_stores(load_stores(env)):
        click.echo(line)


@click.command()
@env_option
@in_one_line
def doctor(env: str | None) -> None:
    """Check what a run needs: packages, configuration, store, registry, clock; exit 1 if a check FAILs."""
    from network_anomalies.upkeep.checks import to_table
    from network_anomalies.upkeep.doctor import examine

    findings = examine(env)
    for line in to_table(findings):
        click.echo(line)
    if any(finding.state == "FAIL" for finding in findings):
        raise click.exceptions.Exit(1)


@click.command()
@env_option
@click.option("--start", type=DATE, default=None, help="First date to verify (default: the first date stored).")
@click.option("--end", type=DATE, default=None, help="Last date to verify (default: the last date stored).")
@click.option("--prune", is_flag=True, help="List what retention would delete; see conf/base/parameters_retention.yml.")
@click.option("--delete", is_flag=True, help="With --prune: delete the listed files.")
@click.option("--force", is_flag=True, help="With --delete: also more than retention.max_share of a bucket.")
@in_one_line
def verify(
    env: str | None, start: datetime | None, end: datetime | None, prune: bool, delete: bool, force: bool
) -> None:
    """Compare everything that is stored with the registry; list orphans; exit 1 on any mismatch."""
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


@click.command()
@env_option
@click.option("--list", "only_list", is_flag=True, help="Only show what would be restored.")
@in_one_line
def restore(env: str | None, only_list: bool) -> None:
    """Rebuild the RAW part of a lost or older registry, and what people decided, from the lake; exit 1 on a refusal."""
    from network_anomalies.upkeep import Restoration, load_stores, restore_registry, restore_verdicts

    verb, total, stores = "would restore" if only_list else "restored", Restoration(), load_stores(env)
    for outcome in restore_registry(stores, only_list):
        total.add(outcome)
        for line in outcome.lines(verb):
            click.echo(line)
    for line in total.lines(verb, env):
        click.echo(line)
    decisions, faults = restore_verdicts(stores, only_list)
    for line in [*(f"REFUSED {fault}" for fault in faults), *([f"{verb} {decisions} verdicts"] if decisions else [])]:
        click.echo(line)
    if total.refused or faults:
        raise click.exceptions.Exit(1)
