"""Nodes that make silver of committed RAW, slice by slice, and the day's summary."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.detection import Summary, describe_slice, merge_summaries, pack_summary
from network_anomalies.detection.scoring.storage import feature_spec_sha256
from network_anomalies.errors import ContractError
from network_anomalies.events.ahead import work_ahead
from network_anomalies.events.parts import digest_contents, encode_part
from network_anomalies.parameters import TransformationParameters
from network_anomalies.records.transformation import RawObject, SilverObject, TransformationReceipt
from network_anomalies.runs.inputs import list_transformation_facts

Objects = dict[str, bytes]
SIZE_CATEGORIES = ("small", "medium", "large")
SIZE_EDGES = (500, 1500)


def transform_slices(
    raw_slices: dict[str, Callable[[], pd.DataFrame]],
    ingestion_events: pd.DataFrame,
    transformation: TransformationParameters,
) -> Iterator[tuple[dict[str, Callable[[], bytes]], Objects, SilverObject]]:
    """Add the silver columns to a day's slices, one at a time, and summarise the day.

    Args:
        raw_slices: first hour to a function that reads the slice's events.
        ingestion_events: the commit's receipt; its revision goes into the objects' footers.
        transformation: how long a slice is.

    Yields:
        Silver objects (name to a function that returns Parquet bytes until the next slice is asked for), the day's
        summary (last, name to bytes), and a record of each object.
    """
    provenance = {"revision": str(ingestion_events["revision"].iloc[0]), "feature_spec_sha256": feature_spec_sha256()}
    made = work_ahead([partial(_make_slice, read_events) for read_events in raw_slices.values()], ahead=2)
    summaries = []
    data = b""

    def read() -> bytes:
        return data

    # Kedro's streams (itertools.tee) hold up to 57 yields, so what is yielded does not hold the bytes.
    for hour, (silver, summary) in zip(raw_slices, made, strict=True):
        if silver.empty:
            continue
        summaries.append(summary)
        data = encode_part(pa.Table.from_pandas(silver, preserve_index=False), provenance)
        name, slice_object = _describe_slice(data, hour, transformation.slice_hours, len(silver))
        yield {name: read}, {}, slice_object
    data = pack_summary(merge_summaries(summaries))
    name, summary_object = _describe_summary(data)
    yield {}, {name: data}, summary_object


def _describe_slice(data: bytes, hour: str, hours: int, record_count: int) -> tuple[str, SilverObject]:
    digest = _digest(data)
    name = f"silver_events_{hour}_{digest[:12]}"
    return name, SilverObject(
        uri=f"{name}.parquet",
        sha256=digest,
        kind="slice",
        size_bytes=len(data),
        record_count=record_count,
        hour=hour,
        hours=hours,
    )


def _describe_summary(data: bytes) -> tuple[str, SilverObject]:
    digest = _digest(data)
    name = f"day_summary_{digest[:12]}"
    return name, SilverObject(uri=f"{name}.arrow", sha256=digest, kind="summary", size_bytes=len(data), record_count=0)


def add_silver_columns(events: pd.DataFrame) -> pd.DataFrame:
    """Return events with three columns for people.

    They are ``bytes_per_second`` (null for a duration of zero), ``timestamp_hour`` (hour of the UTC day) and
    ``flow_size_category`` (small < 500 <= medium < 1500 <= large bytes).
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
    """Make the receipt that the registry commits: objects in and out with their digests, and what decided them.

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
        input_objects=_list_raw_objects(ingestion_events),
    )


def _make_slice(read: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, Summary]:
    return describe_slice(add_silver_columns(read()))


def _list_raw_objects(ingestion_events: pd.DataFrame) -> list[RawObject]:
    return [
        RawObject(uri=row.object_uri, sha256=row.object_sha256, record_count=int(row.record_count))
        for row in ingestion_events.itertuples()
    ]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
