"""The project's commands: Kedro's `run` with errors in one line, and commands for the registry and the lake."""

import click
from kedro.framework.cli.hooks import get_cli_hook_manager
from kedro.framework.cli.utils import CONTEXT_SETTINGS

from network_anomalies.cli.alert_commands import alerts
from network_anomalies.cli.delivery_commands import send
from network_anomalies.cli.model_commands import models
from network_anomalies.cli.query_commands import query
from network_anomalies.cli.report_commands import report
from network_anomalies.cli.run_commands import backfill, replay, run, status
from network_anomalies.cli.store_commands import doctor, restore, setup, verify
from network_anomalies.cli.viz_check import VizCheck

COMMANDS = (run, setup, alerts, report, models, query, doctor, verify, restore, replay, status, backfill)


@click.group(context_settings=CONTEXT_SETTINGS)
def cli() -> None:
    """Ingest network events, prove what was stored, find anomalies."""


for command in COMMANDS:
    cli.add_command(command)
alerts.add_command(send)
get_cli_hook_manager().register(VizCheck())
