"""The current objects of a day, in any layer: only the objects that the registry names."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, Literal, TypedDict

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from network_anomalies.datasets import reading
from network_anomalies.datasets.handles import name_place
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.layers import LAYERS, Layer, NamedObject, list_current, list_silver_days
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.places import LakePlace, RegistryPlace
from network_anomalies.datasets.previews import ROWS, TablePreview, make_preview
from network_anomalies.datasets.time_slices import DayObjects, read_by_hours
from network_anomalies.datasets.write_once import LakeFolder, WriteOnceParquetDataset
from network_anomalies.records.silver_day import SilverDay, Slices
from network_anomalies.registry.engine import open_registry

READ_ONLY_FORMS = ("reader", "slices", "parts", "days", "folders")
"""Values of ``load_as`` whose entries can only be loaded."""


class LoadArguments(TypedDict, total=False):
    """The values of ``load_args``."""

    slice_hours: int
    slice_rows: int
    days: int
    others: dict[str, LakePlace]


class CurrentObjectsDataset(AbstractDataset[Mapping[str, bytes | Callable[[], bytes]], Any]):
    """Saves finished objects once; loads the objects of the current revision of a source and date.

    The registry names these objects and their sha256, which is checked. So an unfinished batch, an orphan or a
    superseded object is never loaded.

    Example of catalog entries:

    .. code-block:: yaml

        silver_events: # one DataFrame
          type: network_anomalies.datasets.CurrentObjectsDataset
          layer: silver
          source: zeek
          logical_date: 2024-04-19
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-silver/zeek/2024-04-19, credentials: minio}

        raw_slices: # {"00": a Slice, "06": ...}
          type: network_anomalies.datasets.CurrentObjectsDataset
          layer: raw
          load_as: slices
          load_args: {slice_hours: 6, slice_rows: 250000}
          source: zeek
          logical_date: 2024-04-19
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-raw/zeek/2024-04-19, credentials: minio}

    A stored object becomes current only when a run commits it to the registry:

    >>> silver = CurrentObjectsDataset(
    ...     layer="silver",
    ...     source="zeek",
    ...     logical_date="2024-04-19",
    ...     registry={"credentials": {"con": "sqlite:///registry.db"}},
    ...     lake={"path": "silver/zeek/2024-04-19"},
    ... )
    >>> silver.save({"slice_00": b"finished Parquet bytes"})
    >>> silver.exists()
    False
    """

    def __init__(
        self,
        *,
        layer: str,
        source: str,
        logical_date: str,
        registry: RegistryPlace,
        lake: LakePlace,
        load_as: Literal["frame", "summary", "reader", "parts", "slices", "days", "folders"] = "frame",
        load_args: LoadArguments | None = None,
        metadata: object = None,
    ) -> None:
        """Create the dataset.

        Args:
            layer: one of ``LAYERS``.
            source: name of the source.
            logical_date: the day, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the day's objects, and the ``credentials`` of its filesystem. The
                folders of other days are in the same parent folder.
            load_as: ``frame`` (one DataFrame); ``summary``; ``reader`` (a function that reads the summary, for
                Dask workers too); ``parts`` (a dict from a part's number to a function that
                reads it); ``slices`` (a dict from a slice's first hour to a ``Slice``); ``days`` (silver only, a list
                of ``SilverDay``, the earliest first); ``folders`` (a list of ``LakeFolder``, which Dask workers write
                to).
            load_args: ``slice_hours`` and ``slice_rows``, length of a slice of RAW in hours and events of a piece of it
                at most; ``days``, number of days before the date that ``load_as: days`` includes; ``others``, further
                places of the day by layer, which ``load_as: folders`` returns after that of ``layer``.
            metadata: for plug-ins; Kedro ignores it.

        Raises:
            DatasetError: there is no such layer.
        """
        if layer not in LAYERS:
            raise DatasetError(f"there is no layer {layer}: there are {', '.join(LAYERS)}")
        self._layer_name, self._layer = layer, LAYERS[layer]
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._folder, self._credentials = lake["path"].rstrip("/"), lake.get("credentials")
        self._fs, self._root = open_lake(self._folder, self._credentials)
        self._store = name_place(self._fs, lake)
        self._load_as = load_as
        self._load_args: LoadArguments = load_args or {}
        self._places = {layer: lake} | self._load_args.get("others", {})
        self.metadata = metadata

    def save(self, data: Mapping[str, bytes | Callable[[], bytes]]) -> None:
        """Write each object under its name, unless it exists. A function in place of bytes is called for the bytes.

        Raises:
            DatasetError: this entry can only be loaded.
        """
        if self._load_as in READ_ONLY_FORMS:
            raise DatasetError(f"{self._layer_name} as {self._load_as} is read only: its pipeline saves another entry")
        for name, content in data.items():
            path = f"{self._folder}/{name}{self._layer.suffix}"
            stored = WriteOnceParquetDataset(filepath=path, compare=self._layer.compare, credentials=self._credentials)
            stored.save(content() if callable(content) else content)

    def load(self) -> Any:
        """Return the current objects in the form that ``load_as`` names.

        Raises:
            ProjectError: there are no objects yet (it names the pipeline to run), or one is missing or altered.
        """
        if self._load_as == "folders":
            return [_open_folder(LAYERS[layer], place) for layer, place in self._places.items()]
        if self._load_as == "days":
            return self._load_days()
        objects = list_current(open_registry(self._url), self._layer_name, self._source, self._logical_date)
        lake = CheckedObjects(self._fs, store=self._store)
        if self._load_as in ("summary", "reader"):
            read = partial(reading.read_summary, lake, self._root, objects)
            return read if self._load_as == "reader" else read()
        if self._load_as == "frame":
            return reading.read_frame(lake, self._root, objects, self._layer.columns)
        if self._load_as == "parts":
            return reading.read_by_object(lake, self._root, objects)
        return self._load_slices(lake, objects)

    def _load_slices(self, lake: CheckedObjects, objects: Sequence[NamedObject]) -> Slices:
        if not self._load_args:
            return reading.read_slices(lake, self._root, objects)
        hours, rows = self._load_args["slice_hours"], self._load_args["slice_rows"]
        return read_by_hours(DayObjects(lake, self._root, objects), self._logical_date, hours, rows)

    def preview(self) -> TablePreview:
        """Return the first rows of the first object, for kedro-viz; no other row is read."""
        objects = list_current(open_registry(self._url), self._layer_name, self._source, self._logical_date)
        first = [named for named in objects if named.file_name.endswith(".parquet")][:1]
        rows = [reading.read_head(self._fs, f"{self._root}/{named.file_name}", ROWS) for named in first]
        return make_preview(rows[0] if rows else pd.DataFrame())

    def _load_days(self) -> list[SilverDay]:
        receipts = list_silver_days(open_registry(self._url), self._source, self._logical_date, self._load_args["days"])
        parent = self._root.rpartition("/")[0]
        # Training reads slices of many days in threads: objects that one day kept in memory would not be used again.
        return [
            reading.read_silver_day(CheckedObjects(self._fs, 0, self._store), f"{parent}/{silver.logical_date}", silver)
            for silver in receipts
        ]

    def _exists(self) -> bool:
        return bool(self._layer.list_objects(open_registry(self._url), self._source, self._logical_date))

    def _describe(self) -> dict[str, str]:
        key = {"layer": self._layer_name, "source": self._source, "logical_date": str(self._logical_date)}
        return key | {"path": self._folder, "load_as": self._load_as}


def _open_folder(layer: Layer, place: LakePlace) -> LakeFolder:
    filesystem, root = open_lake(place["path"].rstrip("/"), place.get("credentials"))
    return LakeFolder(name_place(filesystem, place), root, layer.suffix, layer.compare)
