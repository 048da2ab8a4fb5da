"""The forms in which current objects are read: one frame, parts, slices of time, or days."""

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from network_anomalies.datasets.layers import NamedObject, name_silver
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.events.joining import to_frame
from network_anomalies.records.silver_day import SilverDay, Slice, Slices, StoredEvents
from network_anomalies.records.transformation import TransformationReceipt


def read_frame(
    lake: CheckedObjects, folder: str, objects: Sequence[NamedObject], empty_columns: Sequence[str]
) -> pd.DataFrame:
    """Return all rows as one frame. Without objects, return a frame without rows and with ``empty_columns``."""
    if not objects:
        return pd.DataFrame(columns=list(empty_columns), dtype="str")
    tables = [_read_table(lake, folder, item) for item in objects]
    frame = to_frame(tables)
    run_ids = [item.run_id for item in objects]
    return frame.assign(run_id=np.repeat(run_ids, [table.num_rows for table in tables])) if all(run_ids) else frame


def read_head(fs: Any, path: str, rows: int) -> pd.DataFrame:
    """Return the first rows of a Parquet object without reading the others."""
    with fs.open(path, "rb") as file:
        batch = next(pq.ParquetFile(file).iter_batches(batch_size=rows), None)
    return pd.DataFrame() if batch is None else batch.to_pandas()


def read_by_object(
    lake: CheckedObjects, folder: str, objects: Sequence[NamedObject]
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return a function that reads each object, by its key: the number of a part."""
    return {item.key: StoredEvents(partial(_read_tables, lake, folder, item)) for item in objects}


def read_slices(lake: CheckedObjects, folder: str, objects: Sequence[NamedObject]) -> Slices:
    """Return the slices that objects hold, by the first hour; the objects of a slice are its pieces."""
    slices: dict[str, list[StoredEvents]] = {}
    for item in objects:
        slices.setdefault(item.key, []).append(StoredEvents(partial(_read_tables, lake, folder, item)))
    return {hour: Slice.of(*pieces) for hour, pieces in slices.items()}


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
        slices=read_slices(lake, folder, name_silver(silver, "slice")),
        read_summary=partial(lake.read, f"{folder}/{summary.file_name}", summary.sha256),
    )


def _read_tables(lake: CheckedObjects, folder: str, item: NamedObject) -> list[pa.Table]:
    return [_read_table(lake, folder, item)]


def _read_table(lake: CheckedObjects, folder: str, item: NamedObject) -> pa.Table:
    # For objects of some thousand rows, pq.read_table takes longer than this to prepare.
    return pq.ParquetFile(BytesIO(lake.read(f"{folder}/{item.file_name}", item.sha256))).read()
