"""Models: bytes that are written once, and read only with the sha256 that was registered."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets.text import TextDataset

from network_anomalies.datasets.files import digest_file
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.places import LakePlace, RegistryPlace
from network_anomalies.datasets.write_once import WriteOnceParquetDataset
from network_anomalies.errors import ProjectError
from network_anomalies.records.champion import Champion, ChampionRecord
from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.registration import ModelRegistration
from network_anomalies.records.training import name_card, name_model
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.model_rows import read_champion, register_model
from network_anomalies.registry.stage_rows import read_training


class ModelDataset(AbstractDataset[Any, Any]):
    """Saves a model, a ``detection.Model``, in a folder of its digest; loads the one that was trained for the date.

    With ``load_as: card`` it is the Markdown card beside the model, a text. The registry's latest training of the
    source and date says which model is loaded, and where the card lies. A model is loaded only if its bytes have the
    sha256 that was registered.

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
        registry: RegistryPlace,
        lake: LakePlace,
        load_as: str = "model",
        metadata: object = None,
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
        self._folder, self._credentials = lake["path"].rstrip("/"), lake["credentials"]
        self._load_as = load_as
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Write the model in the folder of its digest, or find it there; write a card anew.

        Raises:
            ProjectError: a card's model was not trained.
        """
        from network_anomalies.detection import to_bytes

        if self._load_as == "card":
            self._open_card().save(data)
            return
        content = to_bytes(data)
        path = f"{self._folder}/{name_model(content).uri}"
        WriteOnceParquetDataset(filepath=path, compare=False, credentials=self._credentials).save(content)

    def load(self) -> Any:
        """Return the model, or its card.

        Raises:
            ProjectError: nothing was trained, the object is missing or altered, or there is no card yet.
        """
        from network_anomalies.detection import from_bytes

        if self._load_as == "card":
            return self._load_card()
        model = self._find_model()
        return from_bytes(read_model(open_lake(self._folder, self._credentials), model))

    def _load_card(self) -> str:
        if not self._exists() or not (card := self._open_card()).exists():
            raise ProjectError(
                f"the model of source {self._source} for {self._logical_date} has no card: "
                "run the registration pipeline of that day, or set logical_date and source"
            )
        text: str = card.load()
        return text

    def _open_card(self) -> TextDataset:
        path = _find_path(self._folder, name_card(self._find_model()))
        return TextDataset(filepath=path, credentials=self._credentials)

    def _find_model(self) -> LakeObject:
        receipt = read_training(open_registry(self._url), self._source, self._logical_date)
        if receipt is None:
            raise ProjectError(
                f"no model of source {self._source} was trained for {self._logical_date}: "
                "run the training pipeline of that day, or set logical_date and source"
            )
        return receipt.model

    def _exists(self) -> bool:
        return read_training(open_registry(self._url), self._source, self._logical_date) is not None

    def _describe(self) -> dict[str, str]:
        return {"source": self._source, "logical_date": str(self._logical_date), "path": self._folder}


class ChampionDataset(AbstractDataset[ModelRegistration, Champion | None]):
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
        registry: RegistryPlace,
        lake: LakePlace,
        before: bool = False,
        metadata: object = None,
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

    def save(self, data: ModelRegistration) -> None:
        """Register the model; whether it becomes champion is decided in the same transaction.

        Raises:
            ProjectError: the run is not, or no longer, the one that may register it.
        """
        filesystem, root = open_lake(self._path, self._credentials)
        card = LakeObject(uri=data.card_uri, sha256=digest_file(filesystem, _find_path(root, data.card_uri)))
        register_model(open_registry(self._url), replace(data, outputs=[card]))

    def load(self) -> Champion | None:
        """Return the champion.

        Raises:
            ProjectError: there is none (unless ``before``), or its object is missing or altered.
        """
        record = self._read_record()
        if record is None and self._before:
            return None
        if record is None:
            raise ProjectError(
                f"source {self._source} has no champion for {self._logical_date}: "
                "run the training, evaluation and registration pipelines of that day"
            )
        model = LakeObject(uri=record.model_uri, sha256=record.model_sha256)
        return Champion(data=read_model(open_lake(self._path, self._credentials), model), **vars(record))

    def _read_record(self) -> ChampionRecord | None:
        day = self._logical_date - timedelta(days=1) if self._before else self._logical_date
        return read_champion(open_registry(self._url), self._source, day)

    def _exists(self) -> bool:
        return self._read_record() is not None

    def _describe(self) -> dict[str, str]:
        return {"source": self._source, "logical_date": str(self._logical_date), "path": self._path}


def read_model(lake: tuple[Any, str], model: LakeObject) -> bytes:
    """Return the bytes of a model of the lake's folder, if they are those that were registered."""
    filesystem, root = lake
    return CheckedObjects(filesystem).read(_find_path(root, model.uri), model.sha256)


def _find_path(root: str, uri: str) -> str:
    """Return the path, below the folder of a source's models, of what the registry names by a URI."""
    return "/".join([root, *uri.rsplit("/", 2)[1:]])
