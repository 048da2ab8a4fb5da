"""Verdicts as objects of the lake: decisions of people, which a lost registry must not lose."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from network_anomalies.datasets.write_once import create_object
from network_anomalies.errors import ProjectError
from network_anomalies.records.verdicts import Verdict
from network_anomalies.registry.incident_rows import regroup
from network_anomalies.registry.row_digests import to_json
from network_anomalies.registry.tables import verdicts
from network_anomalies.registry.transactions import transaction
from network_anomalies.registry.verdict_rows import insert_verdicts
from network_anomalies.upkeep.stores import StoredFile, Stores, list_files

FOLDER = "_verdicts"
"""Beside the folder of manifests in the RAW bucket; no source's name begins with an underscore."""
VERSION = 1
AT_ONCE = 100
_PATH = re.compile(
    rf"{FOLDER}/[a-z0-9][a-z0-9_-]*/\d{{4}}-\d\d-\d\d/verdict_(\d{{8}}T\d{{12}}Z)_([0-9a-f]{{12}})\.json"
)
_STAMP = "%Y%m%dT%H%M%S%fZ"


def name_verdict(verdict: Verdict, data: bytes) -> str:
    """Return the path of a verdict below the RAW bucket: source, day of the alert, time of the decision, digest."""
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{FOLDER}/{verdict.source}/{verdict.logical_date}/verdict_{verdict.decided_at:{_STAMP}}_{digest}.json"


def is_verdict(path: str) -> bool:
    """Tell whether a path below the RAW bucket is that of a verdict."""
    return _PATH.fullmatch(path) is not None


def write_verdicts(stores: Stores, decided: Iterable[Verdict]) -> None:
    """Write verdicts that the registry has into the lake, each as an object that is never changed."""
    for verdict in decided:
        data = to_json({"version": VERSION, **asdict(verdict)}).encode()
        with suppress(FileExistsError):
            create_object(stores.lake, f"{stores.buckets['raw']}/{name_verdict(verdict, data)}", data)


def read_stored_verdicts(stores: Stores, files: Iterable[StoredFile]) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts among some files of the RAW bucket, in their order, and what is wrong with others."""
    root = f"{stores.buckets['raw']}/"
    paths = [file.path for file in files if is_verdict(file.path.removeprefix(root))]
    found: list[Verdict] = []
    faults: list[str] = []
    for start in range(0, len(paths), AT_ONCE):
        some = paths[start : start + AT_ONCE]
        contents = stores.lake.cat(some)
        for path in some:
            try:
                found.append(_decode(path.removeprefix(root), contents[path]))
            except ProjectError as error:
                faults.append(error.message)
    return sorted(found, key=lambda verdict: (verdict.sequence, verdict.decided_at)), faults


def check_verdicts(
    stores: Stores, files: Iterable[StoredFile], registered: Sequence[Verdict]
) -> tuple[list[str], list[str]]:
    """Hold the verdicts of the registry to those of the lake, and write those that a crash kept from being written.

    Returns:
        The faults, and what was written, both in words.
    """
    stored, faults = read_stored_verdicts(stores, files)
    known, there = {_find_key(each): each for each in registered}, {_find_key(each) for each in stored}
    lost = [verdict for verdict in stored if _find_key(verdict) not in known]
    altered = [each for each in stored if (row := known.get(_find_key(each))) and _identify(row) != _identify(each)]
    faults += [f"verdict {_say(each)}: the registry's row is not what the lake has, it was altered" for each in altered]
    faults += [f"verdict {_say(each)} is in the lake and not in the registry: run `kedro restore`" for each in lost]
    missing = [verdict for verdict in registered if _find_key(verdict) not in there]
    write_verdicts(stores, missing)
    return faults, [f"verdict {_say(each)} was not in the lake, and is written now" for each in missing]


def restore_verdicts(stores: Stores, only_list: bool = False) -> tuple[int, list[str]]:
    """Add the verdicts to the registry that only the lake has, in their order, and group the incidents again.

    Returns:
        How many were added (with ``only_list``: would be), and what is wrong with others, in words.
    """
    stored, faults = read_stored_verdicts(stores, list_files(stores.lake, f"{stores.buckets['raw']}/{FOLDER}"))
    with transaction(stores.engine, lambda connection: not _find_lost(connection, stored)) as connection:
        lost = _find_lost(connection, stored)
        if not only_list:
            insert_verdicts(connection, lost)
            for source in sorted({verdict.source for verdict in lost}):
                regroup(connection, source, stores.alerts.incident_days)
    return len(lost), faults


def require_known_verdicts(stores: Stores, source: str) -> None:
    """Refuse to decide while the lake has verdicts that the registry does not: it was lost, or is an older copy.

    Their numbers say which verdict is the latest, so a new one must come after them.

    Raises:
        ProjectError: there are such verdicts.
    """
    files = list_files(stores.lake, f"{stores.buckets['raw']}/{FOLDER}/{source}")
    root = f"{stores.buckets['raw']}/"
    stamps = {match[1] for file in files if (match := _PATH.fullmatch(file.path.removeprefix(root)))}
    known = {f"{verdict.decided_at:{_STAMP}}" for verdict in list_registered(stores.engine)}
    if stamps - known:
        raise ProjectError(
            f"the lake has {len(stamps - known)} verdicts about alerts of {source} that the registry does not know: "
            "run `kedro restore` first"
        )


def list_registered(engine: Engine) -> list[Verdict]:
    """Return every verdict of the registry, in their order."""
    with engine.connect() as connection:
        return _find_registered(connection)


def _find_registered(connection: Connection) -> list[Verdict]:
    return [Verdict(**row) for row in connection.execute(select(verdicts).order_by(verdicts.c.sequence)).mappings()]


def _find_lost(connection: Connection, stored: Sequence[Verdict]) -> list[Verdict]:
    known = {_find_key(verdict) for verdict in _find_registered(connection)}
    return [verdict for verdict in stored if _find_key(verdict) not in known]


def _identify(verdict: Verdict) -> Verdict:
    """Return a verdict without its number: a restored registry may number it anew."""
    return replace(verdict, sequence=0)


def _find_key(verdict: Verdict) -> tuple[str, datetime]:
    """Return what no two verdicts share: the alert, and the microsecond of the decision."""
    return verdict.alert_id, verdict.decided_at


def _say(verdict: Verdict) -> str:
    return f"of {verdict.decided_at:%F %T} by {verdict.decided_by} about alert {verdict.alert_id}"


def _decode(path: str, data: bytes) -> Verdict:
    match = _PATH.fullmatch(path)
    if match is None or not hashlib.sha256(data).hexdigest().startswith(match[2]):
        raise ProjectError(f"verdict {path} was altered: bring the former bytes back")
    try:
        values: dict[Any, Any] = json.loads(data)
        if values.pop("version") > VERSION:
            raise ProjectError(f"verdict {path} was written by a newer version: update this code")
        for name, read in (("logical_date", date), ("until", date), ("decided_at", datetime), ("last_scored", date)):
            values[name] = read.fromisoformat(values[name]) if values[name] is not None else None
        return Verdict(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProjectError(f"{path} is no verdict of this project ({error}): move it away") from error
