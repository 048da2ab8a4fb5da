"""The session of a run: real logs are never ingested under the name of the synthetic source."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession

from network_anomalies.errors import ProjectError


class RunSession(KedroSession):
    """A Kedro session in which ``log_ingestion`` names its source after the logs' format unless told."""

    def run(  # type: ignore[override]
        self, pipeline_name: str | None = None, pipeline_names: list[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Run as ``KedroSession.run`` does; see there for the options.

        Raises:
            ProjectError: a pipeline does not exist.
        """
        names = pipeline_names or ([pipeline_name] if pipeline_name else None)
        require_registered(names or [])
        given = self._store.get("runtime_params") or {}
        if names and "log_ingestion" in names:
            self._store["runtime_params"] = {**given, "source": self.name_source(names)}
        result: dict[str, Any] = super().run(pipeline_names=names, **options)
        return result

    def name_source(self, names: Iterable[str]) -> str:
        """Return whose events a run of the pipelines ``names`` is about."""
        parameters = self._get_config_loader()["parameters"]
        given = self._store.get("runtime_params") or {}
        takes_format = "log_ingestion" in names and "source" not in given and parameters["source"] == "synthetic"
        return str(parameters["logs"]["format"] if takes_format else parameters["source"])


@contextmanager
def start_session(root: Path, env: str | None, params: dict[str, Any]) -> Iterator[RunSession]:
    """Open a session of the project at ``root``, for an environment (None: the default) and runtime parameters."""
    with RunSession.create(root, env=env, runtime_params=params) as session:
        yield cast("RunSession", session)


def require_registered(names: Iterable[str]) -> None:
    """Refuse names of pipelines that do not exist.

    Raises:
        ProjectError: a pipeline does not exist.
    """
    if unknown := set(names) - set(pipelines):
        known = ", ".join(sorted(set(pipelines) - {"__default__"}))
        raise ProjectError(f"there is no pipeline {', '.join(sorted(unknown))}: there are {known}")
