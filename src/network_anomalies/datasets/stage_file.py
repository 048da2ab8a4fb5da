"""A file that a stage writes: a report, a plot, a table of measures."""

from typing import Any

from kedro.io import AbstractDataset

from network_anomalies.errors import ProjectError


class StageFileDataset(AbstractDataset[Any, Any]):
    """Wraps a dataset of Kedro's, and says which pipeline to run where its file is not there yet.

    Example of a catalog entry:

    .. code-block:: yaml

        evaluation_metrics:
          type: network_anomalies.datasets.StageFileDataset
          made_by: evaluation
          dataset:
            type: json.JSONDataset
            filepath: s3://cybersec-ml-eval/reports/zeek/2024-04-19/metrics.json
            credentials: minio
    """

    def __init__(self, *, made_by: str, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Create the dataset.

        Args:
            made_by: the pipeline that writes the file.
            dataset: the catalog entry of the file itself.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._made_by = made_by
        self._dataset: AbstractDataset[Any, Any] = AbstractDataset.from_config("file", dataset)
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Save as the wrapped dataset does."""
        self._dataset.save(data)

    def load(self) -> Any:
        """Load as the wrapped dataset does.

        Raises:
            ProjectError: the file is not there.
        """
        if not self._dataset.exists():
            raise ProjectError(
                f"there is no such file of that source and date yet: run the {self._made_by} pipeline of that day, "
                "or set logical_date and source"
            )
        return self._dataset.load()

    def _exists(self) -> bool:
        return self._dataset.exists()

    def _describe(self) -> dict[str, Any]:
        return {"made_by": self._made_by, "dataset": str(self._dataset)}
