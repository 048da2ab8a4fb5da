"""Models: bytes that are written once, and read only with the sha256 that was registered."""

from datetime import date, timedelta
from typing import Any, Literal

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.text import TextDataset
from sqlalchemy import Engine

from network_anomalies.datasets.files import digest_file
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.write_once import WriteOnceParquetDataset
from network_anomalies.errors import ProjectError, explain_missing
from network_anomalies.records.champion import Champion
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.model_rows import read_champion, register_model
from network_anomalies.registry.stage_log import StageEvent
from network_anomalies.registry.stage_rows import read_training


class ModelDataset(AbstractDataset[dict[str, Any], Any]):
    """Saves and loads a source's models, by the day that they are for. The registry says which one that is.

    ``part`` says what of a model the entry is about:

    * ``model``: saves its bytes under a name; loads the ``detection.Model`` that was trained for the date.
    * ``card``: saves and loads the Markdown card beside that model.
    * ``champion``: saving registers the date's model and may make it champion; loading gives the ``Champion`` of the
      date.
    * ``previous_champion``: loads the champion of the days before the date, or None. The date's own model is compared
      with it. So a day that runs again is compared with the same champion, and never with one that has seen the day.

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
        registry: dict[str, Any],
        lake: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            part: what of a model the entry is about, see above.
            source: whose models.
            logical_date: the day that they are for, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the source's models, and the ``credentials`` of its filesystem.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._part = part
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._folder, self._credentials = lake["path"].rstrip("/"), lake.get("credentials")
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Save a model's bytes or its card by name, or register the model that the node ``assemble_model`` describes.

        Raises:
            DatasetError: the champion of the days before is for reading only.
        """
        if self._part == "previous_champion":
            raise DatasetError("previous_champion is read only: champions are registered through champion_model")
        if self._part == "champion":
            self._register(data)
        elif self._part == "card":
            for name, text in data.items():
                self._open_card(name).save(text)
        else:
            for name, content in data.items():
                path = f"{self._folder}/{name}.arrow"
                WriteOnceParquetDataset(filepath=path, compare=False, credentials=self._credentials).save(content)

    def load(self) -> Any:
        """Return the ``detection.Model``, the text of the card, or the ``Champion``.

        Raises:
            ProjectError: there is none for the date (it names the pipeline to run), or its object is missing or
                altered.
        """
        row = self._read_row(open_registry(self._url))
        if self._part == "previous_champion" and row is None:
            return None
        if row is None:
            raise self._explain_missing()
        if self._part == "card":
            return self._load_card(row["model_sha256"])
        data = self._read_bytes(row["model_uri"], row["model_sha256"])
        if self._part == "model":
            from network_anomalies.detection import from_bytes

            return from_bytes(data)
        return Champion(data=data, **{name: row[name] for name in Champion.FIELDS})

    def _read_row(self, engine: Engine) -> dict[str, Any] | None:
        if self._part in ("model", "card"):
            return read_training(engine, self._source, self._logical_date)
        before = timedelta(days=1 if self._part == "previous_champion" else 0)
        return read_champion(engine, self._source, self._logical_date - before)

    def _explain_missing(self) -> ProjectError:
        if self._part == "champion":
            return ProjectError(
                f"source {self._source} has no champion for {self._logical_date}: "
                "run the training, evaluation and registration pipelines of that day"
            )
        stage = "registration" if self._part == "card" else "training"
        return explain_missing(f"source {self._source} has no {self._part} for {self._logical_date}", [stage])

    def _load_card(self, model_sha256: str) -> str:
        card = self._open_card(f"{model_sha256[:12]}/model_card")
        if not card.exists():
            raise self._explain_missing()
        text: str = card.load()
        return text

    def _open_card(self, name: str) -> Any:
        return TextDataset(filepath=f"{self._folder}/{name}.md", credentials=self._credentials)

    def _register(self, data: dict[str, Any]) -> None:
        row = {name: value for name, value in data.items() if name not in ("promote", "tested_against", "inputs")}
        filesystem, root = open_lake(self._folder, self._credentials)
        outputs = [{"uri": row["card_uri"], "sha256": digest_file(filesystem, _find_path(root, row["card_uri"]))}]
        event = StageEvent(row["run_id"], "registration", self._source, self._logical_date, data["inputs"], outputs)
        row |= {"source": self._source}
        register_model(open_registry(self._url), row, data["promote"], data["tested_against"], event)

    def _read_bytes(self, uri: str, sha256: str) -> bytes:
        filesystem, root = open_lake(self._folder, self._credentials)
        return CheckedObjects(filesystem).read(_find_path(root, uri), sha256)

    def _exists(self) -> bool:
        row = self._read_row(open_registry(self._url))
        if row is None or self._part != "card":
            return row is not None
        return bool(self._open_card(f"{row['model_sha256'][:12]}/model_card").exists())

    def _describe(self) -> dict[str, Any]:
        return {
            "part": self._part,
            "source": self._source,
            "logical_date": str(self._logical_date),
            "path": self._folder,
        }


def _find_path(root: str, uri: str) -> str:
    """Return where an object of a model's folder lies, by its URI in the registry."""
    return "/".join([root, *uri.rsplit("/", 2)[1:]])
