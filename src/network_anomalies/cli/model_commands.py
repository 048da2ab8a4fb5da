"""The command that lists the models of a source and chooses its champion."""

import getpass
from typing import Any

import click
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import in_one_line


@click.command()
@env_option
@click.option("--source", default="synthetic", show_default=True, help="The source of the models.")
@click.option("--rollback", is_flag=True, help="Make the champion before the present one champion again.")
@click.option("--promote", type=int, default=None, metavar="VERSION", help="Make this version champion.")
@click.option("--reason", default="chosen by hand", show_default=True, help="The reason for --rollback or --promote.")
@click.option("--by", "person", default=getpass.getuser, show_default="the user of this machine", help="Who decides.")
@in_one_line
def models(env: str | None, source: str, rollback: bool, promote: int | None, reason: str, person: str) -> None:
    """List the models and champions of a source; choose the champion with --rollback or --promote."""
    from network_anomalies.registry.model_rows import list_models, list_promotions, roll_back
    from network_anomalies.upkeep import load_stores

    engine = load_stores(env).engine
    if rollback and promote is not None:
        raise click.UsageError("give --rollback or --promote, not both")
    if rollback or promote is not None:
        champion = roll_back(engine, source, promote, person, reason)
        version = f"version {champion.version} ({champion.model_sha256[:12]})"
        click.echo(f"champion of {source} is {version}, from {champion.champion_from} on")
        click.echo(describe_stale_alerts(engine, source))
    rows = list_models(engine, source)
    if rows.empty:
        click.echo(f"source {source} has no models yet")
        return
    click.echo(rows[["version", "status", "model_sha256", "registered_at", "reason"]].to_string(index=False))
    columns = ["logical_date", "version", "status", "promoted_at", "promoted_by", "reason"]
    click.echo(f"champions, from which day on:\n{list_promotions(engine, source)[columns].to_string(index=False)}")


def describe_stale_alerts(engine: Any, source: str) -> str:
    """Name the days whose alerts come from a model that is not their champion, and the command to renew them."""
    from network_anomalies.registry.model_rows import list_days_of_other_champions

    days = list_days_of_other_champions(engine, source)
    if not days:
        return "the alerts of every day come from its champion"
    dates = f"{days[0]} to {days[-1]}" if len(days) > 1 else f"{days[0]}"
    advice = f"kedro backfill --stale --start {days[0]} --end {days[-1]} --pipelines scoring --params source={source}"
    return f"the alerts of {len(days)} days ({dates}) come from another model: {advice}"
