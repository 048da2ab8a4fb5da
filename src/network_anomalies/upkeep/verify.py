"""`kedro verify`: compares everything that is stored with the registry, and the registry's rows with each other."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from network_anomalies.registry.engine import ensure_schema
from network_anomalies.registry.manifests import Commit, parse_name
from network_anomalies.registry.run_rows import abandon_dead_runs
from network_anomalies.upkeep.lake_manifests import read_manifests
from network_anomalies.upkeep.snapshot import Range, Snapshot, read_snapshot
from network_anomalies.upkeep.stores import StoredFile, Stores, list_files
from network_anomalies.upkeep.verify_batches import check_manifests, check_rows, check_states
from network_anomalies.upkeep.verify_models import check_decisions, check_models
from network_anomalies.upkeep.verify_objects import check_objects, check_quarantine, list_path
from network_anomalies.upkeep.verify_stages import (
    check_alerts,
    check_log,
    check_output,
    check_own_rows,
    check_transformations,
    explain_faults,
    list_outputs,
    list_running,
)

_PLACE = re.compile(r"(?:_manifests/)?([a-z0-9][a-z0-9_-]*)/(\d{4}-\d\d-\d\d)/[^/]+")


@dataclass
class Verification:
    """The result of a verification.

    Attributes:
        objects: number of RAW objects that were read.
        rows: number of events in them, as registered.
        files: number of other objects and files that were read.
        abandoned: number of dead runs that were closed.
        mismatches: differences from the registry, in words.
        notes: what was completed, or could not be judged, in words.
        orphans: files in the RAW bucket that no batch names.
    """

    objects: int = 0
    rows: int = 0
    files: int = 0
    abandoned: int = 0
    mismatches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    orphans: list[StoredFile] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the result line by line, and the sums last."""
        yield from (f"MISMATCH {mismatch}" for mismatch in self.mismatches)
        yield from (f"orphan {orphan.path} ({orphan.size_bytes} bytes)" for orphan in self.orphans)
        yield from self.notes
        if self.abandoned:
            yield f"{self.abandoned} dead runs marked ABANDONED"
        sums = f"{self.objects} objects, {self.files} other files, {self.rows} rows verified"
        yield f"{sums}; {len(self.mismatches)} mismatches, {len(self.orphans)} orphans"


def verify_stores(stores: Stores, start: date | None, end: date | None) -> Verification:
    """Compare everything of the dates from ``start`` to ``end``, both included, with the registry; None: no limit.

    Every object and file is read once, even if several rows name it; one at a time is in memory. If the manifest of a
    batch is missing, it is written.
    """
    ensure_schema(stores.engine)
    dates = Range(start, end)
    report = Verification(abandoned=abandon_dead_runs(stores.engine))
    # List the bucket before reading the registry: then each listed manifest has its batch in the registry.
    stored = [file for file in list_files(stores.lake, stores.buckets["raw"]) if date_of(stores, file) in dates]
    manifests = read_manifests(stores, stored)
    snapshot = read_snapshot(stores.engine, dates)
    faults, written = check_manifests(stores, snapshot.commits, manifests)
    running = [f"{run['source']} on {run['logical_date']}" for run in list_running(snapshot)]
    report.notes = [*written, *(f"a run of {day} is working: verify that day again after the run" for day in running)]
    report.mismatches += [*faults, *check_states(snapshot.commits)]
    for commit in snapshot.commits:
        report.mismatches += check_rows(commit)
    _read_objects(stores, snapshot, report)
    report.mismatches += check_log(snapshot, dates)
    report.mismatches += [*check_own_rows(snapshot), *check_transformations(snapshot), *check_alerts(snapshot, dates)]
    report.mismatches += [*check_models(snapshot, dates), *check_decisions(snapshot)]
    _read_outputs(stores, snapshot, dates, report)
    report.orphans = find_orphans(stores, stored, snapshot.commits)
    if None in dates and not snapshot.commits and any(is_ours(stores, file) for file in report.orphans):
        report.mismatches.append("the registry knows no batch, and there are objects in RAW: run `kedro restore`")
    report.mismatches = list(dict.fromkeys(report.mismatches))
    return report


def find_orphans(stores: Stores, stored: Sequence[StoredFile], commits: Sequence[Commit]) -> list[StoredFile]:
    """Return the files of the RAW bucket that no batch names and that are not manifests."""
    named_paths = {list_path(stores, "raw", row) for commit in commits for row in commit.objects}
    root = f"{stores.buckets['raw']}/"
    return [file for file in stored if file.path not in named_paths and not parse_name(file.path.removeprefix(root))]


def place_of(stores: Stores, file: StoredFile, layer: str = "raw") -> tuple[str, date] | None:
    """Return the source and date in the path of a file of a bucket, or None."""
    match = _PLACE.fullmatch(file.path.removeprefix(f"{stores.buckets[layer]}/"))
    try:
        return (match[1], date.fromisoformat(match[2])) if match else None
    except ValueError:
        return None


def date_of(stores: Stores, file: StoredFile) -> date | None:
    """Return the date in the path of a file of the RAW bucket, or None."""
    place = place_of(stores, file)
    return place[1] if place else None


def is_ours(stores: Stores, file: StoredFile, layer: str = "raw") -> bool:
    """Tell whether a file of a bucket has the name of an object, or of a temporary file, of this project."""
    return place_of(stores, file, layer) is not None and bool(_NAMES[layer].fullmatch(file.path.rpartition("/")[2]))


_NAMES = {
    "raw": re.compile(r"\.?network_events_\d{8}T\d{6}Z_\d{4,}_[0-9a-f]{12}\.parquet(\.[0-9a-f]{8}\.tmp)?"),
    "quarantine": re.compile(r"\.?quarantined_events_\d{4,}_[0-9a-f]{12}\.parquet(\.[0-9a-f]{8}\.tmp)?"),
}
"""Names of objects, and of the temporary files that a killed process leaves on a local disk."""


def _read_objects(stores: Stores, snapshot: Snapshot, report: Verification) -> None:
    for rows, faults in check_objects(stores, snapshot.commits):
        report.objects += 1
        report.rows += rows
        report.mismatches += faults
    for faults in check_quarantine(stores, snapshot.commits):
        report.files += 1
        report.mismatches += faults


def _read_outputs(stores: Stores, snapshot: Snapshot, dates: Range, report: Verification) -> None:
    outputs = list_outputs(snapshot, dates)
    report.files += len(outputs)
    faults = [fault for output in outputs if (fault := check_output(stores, output))]
    mismatches, notes = explain_faults(stores.engine, snapshot, faults)
    report.mismatches += mismatches
    report.notes += notes
