"""What a command over many days needs of the project: its parameters, and where its registry is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from network_anomalies.datasets.places import Credentials
from network_anomalies.errors import ProjectError
from network_anomalies.parameters import Parameters
from network_anomalies.runs.progress import Choices
from network_anomalies.runs.session import RuntimeParameters, start_session


@dataclass(frozen=True)
class Project:
    """An environment of the project.

    Attributes:
        root: the project's root.
        env: Kedro's environment, None for the default.
        params: the runtime parameters that were given.
        registry: URL of the registry.
        lake: credentials of the lake.
        choices: what a run of now would use.
    """

    root: Path
    env: str | None
    params: RuntimeParameters
    registry: str
    lake: Credentials
    choices: Choices


def open_project(root: Path, env: str | None, params: RuntimeParameters) -> Project:
    """Read the configuration of an environment, with runtime parameters.

    Raises:
        ProjectError: a parameter does not exist, or differs from day to day.
    """
    if fixed := {"logical_date", "run_id"} & set(params):
        raise ProjectError(f"{', '.join(sorted(fixed))} differs from day to day: leave it out of --params")
    with start_session(root, env, params) as session:
        config = session.load_context().config_loader
        parameters, credentials = config["parameters"], config["credentials"]
    from network_anomalies.detection.scoring.storage import feature_spec_sha256

    choices = Choices(Parameters.model_construct(**parameters), feature_spec_sha256())
    return Project(root, env, params, credentials["postgres"]["con"], credentials["minio"], choices)


def format_params(params: RuntimeParameters) -> str:
    """Return runtime parameters as they are typed.

    >>> format_params({"source": "office", "generator": {"n_events": 10}})
    'source=office,generator.n_events=10'
    """
    return ",".join(f"{name}={_format_value(value)}" for name, value in _flatten(params))


def _flatten(params: RuntimeParameters) -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if value and isinstance(value, dict):
            yield from ((f"{name}.{inner}", leaf) for inner, leaf in _flatten(value))
        else:
            yield name, value


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
