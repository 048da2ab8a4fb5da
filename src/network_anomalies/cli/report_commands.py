"""The command that shows the daily report."""

from datetime import datetime

import click
from kedro.framework.cli.utils import env_option

from network_anomalies.cli.options import DATE, find_root, in_one_line


@click.command()
@env_option
@click.option("--date", "day", type=DATE, default=None, help="Which day (default: the latest that was scored).")
@click.option("--source", default=None, help="Whose day (default: the only source).")
@click.option("--open", "is_opened", is_flag=True, help="Open the report in the browser too.")
@in_one_line
def report(env: str | None, day: datetime | None, source: str | None, is_opened: bool) -> None:
    """Print the address of a day's report, an HTML page; `index.html` above it lists the days of the source."""
    import webbrowser

    from network_anomalies.errors import ProjectError
    from network_anomalies.registry.engine import ensure_schema
    from network_anomalies.upkeep.find_report import bring_report, find_report
    from network_anomalies.upkeep.stores import load_stores

    stores = load_stores(env)
    ensure_schema(stores.engine)
    place = find_report(stores, find_root(), source, day.date() if day else None)
    click.echo(place.address)
    if is_opened and not webbrowser.open(bring_report(stores, place)):
        raise ProjectError("this machine has no browser that can be started: open the address by hand")
