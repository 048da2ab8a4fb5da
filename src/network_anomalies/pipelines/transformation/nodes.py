"""Nodes that make silver of committed RAW, slice by slice, and the day's summary."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.detection import Summary, describe_slice, merge_summaries, pack_summary
from network_anomalies.detection.scoring.storage import feature_spec_sha256
from network_anomalies.errors import ContractError
from network_anomalies.events.ahead import work_ahead
from network_anomalies.events.parts import digest_contents, encode_part
from network_anomalies.parameters import TransformationParameters
from network_anomalies.runs.inputs import list_transformation_facts

Objects = dict[str, bytes]
Report = dict[str, Any]
SIZE_CATEGORIES = ("small", "medium", "large")
SIZE_EDGES = (500, 1500)


def transform_slices(
    raw_slices: dict[str, Callable[[], pd.DataFrame]],
    ingestion_events: pd.DataFrame,
    transformation: TransformationParameters,
) -> Iterator[tuple[Objects, Objects, Report]]:
    """Add the silver columns to a day's slices, one at a time, and summarise the day.

    Args:
        raw_slices: first hour to a function that reads the slice's events.
        ingestion_events: the commit's receipt; its revision goes into the objects' footers.
        transformation: how long a slice is.

    Yields:
        Silver objects (name to Parquet bytes, emptied when the next slice is asked for), the day's summary (last, name
        to bytes), and a row for each object.
    """
    provenance = {"revision": str(ingestion_events["revision"].iloc[0]), "feature_spec_sha256": feature_spec_sha256()}
    summaries = []
    for hour, (silver, summary) in zip(
        raw_slices, work_ahead([partial(_make_slice, read) for read in raw_slices.values()], ahead=2), strict=True
    ):
        if silver.empty:
            continue
        summaries.append(summary)
        data = encode_part(pa.Table.from_pandas(silver, preserve_index=False), provenance)
        name = f"silver_events_{hour}_{_digest(data)[:12]}"
        facts = {"hour": hour, "hours": transformation.slice_hours, "record_count": len(silver)}
        objects = {name: data}
        yield objects, {}, _describe("slice", f"{name}.parquet", data) | facts
        objects.clear()  # saved by now; Kedro's streams would hold it
    data = pack_summary(merge_summaries(summaries))
    name = f"day_summary_{_digest(data)[:12]}"
    yield {}, {name: data}, _describe("summary", f"{name}.arrow", data) | {"record_count": 0}


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
    silver_reports: list[Report], ingestion_events: pd.DataFrame, transformation: TransformationParameters, run_id: str
) -> Report:
    """Make the row that the registry commits: objects in and out with their hashes, rows, and what decided them.

    Raises:
        ContractError: the slices hold more or fewer events than the batch.
    """
    rows, accepted = sum(row["record_count"] for row in silver_reports), int(ingestion_events["record_count"].sum())
    if rows != accepted:
        raise ContractError(
            f"the slices hold {rows} events and the batch {accepted}: the registry's time ranges of its objects were "
            "altered; run `kedro verify` to see which"
        )
    raw = ingestion_events[["object_uri", "object_sha256", "record_count"]]
    content = digest_contents(ingestion_events["content_sha256"])
    return {
        "run_id": run_id,
        "inputs": list_transformation_facts(content, transformation, feature_spec_sha256()),
        "outputs": silver_reports,
        "revision": int(ingestion_events["revision"].iloc[0]),
        "record_count": rows,
        "size_bytes": sum(row["size_bytes"] for row in silver_reports),
        "feature_spec_sha256": feature_spec_sha256(),
        "input_objects": raw.rename(columns={"object_uri": "uri", "object_sha256": "sha256"}).to_dict("records"),
        "output_objects": silver_reports,
    }


def _make_slice(read: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, Summary]:
    return describe_slice(add_silver_columns(read()))


def _describe(kind: str, file_name: str, data: bytes) -> Report:
    return {"kind": kind, "file_name": file_name, "sha256": _digest(data), "size_bytes": len(data)}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
