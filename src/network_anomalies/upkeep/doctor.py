"""`kedro doctor`: checks this machine, the configuration, the lake and the registry before a run."""

from functools import partial
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from kedro.utils import find_kedro_project
from sqlalchemy import make_url

from network_anomalies.datasets.lake import open_lake
from network_anomalies.upkeep.checks import Check, Finding, run_checks
from network_anomalies.upkeep.doctor_conf import (
    Variables,
    check_configuration,
    check_variables,
    find_variables,
    resolve_credentials,
)
from network_anomalies.upkeep.doctor_host import check_folder, check_packages, check_python
from network_anomalies.upkeep.doctor_links import check_database_link, check_name, check_store_link, to_host
from network_anomalies.upkeep.doctor_registry import check_registry
from network_anomalies.upkeep.doctor_store import check_bucket, check_clock

LIMIT_SECONDS = 20.0
"""More than the sum of the time limits of store and database, so that their errors are shown, not a late check."""

AWS_ENDPOINT = "https://s3.amazonaws.com"
"""The endpoint that s3fs uses if the credentials name none."""


def examine(env: str | None, project_path: Path | None = None, seconds: float = LIMIT_SECONDS) -> list[Finding]:
    """Check everything that a run in environment ``env`` needs, within ``seconds``; all test files are deleted."""
    root = Path(project_path or find_kedro_project(Path.cwd()) or Path.cwd())
    checks: dict[str, Check] = {
        "python": check_python,
        "packages": lambda: check_packages(root / "constraints.txt"),
        "data folder": lambda: check_folder("data folder", root / "data/ingested"),
    }
    try:
        loader = settings.SESSION_CLASS.create(root, env=env).load_context().config_loader
    except Exception as error:  # without a configuration the servers are not known
        return run_checks(checks | {"configuration": _failing(error)}, seconds)
    checks["configuration"] = lambda: check_configuration(loader)
    variables = find_variables(loader)
    if variables:
        checks["variables"] = lambda: check_variables(variables)
    checks |= _plan_store(loader, variables, root) | _plan_registry(loader, variables)
    return run_checks(checks, seconds)


def _plan_store(loader: Any, variables: Variables, root: Path) -> dict[str, Check]:
    try:
        places = loader["globals"]
        credentials = resolve_credentials(loader, "minio", variables)
        if "://" not in places["lake"]:
            return {"lake": lambda: check_folder("lake", root / places["lake"])}
        endpoint = str(credentials.get("endpoint_url") or AWS_ENDPOINT)
        host = to_host(endpoint)
        lake, _ = open_lake(places["lake"], credentials)
        lake.connect()  # one client for the checks below, which run in parallel
    except Exception as error:
        return {"store": _failing(error)}
    buckets = list(places["buckets"].values())
    checks: dict[str, Check] = {
        "store name": lambda: check_name("store name", host),
        "store link": lambda: check_store_link(endpoint),
        "store clock": lambda: check_clock(lake, buckets[0]),
    }
    return checks | {f"bucket {name}": partial(check_bucket, lake, name) for name in buckets}


def _plan_registry(loader: Any, variables: Variables) -> dict[str, Check]:
    try:
        url = resolve_credentials(loader, "postgres", variables)["con"]
        place = make_url(url)
    except Exception as error:
        return {"registry": _failing(error)}
    checks: dict[str, Check] = {"registry": lambda: check_registry(url)}
    if place.get_backend_name() == "sqlite":
        return checks
    host, mode = str(place.host), str(place.query.get("sslmode"))
    return {
        "registry name": lambda: check_name("registry name", host),
        "registry link": lambda: check_database_link(host, mode),
    } | checks


def _failing(error: Exception) -> Check:
    def check() -> list[Finding]:
        raise error

    return check
