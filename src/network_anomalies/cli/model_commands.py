"""The command that lists the models of a source and chooses its champion."""

import getpass
from typing import Any

import click
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import in_one_line


@click.command()
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
