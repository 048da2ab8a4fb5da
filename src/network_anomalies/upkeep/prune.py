"""Retention: deletes old files. It never deletes what a commit or a manifest names."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import fsspec
from sqlalchemy import func, select, true

from network_anomalies.errors import ProjectError
from network_anomalies.registry.conditions import of_day
from network_anomalies.registry.engine import ensure_schema
from network_anomalies.registry.locks import hold_lock
from network_anomalies.registry.manifests import Commit, Row, encode_manifest, read_commits
from network_anomalies.registry.tables import ingestion_batches, pipeline_runs, sources
from network_anomalies.upkeep.lake_manifests import read_manifests
from network_anomalies.upkeep.snapshot import Range
from network_anomalies.upkeep.stores import Clock, StoredFile, Stores, list_files
from network_anomalies.upkeep.verify import is_ours, place_of
from network_anomalies.upkeep.verify_objects import list_path

SourceDay = tuple[str, date]

ENDED_WITHOUT = {"raw": ("FAILED", "ABANDONED"), "quarantine": ("FAILED", "ABANDONED", "UNCHANGED")}
"""Status of runs that may leave objects without a commit, by layer. An ``UNCHANGED`` run stored nothing in RAW."""
TOLERANCE = timedelta(hours=1)
"""Largest difference allowed between the clocks of the store and of a run's machine."""
AHEAD = timedelta(days=7)
"""If this machine's clock is more than this after the latest run, it may be wrong."""


@dataclass(frozen=True)
class Doomed:
    """A file to delete: its layer (``local`` for local copies), and its source and date if known."""

    layer: str
    file: StoredFile
    day: SourceDay | None = None

    @property
    def name(self) -> str:
        """What kind of file it is, and its path."""
        kind = {"raw": "orphan", "quarantine": "quarantine object"}.get(self.layer, "local copy")
        return f"{kind} {self.file.path}"


@dataclass(frozen=True)
class PrunePlan:
    """The files to delete, the files that are kept and why, and the number of files in each bucket."""

    doomed: Sequence[Doomed]
    kept: Sequence[str]
    files: dict[str, int]


def prune_stores(stores: Stores, clock: Clock, dates: Range, delete: bool, force: bool = False) -> Iterator[str]:
    """List the files that are older than ``retention`` allows, with totals, and with ``delete`` delete them.

    ``dates`` limits the files in buckets, not the local copies. ``force`` deletes also more than
    ``retention.max_share`` of a bucket, and even if the clock may be wrong.

    Raises:
        ProjectError: the registry lacks batches that the lake holds, or ``force`` is needed.
    """
    plan = plan_pruning(stores, require_whole_registry(stores), clock.now, dates)
    yield from (f"kept {reason}" for reason in plan.kept)
    yield from (f"{'to delete' if delete else 'would delete'}: {doomed.name}" for doomed in plan.doomed)
    yield from _total(plan)
    if not delete or not plan.doomed:
        return
    if not force:
        _require_small(stores, plan)
        _require_clock(stores, clock)
    yield from _delete(stores, plan)


def require_whole_registry(stores: Stores) -> list[Commit]:
    """Return every commit of the registry and of the lake's manifests.

    Raises:
        ProjectError: the registry lacks a commit that has a manifest (it was lost, or is an older copy), or a manifest
            cannot be read.
    """
    ensure_schema(stores.engine)
    files = list_files(stores.lake, stores.buckets["raw"])
    manifests = read_manifests(
        stores, files
    )  # read before the registry, because a manifest is written after its commit
    with stores.engine.connect() as connection:
        registered = read_commits(connection, true())
    if faults := [manifest.fault for manifest in manifests if manifest.fault]:
        raise ProjectError(f"nothing is deleted: {faults[0]}")
    run_ids = {commit.batch["run_id"] for commit in registered}
    stored = [manifest.commit for manifest in manifests if manifest.commit]
    unknown = [commit.name for commit in stored if commit.batch["run_id"] not in run_ids]
    if unknown or (files and not registered):
        batches = f"{unknown[0]} and {len(unknown) - 1} more" if len(unknown) > 1 else "".join(unknown) or "any batch"
        raise ProjectError(f"nothing is deleted: the registry does not know {batches}; run `kedro restore` first")
    return [*registered, *stored]


def plan_pruning(stores: Stores, commits: Sequence[Commit], now: datetime, dates: Range) -> PrunePlan:
    """Judge every file that is old enough. A file of a bucket is deleted only if it certainly belongs to no commit."""
    keep, proof = stores.retention, _read_proof(stores, commits)
    local = list_files(fsspec.filesystem("file"), str(stores.local_copies))
    copies = [file for file in local if not file.path.endswith("/.gitkeep")]
    doomed = [Doomed("local", file) for file in _older(copies, now, keep.local_days)]
    kept: list[str] = []
    files: dict[str, int] = {}
    for layer, days in (("quarantine", keep.quarantine_days), ("raw", keep.orphan_days)):
        stored = list_files(stores.lake, stores.buckets[layer])
        files[layer] = len(stored)
        for file in _older([file for file in stored if file.path not in proof.named], now, days):
            place = place_of(stores, file, layer)
            if (place[1] if place else None) not in dates:
                continue
            if doubt := _find_doubt(stores, proof, layer, file):
                kept.append(f"{file.path}: {doubt}")
            else:
                doomed.append(Doomed(layer, file, place))
    return PrunePlan(doomed, kept, files)


