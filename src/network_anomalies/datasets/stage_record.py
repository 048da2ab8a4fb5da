"""What a modelling stage did, as a row of the registry."""

from datetime import date
from importlib.metadata import version
from typing import Any

from kedro.io import AbstractDataset

from network_anomalies.errors import ProjectError
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.stages import (
    commit_transformation,
    read_evaluation,
    read_training,
    read_transformation,
    record_evaluation,
    record_training,
)
from network_anomalies.version import read_code_version

LIBRARIES = ("kedro", "numpy", "pandas", "pyarrow")
STAGES = {
    "transformation": (commit_transformation, read_transformation),
    "training": (record_training, read_training),
    "evaluation": (record_evaluation, read_evaluation),
}


class StageRecordDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Saving keeps a stage's row; loading gives the current one of the source and date, the stage's receipt.

    Example of a catalog entry:

    .. code-block:: yaml

        training_events:
          type: network_anomalies.datasets.StageRecordDataset
          stage: training
          source: zeek
          logical_date: 2024-04-19
          object_root: s3://cybersec-ml-models/zeek
          credentials: postgres
    """

    def __init__(
        self,
        *,
        stage: str,
        source: str,
        logical_date: str,
        credentials: dict[str, Any],
        object_root: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            stage: ``transformation``, ``training`` or ``evaluation``.
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            credentials: ``con``, the registry's SQLAlchemy URL.
            object_root: URL of the folder that a row's file names are relative to.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._stage = stage
        self._record, self._read = STAGES[stage]
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = credentials["con"]
        self._root = object_root.rstrip("/")
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Keep the row; names of files become URIs."""
        row = data | {"source": self._source, "logical_date": self._logical_date}
        if self._stage == "transformation":
            objects = data["output_objects"]
            row["output_objects"] = [item | {"uri": f"{self._root}/{item['file_name']}"} for item in objects]
        if self._stage == "training":
            row["model_uri"] = f"{self._root}/{row.pop('model_file')}"
            row |= {
                "code_version": read_code_version(),
                "library_versions": {name: version(name) for name in LIBRARIES},
            }
        self._record(open_registry(self._url), row)

    def load(self) -> dict[str, Any]:
        """Return the row.

        Raises:
            ProjectError: the stage has not run for the source and date.
        """
        row = self._read(open_registry(self._url), self._source, self._logical_date)
        if row is None:
            raise ProjectError(
                f"source {self._source} has no {self._stage} on {self._logical_date}: "
                f"run the {self._stage} pipeline of that day, or set logical_date and source"
            )
        return row

    def _exists(self) -> bool:
        return self._read(open_registry(self._url), self._source, self._logical_date) is not None

    def _describe(self) -> dict[str, Any]:
        return {"stage": self._stage, "source": self._source, "logical_date": str(self._logical_date)}
