"""The records of stages: their rows compared with each other, and files that stages wrote with their digests."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Engine, select

from network_anomalies.registry.alert_rows import digest_alerts
from network_anomalies.registry.manifests import Row
from network_anomalies.registry.row_digests import CHANGING, digest_rows
from network_anomalies.registry.tables import pipeline_runs, stage_events
from network_anomalies.runs.inputs import digest_facts
from network_anomalies.upkeep.snapshot import OWN_TABLES, Range, Snapshot
from network_anomalies.upkeep.stores import Stores

STAGES = ("ingestion", "truth", "transformation", "training", "evaluation", "registration", "scoring")


@dataclass(frozen=True)
class Output:
    """A file or object that a stage wrote: its URI, and the sha256 in the latest row that names it (``event``)."""

    uri: str
    sha256: str
    event: Row


@dataclass(frozen=True)
class OutputFault:
    """An output whose sha256 differs from its row; ``sha256`` is that of its bytes, None if it is missing."""

    output: Output
    sha256: str | None


def check_log(snapshot: Snapshot, dates: Range) -> Iterator[str]:
    """Check the columns of each row of ``stage_events``, its run, and that each batch has a row."""
    for event in snapshot.stages:
        if event["logical_date"] not in dates:
            continue
        name, run = name_event(event), snapshot.runs.get(event["run_id"])
        if event["stage"] not in STAGES:
            yield f"{name}: there is no stage {event['stage']}"
        if not is_from_before(event) and digest_facts(event["inputs"]) != event["inputs_sha256"]:
            yield f"{name}: inputs_sha256 is {event['inputs_sha256']}, its inputs give {digest_facts(event['inputs'])}"
        if event["stage"] not in ("ingestion", *OWN_OBJECTS) and not event["outputs"] and not is_from_before(event):
            yield f"{name}: its outputs are empty"
        if run is None or any(run[column] != event[column] for column in ("source", "logical_date")):
            yield f"{name}: run {event['run_id']} is not about that source and date"
    logged = {event["run_id"] for event in snapshot.stages if event["stage"] == "ingestion"}
    for commit in snapshot.commits:
        if commit.batch["run_id"] not in logged:
            yield f"batch {commit.name}: no row of stage_events is about its ingestion"


def check_own_rows(snapshot: Snapshot) -> Iterator[str]:
    """Compare the rows of stages' own tables with their digests in ``stage_events``."""
    for stage, table in OWN_TABLES.items():
        events = _find_events(snapshot, stage)
        rows = {row["run_id"]: row for row in snapshot.own_rows[stage]}
        for run_id in events.keys() - rows.keys():
            yield f"{table.name} of run {run_id}: the row is missing, {name_event(events[run_id])} names it"
        for run_id, row in rows.items():
            event, name = events.get(run_id), f"{table.name} of run {run_id}"
            if event is None:
                yield f"{name}: no row of stage_events names it"
            elif event["record_sha256"] and digest_rows([row], CHANGING) != event["record_sha256"]:
                yield f"{name}: it was altered, or record_sha256 of {name_event(event)} was"
            elif stage in OWN_OBJECTS and set(OWN_OBJECTS[stage](row)) != set(_list_pairs(event["outputs"])):
                yield f"{name}: its objects are not the outputs of {name_event(event)}"


def check_transformations(snapshot: Snapshot) -> Iterator[str]:
    """Compare the rows of silver with their objects, with the RAW objects of their revision, and with each other."""
    objects = {
        (commit.batch["source"], commit.batch["logical_date"], commit.batch["revision"]): commit.objects
        for commit in snapshot.commits
    }
    rows = snapshot.own_rows["transformation"]
    for row in rows:
        name = f"transformation_events of run {row['run_id']}"
        for column in ("record_count", "size_bytes"):
            total = sum(item[column] for item in row["output_objects"])
            if row[column] != total:
                yield f"{name}: {column} is {row[column]}, its objects give {total}"
        raw = [
            {"uri": item["object_uri"], "sha256": item["object_sha256"], "record_count": item["record_count"]}
            for item in objects.get((row["source"], row["logical_date"], row["revision"]), ())
        ]
        if row["input_objects"] != raw:
            yield f"{name}: input_objects are not the objects of revision {row['revision']}"
    yield from _check_current_silver(snapshot, rows)


def check_alerts(snapshot: Snapshot, dates: Range) -> Iterator[str]:
    """Compare each day's alerts and limits with the digests of two scorings: the latest, and the one that raised them.

    They differ if the latest scoring found equal alerts: it then left the alerts as they were.
    """
    scorings: defaultdict[tuple[str, date], list[Row]] = defaultdict(list)
    for event in snapshot.stages:
        if event["stage"] == "scoring" and event["logical_date"] in dates:
            scorings[event["source"], event["logical_date"]].append(event)
    running = {(run["source"], run["logical_date"]) for run in list_running(snapshot)}
    for day in sorted((scorings.keys() | snapshot.alerts.keys()) - running):  # a run first replaces alerts
        rows, events = snapshot.alerts.get(day, []), scorings.get(day, [])
        name = f"alerts of {day[0]} on {day[1]}"
        if not events:
            yield f"{name}: no row of stage_events names them"
        raised_by = {row["run_id"] for row in rows}
        for event in [event for event in events if event is events[-1] or event["run_id"] in raised_by]:
            if not is_from_before(event) and digest_alerts(rows, event["limits"]) != event["record_sha256"]:
                advice = _name_unfinished(snapshot, event)
                yield f"{name}: they were altered, or limits or record_sha256 of {name_event(event)} were{advice}"


