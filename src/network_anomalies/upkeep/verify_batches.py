"""Committed batches: their rows compared with each other and with their manifests."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date

from sqlalchemy import select

from network_anomalies.datasets.write_once import create_object
from network_anomalies.events.parts import digest_contents
from network_anomalies.registry.batches import ensure_manifest, fits_rejects
from network_anomalies.registry.manifests import Commit, Row, encode_manifest
from network_anomalies.registry.tables import ingestion_batches
from network_anomalies.registry.transactions import transaction
from network_anomalies.upkeep.lake_manifests import StoredManifest, compare_commits
from network_anomalies.upkeep.stores import Stores

SHARED_COLUMNS = ("source", "logical_date", "revision", "contract_version", "status")
"""Columns in which an object's row must equal its batch's row."""


def check_states(commits: Sequence[Commit]) -> Iterator[str]:
    """Check that the highest revision of each source and date is current, and no other."""
    days: defaultdict[tuple[str, date], list[Row]] = defaultdict(list)
    for commit in commits:
        days[commit.batch["source"], commit.batch["logical_date"]].append(commit.batch)
    for (source, day), batches in days.items():
        current = [row["revision"] for row in batches if row["status"] == "SUCCESS"]
        latest = max(row["revision"] for row in batches)
        if current != [latest]:
            numbers = ", ".join(map(str, current)) or "none"
            yield f"batches of {source} on {day}: the current revision is {numbers}, the latest is {latest}"


def check_rows(commit: Commit) -> Iterator[str]:
    """Compare a batch's row with the sums of its objects' rows, and each object's row with the batch's row."""
    batch, objects = commit.batch, commit.objects
    sums = {
        "parts": len(objects),
        "accepted": sum(row["record_count"] for row in objects),
        "size_bytes": sum(row["size_bytes"] for row in objects),
        "content_sha256": digest_contents(row["content_sha256"] for row in objects),
        "min_timestamp": min((row["min_timestamp"] for row in objects), default=None),
        "max_timestamp": max((row["max_timestamp"] for row in objects), default=None),
    }
    for column, value in sums.items():
        if batch[column] != value:
            yield f"batch {commit.name}: {column} is {batch[column]}, its objects give {value}"
    kept = sum(row["record_count"] for row in commit.quarantine)
    if commit.quarantine and not fits_rejects(batch, kept):  # batches of an early version have no such rows
        rejects = f"rejected is {batch['rejected']}, unparsable is {batch['unparsable']}"
        yield f"batch {commit.name}: {rejects}, its objects in quarantine give {kept}"
    for row in objects:
        for column in SHARED_COLUMNS:
            if row[column] != batch[column]:
                yield f"batch {commit.name}, part {row['part']}: {column} is {row[column]}, the batch's {batch[column]}"
    if commit.run and commit.run["status"] == "UNCHANGED":
        yield f"run {batch['run_id']}: status is UNCHANGED, and it committed {commit.name}"


def check_manifests(
    stores: Stores, commits: Sequence[Commit], manifests: Sequence[StoredManifest]
) -> tuple[list[str], list[str]]:
    """Compare the batches' rows with their manifests, and write manifests that are missing after a crash.

    Returns:
        The faults, and the manifests that were written, both in words.
    """
    revisions: defaultdict[tuple[str, date, int], list[StoredManifest]] = defaultdict(list)
    for manifest in manifests:
        revisions[(*manifest.day, manifest.name.revision)].append(manifest)
    faults: list[str] = []
    written: list[str] = []
    for commit in commits:
        key = (commit.batch["source"], commit.batch["logical_date"], commit.batch["revision"])
        if stored := revisions.pop(key, []):
            faults += _compare_manifests(stores, commit, stored)
        elif commit.batch["manifest_sha256"] in (None, encode_manifest(commit).sha256):
            written.append(f"manifest of {commit.name} was missing, and has been written: {_write(stores, commit)}")
        else:
            faults.append(f"batch {commit.name}: its manifest is missing, and its rows were altered since the commit")
    for manifest in (manifest for stored in revisions.values() for manifest in stored):
        batch = f"{manifest.name.source} on {manifest.name.logical_date}, revision {manifest.name.revision}"
        unknown = f"manifest {manifest.path} is of {batch}, which the registry does not know: run `kedro restore`"
        faults.append(manifest.fault or unknown)
    return faults, written


def _compare_manifests(stores: Stores, commit: Commit, stored: Iterable[StoredManifest]) -> Iterator[str]:
    """Compare a batch with its manifest; a second manifest of the same revision is a fault."""
    expected = encode_manifest(commit)
    ordered = sorted(stored, key=lambda manifest: manifest.path != expected.path)
    if ordered[0].commit is None:
        yield ordered[0].fault
    else:
        yield from compare_commits(commit, ordered[0].commit)
    uri = f"{stores.uris['raw']}/{ordered[0].path}"
    named_uri, sha256 = commit.batch["manifest_uri"], commit.batch["manifest_sha256"] or ""
    if (named_uri, sha256[:12]) != (uri, ordered[0].name.digits):
        columns = f"manifest_uri and manifest_sha256 are {named_uri} {sha256[:12]}"
        yield f"batch {commit.name}: {columns}, its manifest is {uri}"
    elif ordered[0].path == expected.path and sha256 != expected.sha256:
        yield f"batch {commit.name}: manifest_sha256 is {sha256}, its rows give {expected.sha256}"
    for second in ordered[1:]:
        yield f"manifest {second.path} is a second one of {commit.name}, which the registry does not name"


def _write(stores: Stores, commit: Commit) -> str:
    """Write the manifest of a batch and return its path; name it in the batch's row if the row names none."""
    manifest = encode_manifest(commit)
    if commit.batch["manifest_sha256"] is None:
        columns = ingestion_batches.c
        named = (columns.run_id == commit.batch["run_id"], columns.manifest_sha256 == manifest.sha256)
        query = select(columns.run_id).where(*named)
        with transaction(stores.engine, lambda second: second.execute(query).first() is not None) as connection:
            manifest = ensure_manifest(connection, commit.batch, stores.uris["raw"])
    with suppress(FileExistsError):  # the run that committed the batch has just written it
        create_object(stores.lake, f"{stores.buckets['raw']}/{manifest.path}", manifest.data)
    return manifest.path
