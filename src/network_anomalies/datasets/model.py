"""Models: bytes that are written once, and read only with the sha256 that was registered."""

from datetime import date
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets.partitions import PartitionedDataset

from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.errors import ProjectError
from network_anomalies.lake import open_lake
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.models import list_models, read_champion, register_model
from network_anomalies.registry.stages import read_training


class ModelDataset(PartitionedDataset):  # type: ignore[misc]
    """Saves a model under a name with its digest, as a ``PartitionedDataset`` does; loads the bytes that were trained.

    Loading asks the registry for the latest training of the source and date, and checks the sha256.
    """

    def __init__(self, *, source: str, logical_date: str, registry: dict[str, Any], **rest: Any) -> None:
        """Take the arguments of ``PartitionedDataset``, whose model it is, and the registry's ``credentials``."""
        super().__init__(**rest)
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._lake = open_lake(rest["path"], rest.get("credentials"))

    def load(self) -> bytes:
        """Return the model's bytes.

        Raises:
            ProjectError: nothing was trained, or the object is missing or altered.
        """
        row = read_training(open_registry(self._url), self._source, self._logical_date)
        if row is None:
            raise ProjectError(
                f"no model of source {self._source} was trained on {self._logical_date}: run the training pipeline"
            )
        return read_model(self._lake, row["model_uri"], row["model_sha256"])

    def _exists(self) -> bool:
        return read_training(open_registry(self._url), self._source, self._logical_date) is not None


class ModelRegistryDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Saving registers a model and may make it champion; loading gives the champion's row and its ``data``.

    With ``optional``, loading without a champion gives an empty dict instead of an error.

    Example of a catalog entry:

    .. code-block:: yaml

        champion_model:
          type: network_anomalies.datasets.ModelRegistryDataset
          source: zeek
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-models/zeek, credentials: minio}
    """

    def __init__(
        self,
        *,
        source: str,
        registry: dict[str, Any],
        lake: dict[str, Any],
        optional: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: whose models.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the source's models, and the ``credentials`` of its filesystem.
            optional: whether there may be no champion.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._url = registry["credentials"]["con"]
        self._path = lake["path"].rstrip("/")
        self._lake = open_lake(lake["path"], lake["credentials"])
        self._optional = optional
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Register the model; ``promote`` says whether it becomes champion, and ``tested_against`` instead of which."""
        row = {name: value for name, value in data.items() if name not in ("promote", "tested_against")}
        engine = open_registry(self._url)
        register_model(engine, row | {"source": self._source}, data["promote"], data["tested_against"])

    def load(self) -> dict[str, Any]:
        """Return the champion's row of ``models``, and its bytes as ``data``.

        Raises:
            ProjectError: there is no champion (unless optional), or its object is missing or altered.
        """
        row = read_champion(open_registry(self._url), self._source)
        if row is None and self._optional:
            return {}
        if row is None:
            challengers = len(list_models(open_registry(self._url), self._source))
            raise ProjectError(
                f"source {self._source} has no champion ({challengers} models are registered): "
                "run the training, evaluation and registration pipelines"
            )
        return row | {"data": read_model(self._lake, row["model_uri"], row["model_sha256"])}

    def _exists(self) -> bool:
        return read_champion(open_registry(self._url), self._source) is not None

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "path": self._path}


def read_model(lake: tuple[Any, str], uri: str, sha256: str) -> bytes:
    """Return the bytes of a model of the lake's folder, if they are those that were registered."""
    filesystem, root = lake
    return CheckedObjects(filesystem).read("/".join([root, *uri.rsplit("/", 2)[1:]]), sha256)
