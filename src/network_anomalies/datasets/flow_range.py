"""The flows of a source over a range of days, as a lazy table."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from kedro.io import AbstractDataset, DatasetError

from network_anomalies.datasets.flow_table import in_plain_words, open_table
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.layers import LAYERS, NamedObject
from network_anomalies.datasets.places import LakePlace, RegistryPlace
from network_anomalies.errors import ProjectError, explain_missing
from network_anomalies.registry.engine import open_registry

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)
DAY = timedelta(days=1)
NAMED_DAYS = 3
"""So many of the days without objects are named."""


class SpanChoice(TypedDict, total=False):
    """A range of days or minutes, as catalog entries say it.

    Attributes:
        start: the first day, or the first minute as YYYY-MM-DDTHH:MM (UTC); null means the logical date.
        end: the last day, or the minute at which the range ends; null means the logical date.
    """

    start: str | None
    end: str | None


@dataclass(frozen=True)
class Span:
    """A stretch of time, in UTC.

    Attributes:
        start: its first instant.
        end: the first instant after it.
    """

    start: datetime
    end: datetime

    @property
    def days(self) -> list[date]:
        """The days that it touches."""
        last = (self.end - timedelta(microseconds=1)).date()
        return [self.start.date() + DAY * number for number in range((last - self.start.date()).days + 1)]

    @property
    def is_whole_days(self) -> bool:
        """Whether it begins and ends at midnight."""
        return self.start.time() == self.end.time() == time()


@dataclass(frozen=True)
class FlowObject:
    """A current object.

    Attributes:
        path: its place below the folder of the source.
        first: no flow in it is before this instant.
        last: no flow in it is after this instant.
    """

    path: str
    first: datetime
    last: datetime


def choose_span(start: str | None, end: str | None, logical_date: str) -> Span:
    """Return the time from ``start`` to ``end``, each a day or a minute of a day; None means the logical date.

    A day at the end belongs to the span; a minute at the end does not.

    >>> str(choose_span("2024-04-18T22:30", None, "2024-04-19").end)
    '2024-04-20 00:00:00+00:00'

    Raises:
        ProjectError: it ends before it starts.
    """
    first, last = start or logical_date, end or logical_date
    stop = datetime.fromisoformat(last).replace(tzinfo=UTC)
    span = Span(datetime.fromisoformat(first).replace(tzinfo=UTC), stop if "T" in last else stop + DAY)
    if span.end <= span.start:
        raise ProjectError(f"hunting.end {last} is not after hunting.start {first}: give both, the earlier one first")
    return span


class FlowsDataset(AbstractDataset[None, "duckdb.DuckDBPyRelation"]):
    """Loads the flows of a source over a range of days as a lazy DuckDB table (``duckdb.DuckDBPyRelation``).

    Nothing is read before the table is used. Then only the columns and row groups that are needed are read, from the
    current objects that overlap the range. The registry names them, so superseded revisions and orphans are not seen.
    The digests of the objects are not checked, since that would read all of them: ``kedro verify`` does it.

    Example of a catalog entry:

    .. code-block:: yaml

        flows:
          type: network_anomalies.datasets.FlowsDataset
          layer: raw
          source: zeek
          logical_date: 2024-04-19
          days: {start: 2024-04-13, end: 2024-04-19T12:00}
          registry: {credentials: postgres}
          lakes:
            raw: {path: s3://cybersec-ml-raw/zeek, credentials: minio}

    Nothing can be loaded before something was ingested:

    >>> flows = FlowsDataset(
    ...     layer="raw",
    ...     source="zeek",
    ...     logical_date="2024-04-19",
    ...     registry={"credentials": {"con": "sqlite:///registry.db"}},
    ...     lakes={"raw": {"path": "raw/zeek", "credentials": None}},
    ... )
    >>> flows.exists()
    False
    """

    def __init__(
        self,
        *,
        layer: str,
        source: str,
        logical_date: str,
        registry: RegistryPlace,
        lakes: dict[str, LakePlace],
        days: SpanChoice | None = None,
        load_args: dict[str, int] | None = None,
        metadata: object = None,
    ) -> None:
        """Create the dataset.

        Args:
            layer: a layer of ``lakes``: raw, silver or scores.
            source: whose flows.
            logical_date: the day that a missing edge of the range means, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lakes: for each layer the ``path`` of the folder that holds the source's days, and the ``credentials``.
            days: see ``SpanChoice``.
            load_args: ``memory_mb`` and ``temp_mb``, how much memory and disk a query may use.
            metadata: for plug-ins; Kedro ignores it.

        Raises:
            ProjectError: the range ends before it starts.
        """
        self._layer = layer
        self._source = source
        chosen = days or {}
        self._span = choose_span(chosen.get("start"), chosen.get("end"), str(logical_date))
        self._url = registry["credentials"]["con"]
        self._fs, self._root = open_lake(lakes[layer]["path"].rstrip("/"), lakes[layer].get("credentials"))
        self._load_args = {"memory_mb": 1000, "temp_mb": 1000} | (load_args or {})
        self.metadata = metadata

    def save(self, data: None) -> None:
        """Refuse.

        Raises:
            DatasetError: always.
        """
        raise DatasetError("flows are read only: the stages save the objects that they consist of")

    def load(self) -> "duckdb.DuckDBPyRelation":
        """Return the table.

        Raises:
            ProjectError: no day of the range has objects (the pipeline to run is named), an object is missing, or
                DuckDB is not installed.
        """
        objects = [item for day, named in self._read_days().items() for item in date_objects(day, named)]
        within = [item for item in objects if item.first < self._span.end and item.last >= self._span.start]
        paths = [f"{self._root}/{item.path}" for item in within or objects[:1]]  # one object tells the columns
        _require(self._fs, paths)
        with in_plain_words():
            table = open_table(self._fs, paths, **self._load_args)
        if self._span.is_whole_days:
            return table
        return table.filter(f"timestamp >= '{self._span.start}' AND timestamp < '{self._span.end}'")

    def _read_days(self) -> dict[date, list[NamedObject]]:
        """Return the current objects by day, without the days that have none, which a line in the log names."""
        engine, layer = open_registry(self._url), LAYERS[self._layer]
        found = {day: layer.list_objects(engine, self._source, day) for day in self._span.days}
        days = {day: objects for day, objects in found.items() if objects}
        missing = [str(day) for day in found if day not in days]
        what = f"{self._layer} objects of source {self._source} {_name_days(missing, len(found))}"
        if not days:
            raise explain_missing(f"there are no {what}", layer.stages)
        if missing:
            logger.warning("there are no %s", what)
        return days

    def _exists(self) -> bool:
        engine, layer = open_registry(self._url), LAYERS[self._layer]
        return any(layer.list_objects(engine, self._source, day) for day in self._span.days)

    def _describe(self) -> dict[str, str]:
        return {
            "layer": self._layer,
            "source": self._source,
            "start": str(self._span.start),
            "end": str(self._span.end),
            "path": self._root,
        }


def date_objects(day: date, objects: Sequence[NamedObject]) -> Iterator[FlowObject]:
    """Yield the objects of a day with their times: those of the registry, or a slice's hours up to the next slice."""
    midnight = datetime.combine(day, time(), UTC)
    keys = sorted({item.key for item in objects})
    following = dict(zip(keys, [*keys[1:], "24"], strict=True))  # pieces of a slice have its key
    for item in objects:
        path = f"{day}/{item.file_name}"
        if item.first and item.last:
            yield FlowObject(path, item.first, item.last)
        else:
            first, end = (midnight + timedelta(hours=int(key)) for key in (item.key, following[item.key]))
            yield FlowObject(path, first, end - timedelta(microseconds=1))


def _name_days(days: Sequence[str], of: int) -> str:
    """Say which days are meant, a few of them by name."""
    names = ", ".join([*days[:NAMED_DAYS], *["..."] * (len(days) > NAMED_DAYS)])
    return f"on {names}" if of == 1 else f"on {len(days)} of {of} days: {names}"


def _require(filesystem: Any, paths: Sequence[str]) -> None:
    """List the folders anew, so that no request asks for the size of each object, and refuse if an object is missing.

    Raises:
        ProjectError: an object that the registry names is not there.
    """
    stored: set[str] = set()
    for folder in dict.fromkeys(path.rpartition("/")[0] for path in paths):
        with suppress(FileNotFoundError):
            stored.update(filesystem.ls(folder, detail=False, refresh=True))
    if missing := [path for path in paths if path not in stored]:
        raise ProjectError(f"{missing[0]} is registered and missing: run `kedro verify`, it lists what is lost")
