"""Models: files that are written once. A load checks the sha256 that was registered."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any, Literal

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.text import TextDataset

from network_anomalies.datasets.files import digest_file
from network_anomalies.datasets.handles import name_place
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.places import LakePlace, RegistryPlace
from network_anomalies.datasets.write_once import WriteOnceParquetDataset
from network_anomalies.errors import ProjectError, explain_missing
from network_anomalies.records.champion import Champion, ChampionRecord
from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.registration import ModelRegistration
from network_anomalies.records.training import TrainingReceipt, name_card, name_model
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.model_rows import read_champion, register_model
from network_anomalies.registry.stage_rows import read_training


class ModelDataset(AbstractDataset[Any, Any]):
    """Saves and loads the model of a source and date, which the registry names.

    ``part`` says what the entry saves and loads:

    * ``model``: the ``detection.Model`` that was trained for the date, in a folder named after its digest.
    * ``card``: the Markdown card beside that model.
    * ``champion``: saving registers the date's model and may make it champion; loading returns the ``Champion`` of the
      date.
    * ``previous_champion``: loads the champion of the day before the date, or None. The date's model is compared with
      it. So a day that runs again is compared with the same champion, and never with one that was trained on the day.

    Example of catalog entries:

    .. code-block:: yaml

        anomaly_model:
          type: network_anomalies.datasets.ModelDataset
          part: model
          source: zeek
          logical_date: 2024-04-19
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-models/zeek, credentials: minio}

        champion_model:
          type: network_anomalies.datasets.ModelDataset
          part: champion
          source: zeek
          logical_date: 2024-04-19
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-models/zeek, credentials: minio}

    A source without models has no champion:

    >>> champion = ModelDataset(
    ...     part="previous_champion",
    ...     source="zeek",
    ...     logical_date="2024-04-19",
    ...     registry={"credentials": {"con": "sqlite:///registry.db"}},
    ...     lake={"path": "models/zeek"},
    ... )
    >>> champion.exists(), champion.load()
    (False, None)
    """

    def __init__(
        self,
        *,
        part: Literal["model", "card", "champion", "previous_champion"],
        source: str,
        logical_date: str,
        registry: RegistryPlace,
        lake: LakePlace,
        metadata: object = None,
    ) -> None:
        """Create the dataset.

        Args:
            part: what the entry saves and loads, see above.
            source: name of the source.
            logical_date: the day of the model, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the source's models, and the ``credentials`` of its filesystem.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._part = part
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._folder, self._credentials = lake["path"].rstrip("/"), lake.get("credentials")
        self._lake = lake
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Save a model, replace its card, or register the model.

        Raises:
            DatasetError: the part is ``previous_champion``, which can only be loaded.
            ProjectError: the date has no model for a card, or the run is not open, so it may not register a model.
        """
        if self._part == "previous_champion":
            raise DatasetError("previous_champion is read only: champions are registered through champion_model")
        if self._part == "champion":
            self._register(data)
        elif self._part == "card":
            self._open_card(self._find_trained()).save(data)
        else:
            self._save_model(data)

    def load(self) -> Any:
        """Return the ``detection.Model``, the text of the card, or the ``Champion``.

        Raises:
            ProjectError: the date has none (the error names the pipeline to run), or its file is missing or altered.
        """
        if self._part == "model":
            from network_anomalies.detection import from_bytes

            return from_bytes(self._find_bytes(self._find_trained())())
        return self._load_card() if self._part == "card" else self._load_champion()

    def _save_model(self, model: Any) -> None:
        from network_anomalies.detection import to_bytes

        content = to_bytes(model)
        path = f"{self._folder}/{name_model(content).uri}"
        WriteOnceParquetDataset(filepath=path, compare=False, credentials=self._credentials).save(content)

    def _load_card(self) -> str:
        if not self._exists():
            raise self._explain_missing("card", "registration")
        text: str = self._open_card(self._find_trained()).load()
        return text

    def _load_champion(self) -> Champion | None:
        record = self._read_champion()
        if record is None and self._part == "previous_champion":
            return None
        if record is None:
            raise ProjectError(
                f"source {self._source} has no champion for {self._logical_date}: "
                "run the training, evaluation and registration pipelines of that day"
            )
        read = self._find_bytes(LakeObject(uri=record.model_uri, sha256=record.model_sha256))
        read()  # a missing or altered model is an error now, and its bytes are kept
        return Champion(read=read, **vars(record))

    def _register(self, data: ModelRegistration) -> None:
        filesystem, root = open_lake(self._folder, self._credentials)
        card = LakeObject(uri=data.card_uri, sha256=digest_file(filesystem, _find_path(root, data.card_uri)))
        register_model(open_registry(self._url), replace(data, outputs=[card]))

    def _find_trained(self) -> LakeObject:
        receipt = self._read_training()
        if receipt is None:
            raise self._explain_missing("model", "training")
        return receipt.model

    def _read_training(self) -> TrainingReceipt | None:
        return read_training(open_registry(self._url), self._source, self._logical_date)

    def _read_champion(self) -> ChampionRecord | None:
        days_before = timedelta(days=1 if self._part == "previous_champion" else 0)
        return read_champion(open_registry(self._url), self._source, self._logical_date - days_before)

    def _explain_missing(self, part: str, stage: str) -> ProjectError:
        return explain_missing(f"source {self._source} has no {part} for {self._logical_date}", [stage])

    def _open_card(self, model: LakeObject) -> TextDataset:
        return TextDataset(filepath=_find_path(self._folder, name_card(model)), credentials=self._credentials)

    def _find_bytes(self, model: LakeObject) -> Callable[[], bytes]:
        filesystem, root = open_lake(self._folder, self._credentials)
        lake = CheckedObjects(filesystem, 1, name_place(filesystem, self._lake))
        return partial(lake.read, _find_path(root, model.uri), model.sha256)

    def _exists(self) -> bool:
        if self._part in ("champion", "previous_champion"):
            return self._read_champion() is not None
        trained = self._read_training()
        if trained is None or self._part == "model":
            return trained is not None
        return bool(self._open_card(trained.model).exists())

    def _describe(self) -> dict[str, str]:
        key = {"part": self._part, "source": self._source, "logical_date": str(self._logical_date)}
        return key | {"path": self._folder}


def _find_path(root: str, uri: str) -> str:
    """Return the path below ``root`` of an object of a model's folder; ``uri`` is its URI in the registry."""
    return "/".join([root, *uri.rsplit("/", 2)[1:]])
