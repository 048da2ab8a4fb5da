"""What the RAW layer promises, as pure functions of snapshots; each returns what breaks a promise, in words."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from faults_snapshot import Part, Snapshot, Stored, is_unfinished

NAME = re.compile(r"network_events_\d{8}T\d{6}Z_\d{4}_([0-9a-f]{12})\.parquet")


def check_current(now: Snapshot) -> list[str]:
    """Each source and day with a batch has one current revision: the newest."""
    revisions = defaultdict(list)
    for batch in now.batches:
        revisions[batch.source, batch.day].append(batch)
    found = []
    for (source, day), batches in revisions.items():
        current = [batch.revision for batch in batches if batch.status == "SUCCESS"]
        if current != [max(batch.revision for batch in batches)]:
            found.append(f"{source} {day}: revisions {current} of {len(batches)} are current")
    return found


def check_readers(now: Snapshot) -> list[str]:
    """`current_objects` gives exactly the objects of current batches, so no orphan."""
    current = {batch.run_id for batch in now.batches if batch.status == "SUCCESS"}
    due = Counter((part.run_id, part.uri) for part in now.parts if part.run_id in current)
    seen = Counter(now.readable)
    more = [f"readers see {uri}, of no current batch" for _, uri in seen - due]
    return more + [f"readers do not see {uri}, of a current batch" for _, uri in due - seen]


def check_stored(now: Snapshot) -> list[str]:
    """Every object that a batch names is stored with the registered digest, size and rows."""
    raw = [_compare(part, now.raw.get(part.uri)) for part in now.parts]
    rejects = [_compare(part, now.quarantine.get(part.uri)) for part in now.rejects]
    return [fault for fault in raw + rejects if fault]


def _compare(part: Part, stored: Stored | None) -> str | None:
    registered = Stored(part.sha256, part.size, part.rows)
    return None if stored == registered else f"{part.uri} is {stored}, registered {registered}"


def check_whole(now: Snapshot) -> list[str]:
    """No half batch: its objects are all there, and say what the batch says."""
    parts: defaultdict[str, list[Part]] = defaultdict(list)
    rejects: defaultdict[str, list[Part]] = defaultdict(list)
    for rows, each in ((parts, now.parts), (rejects, now.rejects)):
        for part in each:
            rows[part.run_id].append(part)
    found = [f"run {run_id} has objects and no batch" for run_id in parts.keys() - {b.run_id for b in now.batches}]
    for batch in now.batches:
        own = parts[batch.run_id]
        due, have = (batch.parts, batch.accepted), (len(own), sum(part.rows for part in own))
        if due != have:
            found.append(f"batch {batch.key}: {due} parts and rows, its objects give {have}")
        if any((part.source, part.day, part.revision, part.status) != (*batch.key, batch.status) for part in own):
            found.append(f"batch {batch.key} {batch.status}: its objects are of another revision or status")
        # Registries from before the table have no row in it at all.
        if rejects and sum(part.rows for part in rejects[batch.run_id]) != batch.rejected:
            found.append(f"batch {batch.key}: {batch.rejected} rejected, its quarantine objects hold others")
    return found


def check_counts(now: Snapshot) -> list[str]:
    """What became of a batch's lines adds up to the lines that came in."""
    wrong = [batch for batch in now.batches if batch.fates != batch.lines_in]
    return [f"batch {batch.key}: {batch.lines_in} lines in, {batch.fates} accounted for" for batch in wrong]


def check_names(now: Snapshot) -> list[str]:
    """Every file in RAW and every local copy, committed or not, holds the bytes that its name says: none is torn."""
    found = []
    for uri, stored in (now.raw | now.local).items():
        match = NAME.fullmatch(PurePosixPath(uri).name)
        if is_unfinished(uri) or "/_manifests/" in uri:
            continue
        if match is None or not stored.sha256.startswith(match[1]) or stored.rows is None:
            found.append(f"{uri} holds {stored}, which its name does not say")
    return found


def check_kinds(now: Snapshot) -> list[str]:
    """A source has synthetic events or logs, never both, and the kind that the registry gives it."""
    seen = defaultdict(set)
    for batch in now.batches:
        seen[batch.source].add("logs" if batch.run_id in now.from_logs else "synthetic")
    registered = dict(now.kinds)
    found = [f"source {source} holds {' and '.join(sorted(kinds))}" for source, kinds in seen.items() if len(kinds) > 1]
    # Registries from before the table have no row in it at all.
    wrong = [source for source, kinds in seen.items() if registered and {registered.get(source)} != kinds]
    return found + [f"source {name} is registered as {registered.get(name)}, holds {seen[name]}" for name in wrong]


