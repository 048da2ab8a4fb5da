"""A dataset of the registry's records."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, TypeAlias

import pandas as pd
from kedro.io import AbstractDataset
from sqlalchemy import Engine

from network_anomalies.datasets.files import FileOutputs, read_files
from network_anomalies.datasets.places import Credentials, RegistryPlace
from network_anomalies.errors import ProjectError, explain_missing
from network_anomalies.records.receipt import StageReceipt
from network_anomalies.records.scoring import DayAlerts
from network_anomalies.registry.alert_rows import read_alerts, record_scoring, replace_alerts
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.lookups import LOOKUPS, look_up
from network_anomalies.registry.stage_rows import (
    commit_transformation,
    read_evaluation,
    read_receipt,
    read_scoring,
    read_training,
    read_transformation,
    record_evaluation,
    record_training,
    record_truth,
)

Loaded: TypeAlias = StageReceipt | pd.DataFrame | None


@dataclass(frozen=True)
class RecordKind:
    """How records of a kind are read and written.

    Attributes:
        read: returns the records of a source and date; None or an empty frame if there are none.
        write: writes records in one transaction; None if the dataset may only load this kind.
        made_by: the pipeline that the error names; empty if missing records are no error.
    """

    read: Callable[[Engine, str, date], Loaded]
    write: Callable[[Engine, Any], Any] | None = None
    made_by: str = ""


REQUIRED = dict.fromkeys(("current_batch", "source_record"), "ingestion (log_ingestion for real logs)")
"""Rows without which a source and date cannot be worked on, and the pipelines that write them."""
KINDS = {
    "truth": RecordKind(partial(read_receipt, "truth"), record_truth),
    "transformation": RecordKind(read_transformation, commit_transformation, "transformation"),
    "training": RecordKind(read_training, record_training, "training"),
    "evaluation": RecordKind(read_evaluation, record_evaluation, "evaluation"),
    "scoring": RecordKind(read_scoring, record_scoring, "scoring"),
    "alerts": RecordKind(read_alerts, replace_alerts),
    **{name: RecordKind(partial(look_up, name), made_by=REQUIRED.get(name, "")) for name in LOOKUPS},
}
"""Receipts of stages, a day's alerts, and rows that runs and commits write."""


class RegistryRecordsDataset(AbstractDataset[StageReceipt | DayAlerts, Loaded]):
    """Writes records of a source and date into the registry, and loads them.

    A stage's receipt is saved and loaded as the same class of ``network_anomalies.records``. Alerts are saved as
    ``DayAlerts`` and loaded as a frame, the highest score first and suppressed alerts last. The other kinds can only
    be loaded, as frames.

    Example of a catalog entry:

    .. code-block:: yaml

        training_events:
          type: network_anomalies.datasets.RegistryRecordsDataset
          records: training
          source: zeek
          logical_date: 2024-04-19
          object_root: s3://cybersec-ml-models/zeek
          registry: {credentials: postgres}

    Example of the Python API:

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> about = {"source": "zeek", "logical_date": "2024-04-19"}
        >>> with TemporaryDirectory() as folder:
        ...     registry = {"credentials": {"con": f"sqlite:///{Path(folder) / 'registry.db'}"}}
        ...     alerts = RegistryRecordsDataset(records="alerts", registry=registry, **about)
        ...     alerts.load().empty
        True
    """

    def __init__(
        self,
        *,
        records: str,
        source: str,
        logical_date: str,
        registry: RegistryPlace,
        object_root: str = "",
        files: FileOutputs | None = None,
        credentials: Credentials | None = None,
        metadata: object = None,
    ) -> None:
        """Create the dataset.

        Args:
            records: a name of ``KINDS``.
            source: name of the source.
            logical_date: the day, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            object_root: URL of the folder that the outputs of a receipt are relative to.
            files: files that the stage writes and its receipt does not name, see ``datasets.files``.
            credentials: options of the filesystem of ``files``.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._records = records
        self._kind = KINDS[records]
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._root = object_root.rstrip("/")
        self._files = files or {}
        self._credentials = credentials
        self.metadata = metadata

    @property
    def engine(self) -> Engine:
        """The registry's engine, after a check of its schema."""
        return open_registry(self._url)

    def save(self, data: StageReceipt | DayAlerts) -> None:
        """Write the records in one transaction.

        Raises:
            ProjectError: records of this kind can only be loaded.
        """
        if self._kind.write is None:
            raise ProjectError(f"{self._records} is read only: runs and their commits write these rows")
        if isinstance(data, StageReceipt):
            data = data.locate(self._root, read_files(self._files, self._credentials))
        self._kind.write(self.engine, data)

    def load(self) -> Loaded:
        """Return the latest receipt, or the rows as a frame.

        Raises:
            ProjectError: there is none, and a source without any cannot be worked on.
        """
        records = self._read()
        if self._kind.made_by and _is_missing(records):
            content = "batch" if self._records in REQUIRED else self._records
            raise explain_missing(
                f"source {self._source} has no {content} on {self._logical_date}", [self._kind.made_by]
            )
        return records

    def _read(self) -> Loaded:
        return self._kind.read(self.engine, self._source, self._logical_date)

    def _exists(self) -> bool:
        return not _is_missing(self._read())

    def _describe(self) -> dict[str, str]:
        return {"records": self._records, "source": self._source, "logical_date": str(self._logical_date)}


def _is_missing(records: Loaded) -> bool:
    return records.empty if isinstance(records, pd.DataFrame) else records is None
