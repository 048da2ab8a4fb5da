"""Commands that show incidents and alerts, and take what a person decides about them."""

import getpass
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import DATE, in_one_line

if TYPE_CHECKING:
    from network_anomalies.records.verdicts import Judgement
    from network_anomalies.upkeep.stores import Stores


@click.group(invoke_without_command=True)
@env_option
@click.option("--date", "day", type=DATE, default=None, help="Which day (default: the latest that was scored).")
@click.option("--source", default=None, help="Whose alerts (default: of every source).")
@click.option("--open", "only_open", is_flag=True, help="Only what waits for a decision; without --date of every day.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
@in_one_line
def alerts(
    context: click.Context, env: str | None, day: datetime | None, source: str | None, only_open: bool, as_json: bool
) -> None:
    """List incidents, then alerts; or show, confirm, dismiss or close one by the beginning of its id."""
    context.obj = env
    if context.invoked_subcommand is not None:
        return
    from network_anomalies.cli.alert_pages import list_lines, to_json
    from network_anomalies.registry.alert_triage import choose_days, read_triage

    engine = _open(env).engine
    chosen = choose_days(engine, source, day.date() if day else None, every_day=only_open)
    found = [read_triage(engine, name, which, only_open, with_facts=as_json) for name, which in chosen.items()]
    if as_json:
        click.echo(json.dumps([to_json(triage) for triage in found], indent=1))
        return
    for line in list_lines(found, _measure_width()):
        click.echo(line)


@alerts.command()
@env_option
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@in_one_line
def show(group_env: str | None, env: str | None, id_: str, as_json: bool) -> None:
    """Show all that is known of an alert or an incident: facts, flows, lineage, what was decided before."""
    from network_anomalies.cli.alert_pages import found_to_json, show_alert, show_incident
    from network_anomalies.registry.alert_triage import find_by_id, read_lineage
    from network_anomalies.upkeep.alert_flows import read_first_flows

    stores = _open(env or group_env)
    found = find_by_id(stores.engine, id_)
    if as_json:
        click.echo(json.dumps(found_to_json(found), indent=1))
        return
    width = _measure_width()
    if found.is_incident:
        lines = show_incident(found, width)
    else:
        alert = found.alerts[0].alert
        lineage = read_lineage(stores.engine, alert)
        lines = show_alert(found, read_first_flows(stores, alert), lineage, width)
    for line in lines:
        click.echo(line)


def _deciding(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a decision."""
    for decorate in (
        click.option("--by", "person", default=getpass.getuser, show_default="the user of this machine", help="Who."),
        click.option("--reason", required=True, help="Why."),
        click.argument("id_", metavar="ID"),
        env_option,
    ):
        command = decorate(command)
    return command


@alerts.command()
@_deciding
@click.pass_obj
@in_one_line
def confirm(group_env: str | None, env: str | None, id_: str, reason: str, person: str) -> None:
    """Say that an alert, or every alert of an incident, is right."""
    _decide(_open(env or group_env), id_, "confirmed", reason, person)


@alerts.command()
@_deciding
@click.option("--until", type=DATE, default=None, help="Last day of it (default: alerts.dismissed_days from today).")
@click.option("--any-peer", is_flag=True, help="The habit with every peer, not only with the one that the alert names.")
@click.pass_obj
@in_one_line
def dismiss(
    group_env: str | None,
    env: str | None,
    id_: str,
    reason: str,
    person: str,
    until: datetime | None,
    any_peer: bool,
) -> None:
    """Say that an alert, or every alert of an incident, is none; the same habit is suppressed for some days."""
    stores = _open(env or group_env)
    last = until.date() if until else datetime.now(UTC).date() + timedelta(days=stores.alerts.dismissed_days)
    _decide(stores, id_, "dismissed", reason, person, until=last, any_peer=any_peer)


@alerts.command()
@_deciding
@click.pass_obj
@in_one_line
def close(group_env: str | None, env: str | None, id_: str, reason: str, person: str) -> None:
    """Say that the work on an incident, or on an alert, is done."""
    _decide(_open(env or group_env), id_, "closed", reason, person)


def _decide(stores: "Stores", id_: str, verdict: "Judgement", reason: str, person: str, **more: Any) -> None:
    from network_anomalies.cli.alert_pages import describe_decision
    from network_anomalies.registry.alert_triage import NewVerdict, find_by_id, record_decision
    from network_anomalies.upkeep.lake_verdicts import require_known_verdicts, write_verdicts

    decision = NewVerdict(verdict=verdict, reason=reason, person=person, **more)
    require_known_verdicts(stores, find_by_id(stores.engine, id_).alerts[0].alert.source)
    found, decided = record_decision(stores.engine, id_, decision, stores.alerts.incident_days)
    write_verdicts(stores, decided)
    for line in describe_decision(found, decided, _measure_width()):
        click.echo(line)


def _open(env: str | None) -> "Stores":
    from network_anomalies.registry.engine import ensure_schema
    from network_anomalies.upkeep.stores import load_stores

    stores = load_stores(env)
    ensure_schema(stores.engine)
    return stores


def _measure_width() -> int:
    return shutil.get_terminal_size().columns
