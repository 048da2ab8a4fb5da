"""Run a flow once, or serve both flows on a schedule: ``python -m network_anomalies.orchestration --help``."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import click
from httpx import TransportError
from kedro.framework.cli.utils import env_option
from prefect import serve
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.schedules import Cron, Schedule
from prefect.settings import PREFECT_API_URL

from network_anomalies.cli.options import DATE, in_one_line, parse_params
from network_anomalies.errors import ProjectError
from network_anomalies.orchestration.flows import data_ingestion_flow, full_mlops_flow
from network_anomalies.runs.session import RuntimeParameters

FLOWS: dict[str, Flow[Any, Any]] = {"ingestion": data_ingestion_flow, "full": full_mlops_flow}


@click.group()
def main() -> None:
    """Run the flows, once or on a schedule."""


def add_command(name: str, flow: Flow[Any, Any]) -> None:
    """Add the command that runs a flow once."""

    @main.command(name, help=f"Run the flow {flow.name} once.")
    @env_option
    @click.option("--date", "day", type=DATE, default=None, help="The UTC day (default: yesterday).")
    @click.option("--params", default="", callback=parse_params, help="Other parameters, as in `kedro run`.")
    @in_one_line
    def run_once(env: str | None, day: datetime | None, params: RuntimeParameters) -> None:
        click.echo(call_server(lambda: flow(day.date() if day else None, env, params)))


for name, flow in FLOWS.items():
    add_command(name, flow)


@main.command("serve")
@env_option
@click.option("--cron", default="0 2 * * *", show_default=True, help="Cron expression of the start times, in UTC.")
@click.option("--params", default="", callback=parse_params, help="Other parameters, as in `kedro run`.")
@in_one_line
def serve_daily(env: str | None, cron: str, params: RuntimeParameters) -> None:
    """Serve both flows on a schedule, until the process is stopped."""
    try:
        schedule = Cron(cron, timezone="UTC")
    except ValueError:
        raise ProjectError(f"--cron {cron!r} is no cron expression: write five fields, such as '0 2 * * *'") from None
    if not PREFECT_API_URL.value():
        raise ProjectError(
            "a schedule needs a permanent Prefect server: run `prefect server start`, "
            "then export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    call_server(lambda: serve(*plan_deployments(schedule, {"env": env, "params": params})))


def plan_deployments(schedule: Schedule, parameters: RuntimeParameters) -> list[RunnerDeployment]:
    """Return both flows as deployments on a schedule."""
    deployments = [flow.to_deployment(name, schedule=schedule, parameters=parameters) for name, flow in FLOWS.items()]
    return cast("list[RunnerDeployment]", deployments)  # inside an event loop they would be coroutines


def call_server(call: Callable[[], Any]) -> Any:
    """Return the result of ``call``.

    Raises:
        ProjectError: Prefect's server does not answer.
    """
    try:
        return call()
    except (RuntimeError, TransportError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):
            raise
        raise ProjectError(
            f"the Prefect server at {PREFECT_API_URL.value()} does not answer: start it (`prefect server start`), "
            "or unset PREFECT_API_URL to run once on a temporary one"
        ) from error


if __name__ == "__main__":
    main()