@dataclass(frozen=True)
class _Proof:
    """From the registry: paths that commits name, sources, runs without a commit by day, days with unnamed rejects."""

    named: set[str]
    sources: set[str]
    runs: dict[SourceDay, list[Row]]
    unnamed_rejects: set[SourceDay]


def _read_proof(stores: Stores, commits: Sequence[Commit]) -> _Proof:
    days = {
        (commit.batch["source"], commit.batch["logical_date"])
        for commit in commits
        if sum(row["record_count"] for row in commit.quarantine) != commit.batch["rejected"]
    }
    committed = {commit.batch["run_id"] for commit in commits}
    runs: defaultdict[SourceDay, list[Row]] = defaultdict(list)
    with stores.engine.connect() as connection:
        source_names = set(connection.execute(select(sources.c.name)).scalars())
        for row in connection.execute(select(pipeline_runs)).mappings():
            if row["run_id"] not in committed:
                runs[row["source"], row["logical_date"]].append(dict(row))
    return _Proof(_list_named(stores, commits), source_names, runs, days)


def _list_named(stores: Stores, commits: Sequence[Commit]) -> set[str]:
    """Return the paths of objects, rejects and manifests of commits."""
    paths: set[str] = set()
    for commit in commits:
        place = {name: commit.batch[name] for name in ("source", "logical_date")}
        paths |= {list_path(stores, "raw", row) for row in commit.objects}
        paths |= {list_path(stores, "quarantine", {**row, **place}) for row in commit.quarantine}
        paths.add(f"{stores.buckets['raw']}/{encode_manifest(commit).path}")
    return paths


def _find_doubt(stores: Stores, proof: _Proof, layer: str, file: StoredFile) -> str:
    """Say why a file that no commit names may not be deleted; "" if it may be deleted."""
    place = place_of(stores, file, layer)
    if place is None or not is_ours(stores, file, layer):
        return "it does not have a name that this project gives, so it is not deleted here"
    source, day = place
    if source not in proof.sources:
        return f"the registry knows no source {source}"
    if layer == "quarantine" and place in proof.unnamed_rejects:
        return f"the registry does not name all rejects of {source} on {day}, this may be one of them"
    ended = [run for run in proof.runs.get(place, []) if run["status"] in ENDED_WITHOUT[layer]]
    if not any(_could_write(run, file) for run in ended):
        return f"no run of {source} on {day} is known that could have left it without a commit"
    return ""


def _could_write(run: Row, file: StoredFile) -> bool:
    """Tell whether a file was written between the start and the end of a run."""
    return bool(run["started_at"] - TOLERANCE <= file.modified <= run["finished_at"] + TOLERANCE)


def _older(files: Sequence[StoredFile], now: datetime, days: int) -> list[StoredFile]:
    return [file for file in files if now - file.modified > timedelta(days=days)]


def _total(plan: PrunePlan) -> Iterator[str]:
    for layer in ("local", "quarantine", "raw"):
        sizes = [doomed.file.size_bytes for doomed in plan.doomed if doomed.layer == layer]
        if sizes:
            total = f" of {plan.files[layer]}" if layer in plan.files else ""
            yield f"{layer}: {len(sizes)}{total} files, {sum(sizes)} bytes to delete"


def _require_small(stores: Stores, plan: PrunePlan) -> None:
    keep = stores.retention
    for layer, files in plan.files.items():
        count = sum(doomed.layer == layer for doomed in plan.doomed)
        if count > max(keep.always_files, keep.max_share * files):
            raise ProjectError(
                f"nothing is deleted: {count} of the {files} files in {layer} are more than retention.max_share "
                f"({keep.max_share:g}): look at the list, then give --force if it is right"
            )


def _require_clock(stores: Stores, clock: Clock) -> None:
    with stores.engine.connect() as connection:
        latest = connection.execute(select(func.max(pipeline_runs.c.started_at))).scalar()
    if not clock.is_the_stores and latest and clock.now - latest > AHEAD:
        raise ProjectError(
            f"nothing is deleted: the clock says {clock.now:%F %H:%M} UTC, and the latest run began {latest:%F %H:%M}: "
            "check the clock, then give --force if it is right"
        )


def _delete(stores: Stores, plan: PrunePlan) -> Iterator[str]:
    """Delete the files, day by day under the day's lock: a run may be about to commit a file, or has just done it."""
    local, deleted = fsspec.filesystem("file"), 0
    days: defaultdict[SourceDay, list[Doomed]] = defaultdict(list)
    for doomed in sorted(plan.doomed, key=lambda item: (item.layer, item.file.path)):
        if doomed.day:
            days[doomed.day].append(doomed)
        else:
            local.rm_file(doomed.file.path)
            deleted += 1
    for day in sorted(days):
        with hold_lock(stores.engine, *day) as held:
            named_paths = _read_named(stores, day) if held else set()
            for doomed in days[day]:
                if not held or doomed.file.path in named_paths:
                    yield f"kept {doomed.name}: a run of its date is working, or has committed it"
                    continue
                stores.lake.rm_file(doomed.file.path)
                deleted += 1
    yield f"deleted {deleted} files"


def _read_named(stores: Stores, day: SourceDay) -> set[str]:
    with stores.engine.connect() as connection:
        return _list_named(stores, read_commits(connection, of_day(ingestion_batches, *day)))
