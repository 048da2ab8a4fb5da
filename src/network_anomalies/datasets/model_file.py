"""Models: bytes that are written once, and read only with the sha256 that was registered."""

from datetime import date, timedelta
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets.text import TextDataset

from network_anomalies.datasets.files import digest_file
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.write_once import WriteOnceParquetDataset
from network_anomalies.errors import ProjectError
from network_anomalies.records.champion import Champion
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.model_rows import read_champion, register_model
from network_anomalies.registry.stage_log import StageEvent
from network_anomalies.registry.stage_rows import read_training


class ModelDataset(AbstractDataset[dict[str, Any], Any]):
    """Saves a model's bytes under a name with their digest; loads the model that was trained for the date.

    With ``load_as: card`` it is the Markdown card beside the model. Loading asks the registry for the latest training
    of the source and date, and checks the sha256.

    Example of a catalog entry:

    .. code-block:: yaml

        anomaly_model:
          type: network_anomalies.datasets.ModelDataset
          source: zeek
          logical_date: 2024-04-19
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-models/zeek, credentials: minio}
    """

    def __init__(
        self,
        *,
        source: str,
        logical_date: str,
        registry: dict[str, Any],
        lake: dict[str, Any],
        load_as: str = "model",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: whose model.
            logical_date: the day that it is trained for, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the source's models, and the ``credentials`` of its filesystem.
            load_as: ``model`` or ``card``.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._folder, self._credentials = lake["path"].rstrip("/"), lake.get("credentials")
        self._load_as = load_as
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Write the model's bytes under their name, or find them there; a card is written anew."""
        for name, content in data.items():
            if self._load_as == "card":
                TextDataset(filepath=f"{self._folder}/{name}.md", credentials=self._credentials).save(content)
            else:
                path = f"{self._folder}/{name}.arrow"
                WriteOnceParquetDataset(filepath=path, compare=False, credentials=self._credentials).save(content)

    def load(self) -> Any:
        """Return the model, a ``detection.Model``, or its card, a text.

        Raises:
            ProjectError: nothing was trained, or the object is missing or altered.
        """
        from network_anomalies.detection import from_bytes

        row = read_training(open_registry(self._url), self._source, self._logical_date)
        if self._load_as == "card":
            return self._load_card(row["model_sha256"] if row else "none")
        if row is None:
            raise ProjectError(
                f"no model of source {self._source} was trained for {self._logical_date}: "
                "run the training pipeline of that day, or set logical_date and source"
            )
        return from_bytes(read_model(open_lake(self._folder, self._credentials), row["model_uri"], row["model_sha256"]))

    def _load_card(self, model_sha256: str) -> Any:
        card = TextDataset(filepath=f"{self._folder}/{model_sha256[:12]}/model_card.md", credentials=self._credentials)
        if not card.exists():
            raise ProjectError(
                f"the model of source {self._source} for {self._logical_date} has no card: "
                "run the registration pipeline of that day, or set logical_date and source"
            )
        return card.load()

    def _exists(self) -> bool:
        return read_training(open_registry(self._url), self._source, self._logical_date) is not None

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._logical_date), "path": self._folder}


class ChampionDataset(AbstractDataset[dict[str, Any], Champion | None]):
    """Saving registers a day's model and may make it champion; loading gives the champion for the day.

    With ``before``, loading gives the champion that the day's own model is compared with: the one of the days before,
    or None. So a day that runs again is compared with the same champion, and never with one that has seen the day.

    Example of a catalog entry:

    .. code-block:: yaml

        champion_model:
          type: network_anomalies.datasets.ChampionDataset
          source: zeek
          logical_date: 2024-04-19
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-models/zeek, credentials: minio}
    """

    def __init__(
        self,
        *,
        source: str,
        logical_date: str,
        registry: dict[str, Any],
        lake: dict[str, Any],
        before: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: whose models.
            logical_date: the day, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the source's models, and the ``credentials`` of its filesystem.
            before: whether the champion of the days before is meant.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._path = lake["path"].rstrip("/")
        self._credentials = lake["credentials"]
        self._before = before
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Register the model as the node ``assemble_model`` describes it."""
        row = {name: value for name, value in data.items() if name not in ("promote", "tested_against", "inputs")}
        filesystem, root = open_lake(self._path, self._credentials)
        card = "/".join([root, *row["card_uri"].rsplit("/", 2)[1:]])
        outputs = [{"uri": row["card_uri"], "sha256": digest_file(filesystem, card)}]
        event = StageEvent(row["run_id"], "registration", self._source, self._logical_date, data["inputs"], outputs)
        row |= {"source": self._source}
        register_model(open_registry(self._url), row, data["promote"], data["tested_against"], event)

    def load(self) -> Champion | None:
        """Return the champion.

        Raises:
            ProjectError: there is none (unless ``before``), or its object is missing or altered.
        """
        row = self._read_row()
        if row is None and self._before:
            return None
        if row is None:
            raise ProjectError(
                f"source {self._source} has no champion for {self._logical_date}: "
                "run the training, evaluation and registration pipelines of that day"
            )
        data = read_model(open_lake(self._path, self._credentials), row["model_uri"], row["model_sha256"])
        return Champion(data=data, **{name: row[name] for name in Champion.FIELDS})

    def _read_row(self) -> dict[str, Any] | None:
        day = self._logical_date - timedelta(days=1) if self._before else self._logical_date
        return read_champion(open_registry(self._url), self._source, day)

    def _exists(self) -> bool:
        return self._read_row() is not None

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._logical_date), "path": self._path}


def read_model(lake: tuple[Any, str], uri: str, sha256: str) -> bytes:
    """Return the bytes of a model of the lake's folder, if they are those that were registered."""
    filesystem, root = lake
    return CheckedObjects(filesystem).read("/".join([root, *uri.rsplit("/", 2)[1:]]), sha256)
