"""Nodes that make silver and the day's summary from committed RAW, slice by slice."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import chain, repeat

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.detection import describe_pieces, describe_slice, merge_packed, pack_summary
from network_anomalies.detection.scoring.storage import feature_spec_sha256
from network_anomalies.errors import ContractError
from network_anomalies.events.parts import digest_contents, encode_part
from network_anomalies.parameters import TransformationParameters, WorkersParameters
from network_anomalies.records.silver_day import FEW_EVENTS, Slice, Slices, StoredEvents, join_slices, name_piece
from network_anomalies.records.transformation import RawObject, SilverObject, TransformationReceipt
from network_anomalies.runs.inputs import list_transformation_facts
from network_anomalies.work.calls import Folder, Made, Objects, make_objects

SIZE_CATEGORIES = ("small", "medium", "large")
SIZE_EDGES = (500, 1500)
Place = tuple[str, int]
"""The first hour of a slice, two digits, and the number of a piece of it, 0 for the whole slice."""


def transform_slices(
    raw_slices: Slices,
    ingestion_events: pd.DataFrame,
    transformation: TransformationParameters,
    workers: WorkersParameters,
    silver_folders: Sequence[Folder],
) -> Iterator[tuple[Objects, Objects, SilverObject]]:
    """Add the silver columns to a day's slices, piece by piece, and summarise the day.

    Args:
        raw_slices: the events by the slice's first hour.
        ingestion_events: the commit's receipt; its revision is written into the objects' footers.
        transformation: the length of a slice.
        workers: who works on the slices.
        silver_folders: where Dask workers save the slices, and the summary.

    Yields:
        Silver objects, the day's summary (last), and a record of each object. An object is a name to a function that
        returns its bytes until the next object is asked for; there is none if Dask workers have saved it.
    """
    provenance = {"revision": str(ingestion_events["revision"].iloc[0]), "feature_spec_sha256": feature_spec_sha256()}
    few = ingestion_events["record_count"].sum() <= FEW_EVENTS
    slices = join_slices(raw_slices, dict.fromkeys(raw_slices, 0)) if few else raw_slices
    encode = partial(_encode_slice, hours=transformation.slice_hours, provenance=provenance)
    calls = [partial(encode, read_events, hour) for hour, read_events in slices.items()]
    for (silver, summary), record in make_objects(calls, workers, silver_folders, _encode_summary):
        yield silver, summary, record


def _encode_slice(raw: Slice, hour: str, hours: int, provenance: Mapping[str, str]) -> Iterable[Made[SilverObject]]:
    """Make the objects of a slice, or of several that were joined; the first has the summary of all with it.

    What is in one piece is made before this returns, other pieces when their turn comes.
    """
    made = _make_slice(raw, hour, hours)
    encode = partial(_encode_piece, hours=hours, provenance=provenance)
    objects = map(encode, made.pieces, chain([made.summary], repeat(None)))
    return list(objects) if made.is_whole else objects


def _encode_piece(
    placed: tuple[Place, pd.DataFrame], summary: bytes | None, hours: int, provenance: Mapping[str, str]
) -> Made[SilverObject]:
    place, silver = placed
    data = encode_part(pa.Table.from_pandas(silver, preserve_index=False), provenance)
    name, record = _describe_piece(data, place, hours, len(silver))
    return Made(record, [{name: data}, {}], summary)


def _encode_summary(summaries: Sequence[bytes | None]) -> list[Made[SilverObject]]:
    """Make the object of the day's summary."""
    data = merge_packed([summary for summary in summaries if summary])
    name, record = _describe_summary(data)
    return [Made(record, [{}, {name: data}])]


@dataclass(frozen=True)
class SilverSlice:
    """A slice, or several that were joined, with silver columns, and the summary.

    Attributes:
        pieces: the events, without empty pieces, with their places; a slice in several pieces makes each when its turn
            comes.
        is_whole: whether they were in one piece.
        summary: of all, packed: those of a large day are large.
    """

    pieces: Iterable[tuple[Place, pd.DataFrame]]
    is_whole: bool
    summary: bytes


