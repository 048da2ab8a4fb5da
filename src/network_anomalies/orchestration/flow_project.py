"""The Kedro project that the flows run: the project of the working directory."""

import os
import re
from functools import cache
from pathlib import Path

from kedro.framework.project import configure_project, pipelines
from kedro.utils import find_kedro_project

from network_anomalies.errors import ProjectError
from network_anomalies.runs.stages import MODELLING

REFERENCE = re.compile(r"\$\{oc\.env:(\w+)\}")


def find_root() -> Path:
    """Return the project's root.

    Raises:
        ProjectError: the working directory belongs to no Kedro project.
    """
    root = find_kedro_project(Path.cwd())
    if root is None:
        raise ProjectError(
            f"{Path.cwd()} belongs to no Kedro project: start from the project's root, or set it as the "
            "working directory of the deployment (see prefect.yaml)"
        )
    return Path(root)


@cache
def configure() -> None:
    """Tell Kedro about the project, once per process; existing loggers stay as they are."""
    configure_project(__package__.partition(".")[0], preserve_logging=True)


def list_modelling() -> list[str]:
    """Return the modelling pipelines that are registered, in the order in which they run."""
    configure()
    return [stage for stage in MODELLING if stage in pipelines]


def require_variables(env: str | None) -> None:
    """Check that the environment variables which the credentials of ``env`` need are set.

    Raises:
        ProjectError: a variable is not set; the error names every such variable.
    """
    path = find_root() / "conf" / (env or "embedded") / "credentials.yml"
    needed = REFERENCE.findall(path.read_text()) if path.exists() else []
    if missing := [name for name in dict.fromkeys(needed) if name not in os.environ]:
        raise ProjectError(
            f"{', '.join(missing)} {'are' if len(missing) > 1 else 'is'} not set where the flow runs: "
            "export them where it is served or its worker started, or set them in the work pool's `env`"
        )