def check_manifests(now: Snapshot) -> list[str]:
    """A manifest that is there has the registered digest; that one is there, the next run sees to."""
    named = [(batch.manifest_uri, batch.manifest_sha256) for batch in now.batches if batch.manifest_uri]
    stored = [(uri, due, now.raw[uri].sha256) for uri, due in named if uri in now.raw]
    return [f"{uri} has sha256 {is_[:12]}, registered {due}" for uri, due, is_ in stored if is_ != due]


def check_complete_manifests(now: Snapshot) -> list[str]:
    """Every manifest that a batch names is there; to be asked after a run or `verify`."""
    named = (batch.manifest_uri for batch in now.batches if batch.manifest_uri)
    return [f"{uri} is missing" for uri in named if uri not in now.raw]


def check_immutable(before: Snapshot, now: Snapshot) -> list[str]:
    """A file once seen in RAW stays as it was, committed or not."""
    seen = {uri: stored for uri, stored in before.raw.items() if not is_unfinished(uri)}
    changed = [uri for uri, stored in seen.items() if now.raw.get(uri) != stored]
    return [f"{uri} was {seen[uri]}, is {now.raw.get(uri)}" for uri in changed]


def check_kept(before: Snapshot, now: Snapshot) -> list[str]:
    """A batch once committed keeps its facts; only SUCCESS becomes SUPERSEDED."""
    have = {batch.key: batch for batch in now.batches}
    found = []
    for batch in before.batches:
        later = have.get(batch.key)
        if later is None:
            found.append(f"batch {batch.key} is gone")
        elif later.facts != batch.facts or (batch.status, later.status) == ("SUPERSEDED", "SUCCESS"):
            found.append(f"batch {batch.key} was {batch}, is {later}")
    return found


def check_abandoned(before: Snapshot, now: Snapshot) -> list[str]:
    """After a rerun no row is RUNNING, and each that was is ABANDONED: the dead run's."""
    running = {run.run_id for run in before.runs if run.status == "RUNNING"}
    wrong = [run for run in now.runs if run.run_id in running and run.status != "ABANDONED"]
    left = [run for run in now.runs if run.status == "RUNNING" and run.run_id not in running]
    return [f"run {run.run_id} of {run.source} {run.day} is {run.status}" for run in wrong + left]


def check_failed(before: Snapshot, now: Snapshot) -> list[str]:
    """A run that nobody told to stop does not fail."""
    known = {run.run_id for run in before.runs}
    failed = [run for run in now.runs if run.status == "FAILED" and run.run_id not in known]
    return [f"run {run.run_id} of {run.source} {run.day} failed by itself" for run in failed]


def check_unchanged(before: Snapshot, now: Snapshot) -> list[str]:
    """A run that is made again stores nothing: the same batches, the same files, and its row says UNCHANGED."""
    known = {run.run_id for run in before.runs}
    found = [f"run {run.run_id} is {run.status}" for run in now.runs if run.run_id not in known | _unchanged(now)]
    if set(before.batches) != set(now.batches):
        found.append(f"batches are {sorted(batch.key for batch in set(now.batches) - set(before.batches))} more")
    return found + [f"{uri} is new" for uri in now.raw.keys() - before.raw.keys()]


def _unchanged(now: Snapshot) -> set[str]:
    return {run.run_id for run in now.runs if run.status == "UNCHANGED"}


def check_closed(before: Snapshot, now: Snapshot) -> list[str]:
    """A run's row that was closed keeps its status."""
    status = {run.run_id: run.status for run in now.runs}
    closed = [run for run in before.runs if run.status != "RUNNING"]
    changed = [run for run in closed if status.get(run.run_id) != run.status]
    return [f"run {run.run_id} was {run.status}, is {status.get(run.run_id)}" for run in changed]


PROMISES: dict[str, Callable[[Snapshot], list[str]]] = {
    "one current revision": check_current,
    "readers see it, no orphan": check_readers,
    "objects as registered": check_stored,
    "no half batch": check_whole,
    "counts add up": check_counts,
    "no torn object": check_names,
    "one kind per source": check_kinds,
    "manifests as registered": check_manifests,
}
HISTORY: dict[str, Callable[[Snapshot, Snapshot], list[str]]] = {
    "RAW immutable": check_immutable,
    "batches kept": check_kept,
    "closed runs stay closed": check_closed,
}


def check_all(before: Snapshot | None, now: Snapshot, history: Iterable[str] = tuple(HISTORY)) -> dict[str, list[str]]:
    """Return the violations of every promise, by its name; without ``before`` history is not asked."""
    found = {name: check(now) for name, check in PROMISES.items()}
    if before is not None:
        found |= {name: HISTORY[name](before, now) for name in history}
    return found
