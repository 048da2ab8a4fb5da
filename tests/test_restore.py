"""A lost registry, an empty one, or an older copy: the manifests bring the RAW part back, and contradict nothing."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from conftest import DAY, NEXT_DAY, Project, bring_back, copy_project, copy_registry
from sqlalchemy import select, text
from test_verify_layers import ingest_logs

from network_anomalies.registry.locks import hold_lock
from network_anomalies.registry.tables import metadata
from network_anomalies.upkeep import restore_registry, setup_stores, verify_stores

RAW_TABLES = ("ingestion_batches", "ingestion_events", "quarantine_objects", "source_files", "pipeline_runs", "sources")


def fill(project: Project) -> None:
    """Commit two days of synthetic events, one in two revisions, and a day of logs in two revisions."""
    project.run()
    project.run(generator__n_events=12)
    project.run(logical_date=NEXT_DAY)
    ingest_logs(project)


def read_rows(project: Project) -> dict[str, list[dict]]:
    """Return the rows of the RAW tables; of runs and sources what a manifest tells."""
    later = {"status", "finished_at", "first_seen"}
    found = {}
    with project.stores.engine.connect() as connection:
        for name in RAW_TABLES:
            table = metadata.tables[name]
            rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            left_out = later if name in ("pipeline_runs", "sources") else set()
            found[name] = [{key: row[key] for key in row if key not in left_out} for row in rows]
    return found


@pytest.fixture(scope="module")
def two_days_once(tmp_path_factory):
    """A project with a commit on each of two days; to look at, not to change."""
    project = copy_project(tmp_path_factory.mktemp("two") / "project")
    for day in (DAY, NEXT_DAY):
        project.run(logical_date=day)
    return project


@pytest.fixture
def two_days(two_days_once, tmp_path):
    """A copy of ``two_days_once``, to change at will."""
    shutil.copytree(two_days_once.root, tmp_path / "project")
    return Project(tmp_path / "project")


def lose(project: Project) -> None:
    """Lose the registry altogether; a served one has its schema made anew."""
    if project.env == "embedded":
        (project.root / "data/registry.db").unlink()
        return
    with project.stores.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    list(setup_stores(project.stores))


def empty(project: Project) -> None:
    """Leave a registry without a row, or a file without a byte."""
    if project.env == "embedded":
        (project.root / "data/registry.db").write_bytes(b"")
        return
    with project.stores.engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


def test_a_lost_registry_comes_back_as_it_was(anywhere):
    fill(anywhere)
    before = read_rows(anywhere)
    for loss, command in ((lose, anywhere.invoke), (empty, anywhere.cli)):
        loss(anywhere)
        check_restored(anywhere, before, command("restore", "--env", anywhere.env))
    stored = anywhere.objects(), anywhere.manifests()
    assert anywhere.run(generator__n_events=12) == "UNCHANGED"
    assert (anywhere.objects(), anywhere.manifests()) == stored
    assert len(anywhere.load("quarantined_events", source="zeek")) == 1


def check_restored(anywhere: Project, before: dict[str, list[dict]], done: subprocess.CompletedProcess[str]) -> None:
    """Hold the registry to the rows of before the loss, and the command to what it should say."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"restored synthetic on {DAY}: revision 1, 2" in done.stdout
    backfill = f"kedro backfill --start {DAY} --end {NEXT_DAY} --pipelines modelling --params source=synthetic"
    assert f"{backfill} --env {anywhere.env}" in done.stdout
    assert done.stdout.splitlines()[-1] == "restored 5 revisions; 0 known already, 0 days refused"
    assert read_rows(anywhere) == before
    assert set(anywhere.rows("pipeline_runs")["status"]) == {"SUCCESS"}
    found = verify_stores(anywhere.stores, None, None)
    assert (found.mismatches, found.orphans, found.notes) == ([], [], [])


def test_an_older_copy_is_completed(anywhere):
    anywhere.run()
    copy = copy_registry(anywhere)
    anywhere.run(generator__n_events=12)
    anywhere.run(logical_date=NEXT_DAY)
    before = read_rows(anywhere)
    bring_back(anywhere, copy)
    with pytest.raises(Exception, match=r"the lake holds revision 2 .* run `kedro restore`"):
        anywhere.run(generator__n_events=12)
    assert [outcome.restored for outcome in restore_registry(anywhere.stores)] == [[2], [1]]
    rows = read_rows(anywhere)
    assert {name: rows[name] for name in RAW_TABLES[:4]} == {name: before[name] for name in RAW_TABLES[:4]}
    found = verify_stores(anywhere.stores, None, None)
    assert found.mismatches == []
    (note,) = found.notes
    assert f"{DAY}/quality_report.json: it is newer than the restored registry" in note
    assert anywhere.run(generator__n_events=12) == "UNCHANGED"
    assert anywhere.run(logical_date=NEXT_DAY) == "UNCHANGED"
    assert verify_stores(anywhere.stores, None, None).notes == []