def list_outputs(snapshot: Snapshot, dates: Range) -> list[Output]:
    """Return everything that the stages of some dates wrote, by URI, with the latest row that names it."""
    latest: dict[str, Output] = {}
    for event in snapshot.stages:
        for item in event["outputs"]:
            if event["logical_date"] in dates or item["uri"] in latest:
                latest[item["uri"]] = Output(item["uri"], item["sha256"], event)
    return [latest[uri] for uri in sorted(latest)]


def check_output(stores: Stores, output: Output) -> OutputFault | None:
    """Read an output and compare it with its sha256; return the fault, None if they are equal."""
    path = stores.locate(output.uri)
    try:
        sha256 = hashlib.sha256(stores.lake.cat_file(path)).hexdigest() if path else None
    except FileNotFoundError:
        sha256 = None
    return None if sha256 == output.sha256 else OutputFault(output, sha256)


def explain_faults(engine: Engine, snapshot: Snapshot, faults: Sequence[OutputFault]) -> tuple[list[str], list[str]]:
    """Say what is wrong with outputs. Outputs that cannot be judged, because of a run or a restore, are only notes.

    Returns:
        The mismatches and the notes, in words.
    """
    if not faults:
        return [], []
    first = min(fault.output.event["sequence"] for fault in faults)
    with engine.connect() as connection:
        later = connection.execute(select(stage_events).where(stage_events.c.sequence > first)).mappings().all()
        query = select(pipeline_runs.c.source, pipeline_runs.c.logical_date).where(pipeline_runs.c.status == "RUNNING")
        running = {tuple(row) for row in connection.execute(query)}
    rewritten = {item["uri"]: item["sha256"] for event in later for item in event["outputs"]}
    mismatches, notes = [], []
    for fault in faults:
        uri, sha256, event = fault.output.uri, fault.sha256, fault.output.event
        if sha256 is not None and rewritten.get(uri) == sha256:
            continue  # another run wrote it since the snapshot
        if (event["source"], event["logical_date"]) in running:
            notes.append(f"{uri}: a run of {_name_day(event)} is working, verify that day again later")
        elif sha256 is not None and _was_restored_after(snapshot, event):
            notes.append(f"{uri}: it is newer than the restored registry, run the stages of {_name_day(event)} again")
        else:
            fact = f"sha256 is {sha256[:12]}, registered {fault.output.sha256[:12]}" if sha256 else "it is missing"
            mismatches.append(f"{uri}: {fact} by {name_event(event)}{_name_unfinished(snapshot, event)}")
    return mismatches, notes


def list_running(snapshot: Snapshot) -> list[Row]:
    """Return the runs that are working; dead runs were closed before the snapshot."""
    return [run for run in snapshot.runs.values() if run["status"] == "RUNNING"]


def is_from_before(event: Row) -> bool:
    """Tell whether a row of ``stage_events`` comes from a version that did not record the inputs of stages."""
    return event["inputs_sha256"] == "" and list(event["inputs"]) == ["recorded"]


def name_event(event: Row) -> str:
    """Return the name of a row of ``stage_events``, for messages."""
    return f"stage_events {event['sequence']} ({event['stage']} of {event['source']} on {event['logical_date']})"


def _check_current_silver(snapshot: Snapshot, rows: Sequence[Row]) -> Iterator[str]:
    """Check that of each day's rows the one that was committed last is current, and no other."""
    order = {run_id: event["sequence"] for run_id, event in _find_events(snapshot, "transformation").items()}
    days: defaultdict[tuple[str, date], list[Row]] = defaultdict(list)
    for row in rows:
        days[row["source"], row["logical_date"]].append(row)
    for (source, day), versions in days.items():
        latest = max(versions, key=lambda row: order.get(row["run_id"], 0))
        current = [row["run_id"] for row in versions if row["status"] == "SUCCESS"]
        if current != [latest["run_id"]]:
            run_ids = ", ".join(current) or "none"
            yield f"transformation_events of {source} on {day}: current is {run_ids}, latest is {latest['run_id']}"


def _find_events(snapshot: Snapshot, stage: str) -> dict[str, Row]:
    """Return the rows of ``stage_events`` of runs that wrote a row of the stage's own table, by run id."""
    return {
        event["run_id"]: event
        for event in snapshot.stages
        if event["stage"] == stage and (event["record_sha256"] or is_from_before(event))
    }


def _list_pairs(items: Sequence[Row]) -> list[tuple[str, str]]:
    return [(item["uri"], item["sha256"]) for item in items]


def _name_day(event: Row) -> str:
    return f"{event['source']} on {event['logical_date']}"


def _was_restored_after(snapshot: Snapshot, event: Row) -> bool:
    """Tell whether a batch of the day was restored after a row was recorded: the lake is then newer than the row.

    The row of a restored ingestion names no outputs, because its manifest names none.
    """
    return any(
        later["sequence"] > event["sequence"] and not later["outputs"] and not is_from_before(later)
        for later in snapshot.stages
        if later["stage"] == "ingestion" and _name_day(later) == _name_day(event)
    )


def _name_unfinished(snapshot: Snapshot, event: Row) -> str:
    """Name a run that may have changed a part of a day: it began after a row was recorded, and did not finish."""
    for run in snapshot.runs.values():
        same_day = (run["source"], run["logical_date"]) == (event["source"], event["logical_date"])
        if same_day and run["status"] in ("FAILED", "ABANDONED") and run["started_at"] > event["recorded_at"]:
            return f"; run {run['run_id']} ended {run['status']} after that: run the day again"
    return ""


OWN_OBJECTS: dict[str, Callable[[Row], list[tuple[str, str]]]] = {
    "transformation": lambda row: _list_pairs(row["output_objects"]),
    "training": lambda row: [(row["model_uri"], row["model_sha256"])],
}
"""The outputs (URI, sha256) that the row in a stage's own table names."""
