"""The objects of RAW and of quarantine: their bytes compared with the registry's rows, one object at a time."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO

import pyarrow
import pyarrow.parquet as pq

from network_anomalies.errors import ProjectError
from network_anomalies.events.contract import coerce_events, find_violations
from network_anomalies.events.parts import digest_content, name_part, to_canonical_table
from network_anomalies.registry.manifests import Commit, Row
from network_anomalies.upkeep.stores import Stores


@dataclass(frozen=True)
class ObjectFacts:
    """Facts that were read from an object's bytes.

    Attributes:
        object_sha256: sha256 of the bytes.
        size_bytes: number of bytes.
        record_count: number of rows, None if the bytes cannot be read.
        values: values of other columns of the registry; None for values that could not be read.
        contract_version: contract version in the Parquet footer.
        broken: number of rows that break a rule of the contract, by rule.
    """

    object_sha256: str
    size_bytes: int
    record_count: int | None
    values: Mapping[str, object] = field(default_factory=dict)
    contract_version: str | None = None
    broken: Mapping[str, int] = field(default_factory=dict)


def check_objects(stores: Stores, commits: Sequence[Commit]) -> Iterator[tuple[int, list[str]]]:
    """Compare every RAW object with every row that names it; yield its number of rows and its faults."""
    rows_by_path: defaultdict[str, list[Row]] = defaultdict(list)
    for row in (row for commit in commits for row in commit.objects):
        rows_by_path[list_path(stores, "raw", row)].append(row)
    for path, rows in rows_by_path.items():
        facts = _examine(stores, path, rows[0]["logical_date"])
        versions = [row["contract_version"] for row in rows]
        faults = [fault for row in rows for fault in _compare(facts, row)]
        if facts and facts.record_count and facts.contract_version not in versions:
            faults.append(f"its footer has contract {facts.contract_version}, registered {versions[0]}")
        for row in rows:
            faults += _check_place(stores, "raw", row)
        yield rows[0]["record_count"], [f"{path}: {fault}" for fault in dict.fromkeys(faults)]


def check_quarantine(stores: Stores, commits: Sequence[Commit]) -> Iterator[list[str]]:
    """Compare every object in quarantine with every row that names it; yield its faults."""
    rows_by_path: defaultdict[str, list[Row]] = defaultdict(list)
    for commit in commits:
        day = {name: commit.batch[name] for name in ("source", "logical_date")}
        for row in commit.quarantine:
            rows_by_path[list_path(stores, "quarantine", {**row, **day})].append({**row, **day})
    for path, rows in rows_by_path.items():
        facts = _examine_rejects(stores, path)
        faults = [fault for row in rows for fault in (*_compare(facts, row), *_check_place(stores, "quarantine", row))]
        yield [f"{path}: {fault}" for fault in dict.fromkeys(faults)]


def list_path(stores: Stores, layer: str, row: Row) -> str:
    """Return the path that the object of a row must have, by its source, date and file name."""
    return "/".join((stores.buckets[layer], row["source"], str(row["logical_date"]), row["file_name"]))


def _examine(stores: Stores, path: str, logical_date: date) -> ObjectFacts | None:
    """Return the facts of an object's bytes, None if the object is missing."""
    try:
        data = stores.lake.cat_file(path)
    except FileNotFoundError:
        return None
    digest = hashlib.sha256(data).hexdigest()
    try:
        read = pq.read_table(BytesIO(data))
        table = to_canonical_table(read)
        violations = find_violations(coerce_events(table.to_pandas()), logical_date)
    except (pyarrow.ArrowException, OSError, ProjectError, KeyError):
        return ObjectFacts(digest, len(data), None, {"content_sha256": None})
    values: dict[str, object] = {"content_sha256": digest_content(table)}
    if table.num_rows:
        first, last = (table["timestamp"][place].as_py() for place in (0, -1))
        values |= {"min_timestamp": first, "max_timestamp": last}
    version = (read.schema.metadata or {}).get(b"contract_version", b"").decode()
    broken = violations["rule"].value_counts().to_dict()
    return ObjectFacts(digest, len(data), table.num_rows, values, version or None, broken)


def _examine_rejects(stores: Stores, path: str) -> ObjectFacts | None:
    try:
        data = stores.lake.cat_file(path)
    except FileNotFoundError:
        return None
    try:
        rows = pq.ParquetFile(BytesIO(data)).metadata.num_rows
    except (pyarrow.ArrowException, OSError):
        rows = None
    return ObjectFacts(hashlib.sha256(data).hexdigest(), len(data), rows)


def _compare(facts: ObjectFacts | None, row: Row) -> list[str]:
    if facts is None:
        return ["the object is missing"]
    if facts.object_sha256 != row["object_sha256"]:
        actual = f"{facts.size_bytes} bytes, sha256 {facts.object_sha256[:12]}"
        return [f"{actual}; registered {row['size_bytes']}, {row['object_sha256'][:12]}"]
    values = {"size_bytes": facts.size_bytes, "record_count": facts.record_count, **facts.values}
    faults = [f"{name} is {value}, registered {row[name]}" for name, value in values.items() if value != row[name]]
    return faults + [f"{count} rows break {rule}" for rule, count in facts.broken.items()]


def _check_place(stores: Stores, layer: str, row: Row) -> Iterator[str]:
    """Check that a row's file name and URI agree with its other columns."""
    if layer == "raw":
        expected = name_part(row["min_timestamp"], row["part"], row["object_sha256"])
    else:
        expected = f"quarantined_events_{row['part']:04d}_{row['object_sha256'][:12]}.parquet"
    if row["file_name"] != expected:
        yield f"file_name is {row['file_name']}, part, first instant and digest give {expected}"
    uri = f"{stores.uris[layer]}/{row['source']}/{row['logical_date']}/{row['file_name']}"
    if row["object_uri"] != uri:
        yield f"object_uri is {row['object_uri']}, source, date and file name give {uri}"