def test_restoring_twice_changes_nothing(anywhere):
    fill(anywhere)
    before = read_rows(anywhere), anywhere.rows("stage_events")["sequence"].tolist()
    done = anywhere.invoke("restore", "--env", anywhere.env)
    assert (done.returncode, done.stdout) == (0, "restored 0 revisions; 5 known already, 0 days refused\n")
    assert (read_rows(anywhere), anywhere.rows("stage_events")["sequence"].tolist()) == before


def test_a_listing_changes_nothing(two_days):
    lose(two_days)
    done = two_days.invoke("restore", "--list")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "would restore 2 revisions; 0 known already, 0 days refused",
    )
    assert two_days.rows("ingestion_batches").empty


def test_a_served_registry_without_schema_names_setup(ready):
    ready.run()
    with ready.stores.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    done = ready.invoke("restore", "--env", ready.env)
    assert (done.returncode, "run `kedro setup` for this environment" in done.stderr) == (1, True)


def test_a_file_that_is_no_database_is_one_line(two_days):
    (two_days.root / "data/registry.db").write_bytes(b"no database" * 100)
    done = two_days.invoke("restore")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search(r"registry\.db is damaged: move it away, then run `kedro restore`", done.stderr)


def restamp(path: Path, change: Callable[[dict], None], revision: int | None = None) -> Path:
    """Write a changed copy of a manifest under the name of its own digest, as a knowing forger would."""
    content = json.loads(path.read_bytes())
    change(content)
    data = json.dumps(content, sort_keys=True, indent=1).encode()
    number = content["batch"]["revision"] if revision is None else revision
    copy = path.with_name(f"batch_{number:04d}_{hashlib.sha256(data).hexdigest()[:12]}.json")
    copy.write_bytes(data)
    return copy


def other_run(content: dict) -> None:
    for row in (content["batch"], content["run"], *content["objects"]):
        row["run_id"] = "other"


def of_logs(content: dict) -> None:
    content["source"] |= {"kind": "logs"}


def unbalanced(content: dict) -> None:
    content["batch"]["late"] += 1


def newer(content: dict) -> None:
    content["version"] = 2


def without_batch(content: dict) -> None:
    del content["batch"]


def text_for_number(content: dict) -> None:
    content["batch"]["accepted"] = "10"


def foreign_object(content: dict) -> None:
    content["objects"][0]["source"] = "zeek"


REFUSED = {
    "altered": (lambda path: path.write_bytes(path.read_bytes().replace(b"10", b"11")), "was altered"),
    "no JSON": (lambda path: path.write_bytes(b"{"), "was altered"),
    "newer": (lambda path: (restamp(path, newer), path.unlink()), "has version 2, newer than this code's: update this"),
    "other columns": (
        lambda path: (restamp(path, without_batch, revision=1), path.unlink()),
        "is no manifest of this project",
    ),
    "other types": (lambda path: (restamp(path, text_for_number), path.unlink()), "is no manifest of this project"),
    "other object": (lambda path: (restamp(path, foreign_object), path.unlink()), "it was moved or renamed"),
    "renamed": (lambda path: restamp(path, lambda _: None, revision=7), "it was moved or renamed"),
    "two of one revision": (lambda path: restamp(path, other_run), "batch_0001_.* are of one revision"),
    "unbalanced": (lambda path: (restamp(path, unbalanced), path.unlink()), "the registry refuses the rows"),
}


@pytest.mark.parametrize(("damage", "said"), REFUSED.values(), ids=REFUSED)
def test_a_manifest_that_cannot_be_trusted_refuses_its_day_and_no_other(two_days, damage, said):
    lose(two_days)
    damage(Path(two_days.manifests()[0]))
    refused, restored = restore_registry(two_days.stores)
    assert (restored.restored, restored.refusal) == ([1], "")
    (line,) = refused.lines("restored")
    assert re.search(f"REFUSED synthetic on {DAY}: .*{said}", line) and "\n" not in line
    assert two_days.rows("ingestion_batches")["logical_date"].tolist() == [NEXT_DAY]
    assert verify_stores(two_days.stores, None, None).mismatches


def test_the_command_ends_with_1_if_a_day_is_refused(two_days):
    lose(two_days)
    two_days.damage(two_days.manifests()[0])
    done = two_days.invoke("restore")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"REFUSED synthetic on {DAY}: manifest _manifests/synthetic/{DAY}/batch_0001_")
    assert done.stdout.splitlines()[-1] == "restored 1 revisions; 0 known already, 1 days refused"


CONTRADICTIONS = {
    "batch": ("UPDATE ingestion_batches SET params_sha256 = '0'", "params_sha256 is 0"),
    "object": ("UPDATE ingestion_events SET record_count = 9", "part 1: record_count is 9, 10 in the manifest"),
    "run": ("UPDATE pipeline_runs SET code_version = 'x'", "code_version is x"),
}