def _describe_piece(data: bytes, place: Place, hours: int, record_count: int) -> tuple[str, SilverObject]:
    """Return the name and the record of an object."""
    (hour, piece), sha256 = place, hashlib.sha256(data).hexdigest()
    name = f"silver_events_{name_piece(hour, piece)}_{sha256[:12]}"
    numbered = {"piece": piece} if piece else {}  # what is not set is not stored: rows of before stay equal
    piece_object = SilverObject(
        uri=f"{name}.parquet",
        sha256=sha256,
        kind="slice",
        size_bytes=len(data),
        record_count=record_count,
        hour=hour,
        hours=hours,
        **numbered,
    )
    return name, piece_object


def _describe_summary(data: bytes) -> tuple[str, SilverObject]:
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"day_summary_{sha256[:12]}"
    return name, SilverObject(uri=f"{name}.arrow", sha256=sha256, kind="summary", size_bytes=len(data), record_count=0)


def add_silver_columns(events: pd.DataFrame) -> pd.DataFrame:
    """Return events with three more columns for people.

    ``bytes_per_second`` is null for a duration of zero. ``timestamp_hour`` is the hour of the UTC day.
    ``flow_size_category`` is small (below 500 bytes), medium (below 1500 bytes) or large.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        rate = events["bytes"].to_numpy() / events["duration"].to_numpy()
    size = np.searchsorted(SIZE_EDGES, events["bytes"].to_numpy(), side="right")
    return events.assign(
        bytes_per_second=np.where(np.isfinite(rate), rate, np.nan),
        timestamp_hour=events["timestamp"].dt.hour.astype("int8"),
        flow_size_category=pd.Categorical.from_codes(size, pd.Index(SIZE_CATEGORIES, dtype="str"), ordered=True),
    )


def assemble_transformation(
    silver_reports: list[SilverObject],
    ingestion_events: pd.DataFrame,
    transformation: TransformationParameters,
    source: str,
    logical_date: date,
    run_id: str,
) -> TransformationReceipt:
    """Make the receipt that the registry commits: objects read and written with their digests, and the facts.

    Raises:
        ContractError: the slices hold more or fewer events than the batch.
    """
    stored, accepted = sum(item.record_count for item in silver_reports), int(ingestion_events["record_count"].sum())
    if stored != accepted:
        raise ContractError(
            f"the slices hold {stored} events and the batch {accepted}: the registry's time ranges of its objects were "
            "altered; run `kedro verify` to see which"
        )
    content = digest_contents(ingestion_events["content_sha256"])
    return TransformationReceipt(
        run_id=run_id,
        source=source,
        logical_date=logical_date,
        inputs=list_transformation_facts(content, transformation, feature_spec_sha256()),
        outputs=silver_reports,
        revision=int(ingestion_events["revision"].iloc[0]),
        record_count=stored,
        size_bytes=sum(item.size_bytes for item in silver_reports),
        feature_spec_sha256=feature_spec_sha256(),
        input_objects=[
            RawObject(uri=row.object_uri, sha256=row.object_sha256, record_count=int(row.record_count))
            for row in ingestion_events.itertuples()
        ],
    )


def _make_slice(raw: Slice, hour: str, hours: int) -> SilverSlice:
    pieces = [partial(_read_piece, read) for read in raw.find_pieces()]
    if len(pieces) > 1:
        made, summary = describe_pieces(pieces)
        return SilverSlice(
            (((hour, number), silver) for number, silver in enumerate(made, 1)), False, pack_summary(summary)
        )
    silver, summary = describe_slice(pieces[0]())
    return SilverSlice(_cut_by_hours(silver, hours), True, pack_summary(summary))


def _cut_by_hours(silver: pd.DataFrame, hours: int) -> list[tuple[Place, pd.DataFrame]]:
    """Return the slices that events belong to, with their places."""
    first = silver["timestamp_hour"].to_numpy() // hours * hours
    return [((f"{hour:02d}", 0), silver[first == hour]) for hour in np.unique(first)]


def _read_piece(read: StoredEvents) -> pd.DataFrame:
    return add_silver_columns(read())
