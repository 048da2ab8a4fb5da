"""The forms in which current objects are read: one frame, parts, slices of time, or days."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from network_anomalies.datasets.layers import NamedObject, name_silver
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.records.silver_day import SilverDay, Slices
from network_anomalies.records.transformation import TransformationReceipt

HOURS_A_DAY = 24


def read_frame(
    lake: CheckedObjects, folder: str, objects: Sequence[NamedObject], empty_columns: Sequence[str]
) -> pd.DataFrame:
    """Return all rows as one frame. Without objects, return a frame without rows and with ``empty_columns``."""
    if not objects:
        return pd.DataFrame(columns=list(empty_columns), dtype="str")
    tables = [pq.read_table(_fetch(lake, folder, item)) for item in objects]
    frame = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().to_pandas()
    run_ids = [item.run_id for item in objects]
    return frame.assign(run_id=np.repeat(run_ids, [table.num_rows for table in tables])) if all(run_ids) else frame


def read_by_object(lake: CheckedObjects, folder: str, objects: Sequence[NamedObject]) -> Slices:
    """Return a function that reads each object, by its key: a part's number or a slice's first hour."""
    return {item.key: partial(_read_object, lake, folder, item) for item in objects}


def read_by_hours(lake: CheckedObjects, folder: str, objects: Sequence[NamedObject], day: date, hours: int) -> Slices:
    """Return a function that reads the events of each slice of ``hours`` hours, by the slice's first hour.

    A slice is read from the objects that overlap it. Only the row groups that overlap it are decoded. Slices that no
    object overlaps are left out.
    """
    midnight = datetime.combine(day, time(), UTC)
    slices: Slices = {}
    for hour in range(0, HOURS_A_DAY, hours):
        first, end = (midnight + timedelta(hours=min(edge, HOURS_A_DAY)) for edge in (hour, hour + hours))
        overlapping = [item for item in objects if _overlaps(item, first, end)]
        if overlapping:
            slices[f"{hour:02d}"] = partial(_read_span, lake, folder, overlapping, first, end)
    return slices


def read_summary(lake: CheckedObjects, folder: str, objects: Sequence[NamedObject]) -> Any:
    """Return the day's summary, a ``detection.Summary``."""
    from network_anomalies.detection import unpack_summary

    return unpack_summary(lake.read(f"{folder}/{objects[0].file_name}", objects[0].sha256))


def read_silver_day(lake: CheckedObjects, folder: str, silver: TransformationReceipt) -> SilverDay:
    """Return the record of a day's silver, with functions that read its objects."""
    (summary,) = name_silver(silver, "summary")
    return SilverDay(
        logical_date=silver.logical_date,
        revision=silver.revision,
        run_id=silver.run_id,
        inputs_sha256=silver.inputs_sha256,
        objects=silver.outputs,
        raw_objects=silver.input_objects,
        slices=read_by_object(lake, folder, name_silver(silver, "slice")),
        read_summary=partial(lake.read, f"{folder}/{summary.file_name}", summary.sha256),
    )


def _overlaps(item: NamedObject, first: datetime, end: datetime) -> bool:
    return item.first is not None and item.last is not None and item.first < end and item.last >= first


def _read_object(lake: CheckedObjects, folder: str, item: NamedObject) -> pd.DataFrame:
    return pd.read_parquet(_fetch(lake, folder, item))


def _read_span(
    lake: CheckedObjects, folder: str, objects: Sequence[NamedObject], first: datetime, end: datetime
) -> pd.DataFrame:
    within = [("timestamp", ">=", pd.Timestamp(first)), ("timestamp", "<", pd.Timestamp(end))]
    tables = [pq.read_table(_fetch(lake, folder, item), filters=within) for item in objects]
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas()


def _fetch(lake: CheckedObjects, folder: str, item: NamedObject) -> BytesIO:
    return BytesIO(lake.read(f"{folder}/{item.file_name}", item.sha256))