@pytest.mark.parametrize(("statement", "said"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_row_that_contradicts_its_manifest_refuses_the_day(two_days, statement, said):
    with two_days.stores.engine.begin() as connection:
        connection.execute(text(f"{statement} WHERE logical_date = '{DAY}'"))
    before = read_rows(two_days)
    outcome, other = restore_registry(two_days.stores)
    assert said in outcome.refusal and two_days.manifests()[0].rpartition("raw/")[2] in outcome.refusal
    assert (other.refusal, other.known) == ("", 1)
    assert read_rows(two_days) == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE sources SET kind = 'logs', format = 'zeek'", "kind of source synthetic is logs, synthetic in the"),
        ("UPDATE pipeline_runs SET host = 'x'", "host of run .* is x"),
    ],
    ids=["source", "run"],
)
def test_a_source_or_run_that_contradicts_the_manifest_refuses_the_day(two_days, statement, said):
    with two_days.stores.engine.begin() as connection:
        for table in ("ingestion_events", "stage_events", "ingestion_batches"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text(statement))
    assert all(re.search(said, outcome.refusal) for outcome in restore_registry(two_days.stores))
    assert two_days.rows("ingestion_batches").empty


def test_a_registry_that_is_ahead_is_kept_and_the_line_says_so(anywhere):
    anywhere.run()
    anywhere.run(generator__n_events=12)
    first, second = anywhere.manifests()
    anywhere.stores.lake.rm_file(second)
    before = read_rows(anywhere)
    (outcome,) = restore_registry(anywhere.stores)
    assert outcome.notes == ["revision 2 is in the registry and has no manifest: it is kept, `kedro verify` writes it"]
    assert read_rows(anywhere) == before
    assert verify_stores(anywhere.stores, None, None).mismatches == []
    assert anywhere.manifests() == [first, second]


def test_a_revision_between_is_brought_back_below_the_current_one(embedded):
    for n_events in (10, 12, 14):
        embedded.run(generator__n_events=n_events)
    with embedded.stores.engine.begin() as connection:
        run = connection.execute(text("SELECT run_id FROM ingestion_batches WHERE revision = 2")).scalar()
        for table in ("ingestion_events", "stage_events", "ingestion_batches", "pipeline_runs"):
            connection.execute(text(f"DELETE FROM {table} WHERE run_id = '{run}'"))
    (outcome,) = restore_registry(embedded.stores)
    assert (outcome.restored, outcome.known) == ([2], 2)
    batches = embedded.rows("ingestion_batches").sort_values("revision")
    assert batches["status"].tolist() == ["SUPERSEDED", "SUPERSEDED", "SUCCESS"]
    assert embedded.rows("stage_events")["run_id"].iloc[-1] == batches["run_id"].iloc[-1]
    assert verify_stores(embedded.stores, None, None).mismatches == []


def test_a_day_at_work_waits_for_another_restore(anywhere):
    anywhere.run()
    anywhere.run(logical_date=NEXT_DAY)
    empty(anywhere)
    list(setup_stores(anywhere.stores))
    with hold_lock(anywhere.stores.engine, "synthetic", date.fromisoformat(DAY)) as held:
        refused, restored = restore_registry(anywhere.stores)
    assert held and "a run of this day is working" in refused.refusal
    assert restored.restored == [1]
    assert [outcome.restored for outcome in restore_registry(anywhere.stores)] == [[1], []]


def test_a_registry_that_went_on_before_the_restore_gets_the_lost_days_back(anywhere):
    anywhere.run()
    empty(anywhere)
    list(setup_stores(anywhere.stores))
    assert anywhere.run(logical_date=NEXT_DAY) == "SUCCESS"
    assert verify_stores(anywhere.stores, None, None).mismatches
    list(restore_registry(anywhere.stores))
    assert verify_stores(anywhere.stores, None, None).mismatches == []
    assert [anywhere.run(), anywhere.run(logical_date=NEXT_DAY)] == ["UNCHANGED", "UNCHANGED"]


def test_a_lake_of_before_there_were_manifests_cannot_be_restored_and_verify_says_so(two_days):
    shutil.rmtree(Path(two_days.manifests()[0]).parents[2])
    lose(two_days)
    assert "the registry knows no batch" in two_days.invoke("verify").stdout
    done = two_days.invoke("restore")
    assert done.returncode == 1 and "only a copy of the registry can tell what they are" in done.stderr


def test_modelling_goes_on_after_a_restore(modelled):
    lose(modelled)
    list(restore_registry(modelled.stores))
    assert modelled.run("transformation", transformation__slice_hours=6) == "SUCCESS"
    assert verify_stores(modelled.stores, None, None).mismatches == []
