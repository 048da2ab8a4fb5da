"""The columns of events as integer codes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.groups import Groups, group_rows
from network_anomalies.errors import ProjectError
from network_anomalies.events.contract import COLUMNS

SECOND = 1_000_000
MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND
SIZE_BINS_PER_E = 4  # a size bin spans a factor of e ** (1 / 4) = 1.28 in bytes
SIZE_BINS = 4_096  # more than any number of bytes needs
SERVICES = 65_536  # as many as there are ports
UNKNOWN = -1  # of a service and of bytes by direction
_WELL_KNOWN = 1_024  # ports below it belong to servers
_WITH_PORTS = ("TCP", "UDP", "SCTP", "DCCP", "UDPLITE")


@dataclass(frozen=True)
class Keyed(ABC):
    """Rows with keys as codes into three vocabularies; each row is a flow, or stands for ``flows`` of them."""

    source: np.ndarray
    destination: np.ndarray
    protocol: np.ndarray
    sources: pd.Index
    destinations: pd.Index
    protocols: pd.Index

    def __len__(self) -> int:
        return len(self.source)

    @property
    def flows(self) -> np.ndarray | None:
        """Flows that each row stands for; None if each is one."""
        return None

    @property
    @abstractmethod
    def hour(self) -> np.ndarray:
        """Hours since 1970."""

    @property
    @abstractmethod
    def minute_of_hour(self) -> np.ndarray:
        """Minutes from 0 to 59."""

    @property
    @abstractmethod
    def size_bin(self) -> np.ndarray:
        """Bin of ln(1 + bytes), from 0."""

    @abstractmethod
    def block_of_hour(self, micros: int) -> np.ndarray:
        """Blocks of time of a length in microseconds, from 0 in each hour."""

    @cached_property
    def hours(self) -> Groups:
        """The flows of an hour."""
        return group_rows(self.hour, self.flows)

    @cached_property
    def source_hours(self) -> Groups:
        """The flows of a source in an hour."""
        return self.hours.refine(self.source)

    @cached_property
    def destination_hours(self) -> Groups:
        """The flows to a destination in an hour."""
        return self.hours.refine(self.destination)

    @cached_property
    def pair_hours(self) -> Groups:
        """The flows from a source to a destination in an hour."""
        return self.source_hours.refine(self.destination)

    @cached_property
    def pair_minutes(self) -> Groups:
        """The flows of a pair in a minute."""
        return self.pair_hours.refine(self.minute_of_hour)

    @cached_property
    def conversation_hours(self) -> Groups:
        """The flows of a pair over one protocol in an hour."""
        return self.pair_hours.refine(self.protocol)

    @cached_property
    def size_hours(self) -> Groups:
        """The flows of a source over one protocol and of one size bin in an hour."""
        return self.source_hours.refine(self.shape)

    @cached_property
    def shape(self) -> np.ndarray:
        """Protocol and size bin as one whole number."""
        return np.asarray(self.protocol * (int(self.size_bin.max(initial=0)) + 1) + self.size_bin)


@dataclass(frozen=True)
class Coded(Keyed):
    """Events as arrays in row order: codes into the three vocabularies, times in microseconds since 1970.

    ``service`` is the port of the server, ``upload`` the bytes from the source, ``download`` those to it; each is
    ``UNKNOWN`` where the events do not tell.
    """

    micros: np.ndarray
    bytes: np.ndarray
    duration: np.ndarray
    service: np.ndarray
    upload: np.ndarray
    download: np.ndarray

    @cached_property
    def hour(self) -> np.ndarray:
        """Hours since 1970."""
        return self.micros // HOUR

    @cached_property
    def minute_of_hour(self) -> np.ndarray:
        """Minutes from 0 to 59."""
        return self.micros // MINUTE % 60

    def block_of_hour(self, micros: int) -> np.ndarray:
        """Blocks of time of a length in microseconds, from 0 in each hour."""
        return np.asarray(self.micros % HOUR // micros)

    @cached_property
    def log_bytes(self) -> np.ndarray:
        """Return ln(1 + bytes)."""
        return np.asarray(np.log1p(self.bytes))

    @cached_property
    def log_duration(self) -> np.ndarray:
        """Return ln(1 + milliseconds)."""
        return np.log1p(1000.0 * self.duration)

    @cached_property
    def size_bin(self) -> np.ndarray:
        """Bin of ``log_bytes``, from 0."""
        return (SIZE_BINS_PER_E * self.log_bytes).astype(np.int64)


def encode_events(events: pd.DataFrame) -> Coded:
    """Return the six columns as arrays.

    Args:
        events: ``timestamp`` (datetime64 of any unit, naive means UTC, or seconds since 1970), ``src_ip``, ``dst_ip``
            and ``protocol`` (categories or text, in any letter case for the protocol), ``bytes``, ``duration``
            (seconds); missing or negative numbers count as 0. ``src_port``, ``dst_port``, ``src_bytes`` and
            ``dst_bytes`` are used where they are, and may be missing in some rows.

    Raises:
        ProjectError: a column is missing, or a time, address or protocol is.
    """
    if missing := [name for name in COLUMNS if name not in events.columns]:
        raise ProjectError(f"the events have no column {', '.join(missing)}: detection needs {', '.join(COLUMNS)}")
    source, sources = _encode_text(events["src_ip"])
    destination, destinations = _encode_text(events["dst_ip"])
    protocol, protocols = _encode_text(events["protocol"])
    upload, download = _read_sides(events)
    return Coded(
        source=source,
        destination=destination,
        protocol=protocol,
        sources=sources,
        destinations=destinations,
        protocols=protocols,
        micros=to_micros(events["timestamp"]),
        bytes=_to_amounts(events["bytes"]),
        duration=_to_amounts(events["duration"]),
        service=_read_services(events, protocols.isin(_WITH_PORTS)[protocol]),
        upload=upload,
        download=download,
    )


def to_micros(times: pd.Series) -> np.ndarray:
    """Return microseconds since 1970 (int64)."""
    if times.isna().any():
        raise ProjectError("an event has no timestamp: drop it, or let the contract reject it")
    if pd.api.types.is_datetime64_any_dtype(times.dtype):
        aware = times.dt.tz_localize("UTC") if times.dt.tz is None else times
        micros: np.ndarray = aware.dt.as_unit("us").astype("int64").to_numpy()
        return micros
    return np.asarray(np.round(times.to_numpy(dtype="float64") * SECOND).astype(np.int64))


def _encode_text(values: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """Return codes into the sorted distinct values in use."""
    if values.isna().any():
        raise ProjectError(f"an event has no {values.name}: drop it, or let the contract reject it")
    codes: Any
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, names = values.cat.codes.to_numpy().astype(np.int64), values.cat.categories
    else:
        codes, names = pd.factorize(values)
    text = pd.Index(names).astype("str")
    text = text.str.upper() if values.name == "protocol" else text
    used = np.bincount(codes, minlength=len(text)) > 0
    if text.is_monotonic_increasing and text.is_unique:  # as a part's dictionaries are
        return (np.cumsum(used) - 1)[codes], text[used]
    vocabulary = text[used].unique().sort_values()
    return np.asarray(vocabulary.get_indexer(text)[codes]), vocabulary


def _read_services(events: pd.DataFrame, has_ports: np.ndarray) -> np.ndarray:
    """Return the port of the server: the destination's, or the source's where the flow is an answer."""
    if "dst_port" not in events.columns:
        return np.full(len(events), UNKNOWN)
    port = _to_known(events["dst_port"])
    if "src_port" in events.columns:
        source_port = _to_known(events["src_port"])
        answers = (source_port >= 0) & (source_port < _WELL_KNOWN) & (port >= _WELL_KNOWN)
        port = np.where(answers, source_port, port)
    return np.where(has_ports & (port < SERVICES), port, UNKNOWN).astype(np.int64)


def _read_sides(events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes from and to the source, both ``UNKNOWN`` where one is."""
    if not {"src_bytes", "dst_bytes"} <= set(events.columns):
        return (np.full(len(events), float(UNKNOWN)),) * 2
    upload, download = _to_known(events["src_bytes"]), _to_known(events["dst_bytes"])
    known = (upload >= 0) & (download >= 0)
    return np.where(known, upload, UNKNOWN), np.where(known, download, UNKNOWN)


def _to_known(values: pd.Series) -> np.ndarray:
    """Return numbers of 0 or more, and ``UNKNOWN`` for all others."""
    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    return np.asarray(np.where(np.isfinite(numbers) & (numbers >= 0), numbers, UNKNOWN))


def _to_amounts(values: pd.Series) -> np.ndarray:
    amounts = values.to_numpy(dtype="float64", na_value=np.nan)
    return np.asarray(np.where(np.isfinite(amounts) & (amounts > 0), amounts, 0.0))
