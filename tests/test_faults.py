"""A short fault campaign, and what its checks say of stores that break a promise."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import DAY, NEXT_DAY, Project, copy_project
from faults_campaign import Campaign, run_campaign
from faults_checks import (
    HISTORY,
    PROMISES,
    check_abandoned,
    check_all,
    check_complete_manifests,
    check_unchanged,
)
from faults_commands import find_kinds
from faults_places import Place, lose_registry, save_registry
from faults_snapshot import read_snapshot
from faults_starter import Starter
from faults_tally import format_tally

PARTS = {"generator__n_events": 60, "generator__part_events": 20}


@pytest.fixture(scope="module")
def settled_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two revisions of a day, a day beside it, and an object that no batch names."""
    project = copy_project(tmp_path_factory.mktemp("settled") / "project")
    project.run(**PARTS)
    project.run(**PARTS, generator__seed=8)
    project.run(logical_date=NEXT_DAY)
    first = Path(project.objects()[0])
    orphan = project.root / "data/lake/cybersec-ml-raw/synthetic/2024-04-30" / first.name
    orphan.parent.mkdir()
    orphan.write_bytes(first.read_bytes())
    return project


@pytest.fixture
def settled(settled_once: Project, tmp_path: Path) -> Project:
    """A copy of ``settled_once``, to change at will."""
    shutil.copytree(settled_once.root, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.mark.slow(reason="each kill is a process, and so is each command after it")
def test_six_kills_of_ingestion_break_no_promise(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    kinds = {name: kind for name, kind in find_kinds().items() if name in ("ingestion", "log_ingestion")}
    with closing(Starter("fast_sessions")) as starter:
        campaign = Campaign("embedded", {}, 1, tmp_path, kinds, starter)
        tally = run_campaign(campaign, 6, time.monotonic() + 600)
    assert tally.violations == []
    assert tally.kills.total() >= 6
    assert {*PROMISES, *HISTORY, "dead runs ABANDONED", "second rerun UNCHANGED", "orphans listed"} <= {*tally.asked}
    assert "kills (" in "\n".join(format_tally("embedded", 1, tally))


def test_stores_that_nobody_touched_keep_every_promise(settled):
    place = Place(settled.root, "embedded")
    before = read_snapshot(place)
    assert (len(before.batches), len(before.parts), len(before.readable)) == (3, 7, 4)
    assert len(before.orphans()) == 1
    assert settled.run(**PARTS, generator__seed=8) == "UNCHANGED"
    after = read_snapshot(place)
    assert not any(check_all(before, after).values())
    assert check_unchanged(before, after) == check_abandoned(before, after) == check_complete_manifests(after) == []


@dataclass(frozen=True)
class Damage:
    """What is done to a settled project: SQL, or a function of it; and the promises that it breaks."""

    do: str | Callable[[Project], None]
    broken: tuple[str, ...]


def alter_object(project: Project) -> None:
    project.damage(project.rows("current_objects")["object_uri"][0])


def remove_object(project: Project) -> None:
    project.remove(project.rows("current_objects")["object_uri"][0])


def remove_orphan(project: Project) -> None:
    next((project.root / "data/lake/cybersec-ml-raw/synthetic/2024-04-30").iterdir()).unlink()


def tear_copy(project: Project) -> None:
    path = next((project.root / "data/ingested").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])


def tear_object(project: Project) -> None:
    path = Path(project.objects()[0])
    path.with_name(path.name.replace("_0001_", "_0009_")).write_bytes(path.read_bytes()[:-9])


FIRST = f"logical_date = '{DAY}' AND revision = 1"
LATEST = f"logical_date = '{DAY}' AND revision = 2"
DAMAGES = {
    "an object is altered": Damage(alter_object, ("objects as registered", "no torn object", "RAW immutable")),
    "an object is gone": Damage(remove_object, ("objects as registered", "RAW immutable")),
    "an orphan is gone": Damage(remove_orphan, ("RAW immutable",)),
    "half an object": Damage(tear_object, ("no torn object",)),
    "half a local copy": Damage(tear_copy, ("no torn object",)),
    "two current revisions": Damage(
        "DROP INDEX uq_ingestion_batches_current; UPDATE ingestion_batches SET status = 'SUCCESS'",
        ("one current revision", "readers see it, no orphan", "no half batch", "batches kept"),
    ),
    "no current revision": Damage(
        f"UPDATE ingestion_batches SET status = 'SUPERSEDED' WHERE {LATEST}",
        ("one current revision", "readers see it, no orphan", "no half batch"),
    ),
    "an object's row is gone": Damage(f"DELETE FROM ingestion_events WHERE part = 1 AND {LATEST}", ("no half batch",)),
    "an object's row is superseded": Damage(
        f"UPDATE ingestion_events SET status = 'SUPERSEDED' WHERE part = 1 AND {LATEST}",
        ("readers see it, no orphan", "no half batch"),
    ),
    "a batch's row is gone": Damage(f"DELETE FROM ingestion_batches WHERE {FIRST}", ("no half batch", "batches kept")),
    "a batch's rows are fewer": Damage(
        f"UPDATE ingestion_batches SET accepted = 59, rejected = 1 WHERE {LATEST}", ("no half batch", "batches kept")
    ),
    "a line is lost": Damage(
        f"UPDATE ingestion_batches SET lines_in = 61 WHERE {LATEST}", ("counts add up", "batches kept")
    ),
    "readers see all": Damage(
        "DROP VIEW current_objects; CREATE VIEW current_objects AS SELECT * FROM ingestion_events",
        ("readers see it, no orphan",),
    ),
    "logs in the generator's source": Damage(
        "INSERT INTO source_files SELECT run_id, 'conn.log', 1, '', 1, 0, 0, 0, 0, 0, 0 FROM ingestion_batches"
        f" WHERE {FIRST}",
        ("one kind per source",),
    ),
    "another kind is registered": Damage(
        "INSERT OR REPLACE INTO sources VALUES ('synthetic', 'logs', 'zeek', '2024-04-19')", ("one kind per source",)
    ),
    "a manifest is altered": Damage(
        f"UPDATE ingestion_batches SET manifest_sha256 = 'x', manifest_uri = (SELECT object_uri FROM current_objects)"
        f" WHERE {LATEST}",
        ("manifests as registered",),
    ),
    "a closed run opens": Damage("UPDATE pipeline_runs SET status = 'RUNNING'", ("closed runs stay closed",)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_promise_that_is_broken_is_reported(settled, name):
    place = Place(settled.root, "embedded")
    before = read_snapshot(place)
    damage = DAMAGES[name]
    if callable(damage.do):
        damage.do(settled)
    else:
        with closing(sqlite3.connect(place.database)) as connection:
            connection.executescript("PRAGMA ignore_check_constraints = ON; " + damage.do)
            connection.commit()
    found = check_all(before, read_snapshot(place))
    assert {promise for promise, faults in found.items() if faults} == {*damage.broken}


def test_a_rerun_that_adds_something_or_leaves_a_run_open_is_reported(settled):
    place = Place(settled.root, "embedded")
    before = read_snapshot(place)
    settled.run(**PARTS, generator__seed=9)
    assert len(check_unchanged(before, read_snapshot(place))) == 6  # the run, its batch, three parts and the manifest
    with closing(sqlite3.connect(place.database)) as connection:
        connection.executescript("UPDATE pipeline_runs SET status = 'RUNNING'")
    running = read_snapshot(place)
    assert len(check_abandoned(running, running)) == 4


def test_a_registry_that_is_lost_or_older_misses_batches(settled):
    place = Place(settled.root, "embedded")
    save_registry(place)
    settled.run(**PARTS, generator__seed=9)
    before = read_snapshot(place)
    lose_registry(place, bring_back=True)
    older = check_all(before, read_snapshot(place))
    assert (len(older["batches kept"]), len(older["closed runs stay closed"])) == (2, 1)
    lose_registry(place, bring_back=False)
    assert len(check_all(before, read_snapshot(place))["batches kept"]) == 4
    assert not place.database.exists()
