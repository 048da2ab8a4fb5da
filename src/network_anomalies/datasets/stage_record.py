"""What a modelling stage did, as rows of the registry."""

from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from typing import Any

from kedro.io import AbstractDataset
from sqlalchemy import Engine

from network_anomalies.datasets.files import FileOutputs, read_files
from network_anomalies.errors import ProjectError
from network_anomalies.registry.alert_rows import record_scoring
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.stage_log import StageEvent, read_stage
from network_anomalies.registry.stage_rows import (
    commit_transformation,
    read_evaluation,
    read_training,
    read_transformation,
    record_evaluation,
    record_stage,
    record_training,
)
from network_anomalies.runs.version import read_code_version

LIBRARIES = ("kedro", "numpy", "pandas", "pyarrow")
OWN_ROW: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "transformation": (commit_transformation, read_transformation),
    "training": (record_training, read_training),
    "evaluation": (record_evaluation, read_evaluation),
}
"""Stages with a table of their own: how its row is written and read."""


class StageRecordDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Saving keeps what a stage read and wrote; loading gives the latest record of the source and date, its receipt.

    Example of a catalog entry:

    .. code-block:: yaml

        training_events:
          type: network_anomalies.datasets.StageRecordDataset
          stage: training
          source: zeek
          logical_date: 2024-04-19
          object_root: s3://cybersec-ml-models/zeek
          registry: {credentials: postgres}
    """

    def __init__(
        self,
        *,
        stage: str,
        source: str,
        logical_date: str,
        registry: dict[str, Any],
        object_root: str = "",
        files: FileOutputs | None = None,
        lake: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            stage: its name.
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            object_root: URL of the folder that a record's file names are relative to.
            files: what the stage writes beside the objects that its node names, see ``datasets.files``.
            lake: ``credentials`` of the filesystem of ``files``.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._stage = stage
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._root = object_root.rstrip("/")
        self._files = files or {}
        self._credentials = (lake or {}).get("credentials")
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Keep the record: ``run_id``, ``inputs``, ``outputs`` (``file_name``, ``sha256``), and the stage's own row.

        A scoring has no row of its own, but ``limits``.
        """
        row = {name: value for name, value in data.items() if name not in ("inputs", "outputs", "limits")}
        objects = [{"uri": f"{self._root}/{item['file_name']}", "sha256": item["sha256"]} for item in data["outputs"]]
        outputs = objects + read_files(self._files, self._credentials)
        about = (data["run_id"], self._stage, self._source, self._logical_date)
        event = StageEvent(*about, data["inputs"], outputs, data.get("limits"))
        engine = open_registry(self._url)
        if self._stage in OWN_ROW:
            OWN_ROW[self._stage][0](engine, self._complete(row), event)
        elif self._stage == "scoring":
            record_scoring(engine, event)
        else:
            record_stage(engine, event)

    def load(self) -> dict[str, Any]:
        """Return the stage's own row, or where it has none that of ``stage_events``.

        Raises:
            ProjectError: the stage has not run for the source and date.
        """
        row = self._read(open_registry(self._url))
        if row is None and self._stage == "truth":
            return {}  # real logs have none
        if row is None:
            raise ProjectError(
                f"source {self._source} has no {self._stage} on {self._logical_date}: "
                f"run the {self._stage} pipeline of that day, or set logical_date and source"
            )
        return row

    def _read(self, engine: Engine) -> dict[str, Any] | None:
        if self._stage in OWN_ROW:
            row: dict[str, Any] | None = OWN_ROW[self._stage][1](engine, self._source, self._logical_date)
            return row
        return read_stage(engine, self._stage, self._source, self._logical_date)

    def _complete(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a stage's own row with what its node cannot know."""
        row = row | {"source": self._source, "logical_date": self._logical_date}
        if self._stage == "transformation":
            named = [item | {"uri": f"{self._root}/{item['file_name']}"} for item in row["output_objects"]]
            return row | {"output_objects": named}
        if self._stage == "training":
            versions = {name: version(name) for name in LIBRARIES}
            uri = f"{self._root}/{row.pop('model_file')}"
            return row | {"model_uri": uri, "code_version": read_code_version(), "library_versions": versions}
        return row

    def _exists(self) -> bool:
        return self._read(open_registry(self._url)) is not None

    def _describe(self) -> dict[str, Any]:
        return {"stage": self._stage, "source": self._source, "logical_date": str(self._logical_date)}
