"""Objects of a part: their bytes, and what is known of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.events.contract import CONTRACT_VERSION
from network_anomalies.events.parts import digest_content, encode_part, name_part
from network_anomalies.records.batch import PartObject, RejectsObject


def describe_part(table: pa.Table, data: bytes, part: int, rejected_count: int) -> PartObject:
    """Return the record of a canonical table and its Parquet bytes.

    Args:
        table: the events, at least one.
        data: the table as Parquet.
        part: its number, from 1.
        rejected_count: rows of the part that are in quarantine.
    """
    first, last = (table["timestamp"][row].as_py() for row in (0, -1))
    object_sha256 = hashlib.sha256(data).hexdigest()
    return PartObject(
        part=part,
        file_name=name_part(first, part, object_sha256),
        record_count=table.num_rows,
        rejected_count=rejected_count,
        size_bytes=len(data),
        object_sha256=object_sha256,
        content_sha256=digest_content(table),
        min_timestamp=first,
        max_timestamp=last,
    )


def prefer_stored(made: PartObject, stored: pd.DataFrame) -> PartObject:
    """Name the current object if it holds the same rows, though another Parquet writer gave it other bytes.

    Args:
        made: the object as it would be stored now.
        stored: the current objects, indexed by part: ``content_sha256``, ``contract_version``, ``file_name``,
            ``object_sha256``, ``size_bytes``. One of another version of the contract is not named again: a batch has
            one version.
    """
    kept = ("content_sha256", "contract_version")
    wanted = (made.content_sha256, CONTRACT_VERSION)
    if made.part not in stored.index or tuple(stored.loc[made.part, list(kept)]) != wanted:
        return made
    return replace(
        made,
        file_name=str(stored.at[made.part, "file_name"]),
        object_sha256=str(stored.at[made.part, "object_sha256"]),
        size_bytes=int(stored.at[made.part, "size_bytes"]),
    )


def encode_rejects(rejects: pd.DataFrame, part: int, provenance: Mapping[str, str]) -> tuple[RejectsObject, bytes]:
    """Encode rejects under a name that their bytes decide, so that a rerun or a replay finds them kept already."""
    table = pa.Table.from_pandas(rejects.assign(part=np.int32(part)), preserve_index=False)
    # pandas has several types of text, and rejects that were read again have another one than those received.
    texts = {field.name: pa.string() for field in table.schema if pa.types.is_large_string(field.type)}
    schema = pa.schema([(field.name, texts.get(field.name, field.type)) for field in table.schema])
    data = encode_part(table.cast(schema), provenance)
    digest = hashlib.sha256(data).hexdigest()
    file_name = f"quarantined_events_{part:04d}_{digest[:12]}.parquet"
    return RejectsObject(part, file_name, len(rejects), len(data), digest), data
