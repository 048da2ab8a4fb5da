"""The command that sends alerts to another system."""

from datetime import datetime

import click
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import DATE, in_one_line
from network_anomalies.errors import ProjectError


@click.command()
@env_option
@click.option("--date", "day", type=DATE, default=None, help="Which day (default: the latest that was scored).")
@click.option("--source", default=None, help="Whose alerts (default: of every source).")
@click.pass_obj
@in_one_line
def send(group_env: str | None, env: str | None, day: datetime | None, source: str | None) -> None:
    """Post the alerts of a day to the webhook of the credentials; exit 1 if it does not take them."""
    from network_anomalies.registry.alert_triage import choose_days
    from network_anomalies.upkeep.stores import load_stores
    from network_anomalies.upkeep.webhook import choose_webhook, send_day

    stores = load_stores(env or group_env)
    webhook = choose_webhook(stores.webhook.get("url"), stores.webhook.get("token"))
    failed = []
    for name, of_day in choose_days(stores.engine, source, day.date() if day else None, every_day=False).items():
        assert of_day is not None  # noqa: S101
        try:
            count = send_day(stores, webhook, name, of_day)
        except ProjectError as error:  # of one source: the other sources are sent nevertheless
            failed.append(f"{name} on {of_day}: {error.message}")
            continue
        done = f"{count} alert{'s' * (count != 1)} sent to {webhook.host}" if count else "no alerts, nothing to send"
        click.echo(f"{name} on {of_day}: {done}")
    if failed:
        raise ProjectError("; ".join(failed))
