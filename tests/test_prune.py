"""Deleting is careful: a lost registry, a clock that is ahead or a stray file cost nothing that a commit names."""

import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from conftest import DAY, NEXT_DAY, Project, bring_back, copy_registry
from sqlalchemy import insert, text, update
from test_ingestion import HEADER, write_log, zeek_line
from test_restore import empty, lose
from test_verify_layers import ingest_logs

from network_anomalies.errors import ProjectError
from network_anomalies.registry.locks import hold_lock
from network_anomalies.registry.tables import pipeline_runs, sources
from network_anomalies.upkeep import Range, prune_stores, read_clock, restore_registry, verify_stores
from network_anomalies.upkeep.stores import Clock

ORPHAN = "network_events_20240419T000001Z_0001_{}.parquet"
REJECT = "quarantined_events_0001_{}.parquet"


def put(project: Project, layer: str, name: str, data: bytes = b"stray") -> str:
    path = f"{project.stores.buckets[layer]}/{name}"
    if project.env == "embedded":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    project.stores.lake.pipe_file(path, data)
    return path


def orphan(project: Project, number: int = 0, layer: str = "raw", place: str = f"synthetic/{DAY}") -> str:
    """Put an object as a run that did not commit leaves it."""
    name = (ORPHAN if layer == "raw" else REJECT).format(f"{number:012x}")
    return put(project, layer, f"{place}/{name}")


def end_run(project: Project, status: str = "FAILED", place: tuple[str, str] = ("synthetic", DAY)) -> None:
    """Add a run that worked until now and committed nothing."""
    now = datetime.now(UTC)
    row = {"run_id": os.urandom(4).hex(), "source": place[0], "logical_date": date.fromisoformat(place[1])}
    row |= {"started_at": now - timedelta(minutes=5), "finished_at": now + timedelta(minutes=5), "status": status}
    row |= {"pipeline": "ingestion", "env": "e", "host": "h", "code_version": "1", "params_sha256": "0"}
    with project.stores.engine.begin() as connection:
        connection.execute(insert(pipeline_runs), row)


def prune(project: Project, days: float = 0, delete: bool = True, force: bool = True, dates: Range | None = None):
    """Prune as if so many days later by the store's clock; return the lines."""
    clock = Clock(datetime.now(UTC) + timedelta(days=days), is_the_stores=True)
    return list(prune_stores(project.stores, clock, dates or Range(), delete, force))


def look(project: Project) -> list[list[str]]:
    return [project.objects("raw"), project.manifests(), project.objects("quarantine")]


def test_what_retention_lets_go_is_named_with_a_total_and_then_deleted(anywhere):
    anywhere.run()
    ingest_logs(anywhere)
    committed = look(anywhere)
    copies = sorted(map(str, anywhere.stores.local_copies.rglob("*.parquet")))
    (anywhere.stores.local_copies / ".gitkeep").touch()
    end_run(anywhere)
    strays = {orphan(anywhere): 1, orphan(anywhere, layer="quarantine"): 90}
    ages = {f"local copy {copy}": 7 for copy in copies}
    ages |= {f"orphan {next(iter(strays))}": 1, f"quarantine object {list(strays)[1]}": 90}
    for days in (0, 2, 8, 91, 10_000):
        due = sorted(name for name, age in ages.items() if age < days)
        before = look(anywhere)
        listed = prune(anywhere, days, delete=False)
        assert sorted(line.removeprefix("would delete: ") for line in listed if line.startswith("would")) == due
        assert look(anywhere) == before
        done = prune(anywhere, days)
        assert sorted(line.removeprefix("to delete: ") for line in done if line.startswith("to delete")) == due
        assert done[-1:] == ([f"deleted {len(due)} files"] if due else [])
        for name in due:
            del ages[name]
    assert not ages and look(anywhere) == committed
    assert [path.name for path in anywhere.stores.local_copies.rglob("*") if path.is_file()] == [".gitkeep"]
    assert verify_stores(anywhere.stores, None, None).mismatches == []


def test_the_total_says_files_and_bytes_of_each_bucket(embedded):
    embedded.run()
    end_run(embedded)
    for number in range(3):
        orphan(embedded, number)
    assert "raw: 3 of 5 files, 15 bytes to delete" in prune(embedded, 2, delete=False)


def test_nothing_is_deleted_while_the_registry_knows_less_than_the_lake(anywhere):
    anywhere.run()
    copy = copy_registry(anywhere)
    anywhere.run(generator__n_events=12)
    anywhere.run(logical_date=NEXT_DAY)
    ingest_logs(anywhere)
    before = look(anywhere)
    # A restore after each loss leaves the project as it was before.
    for loss in (lose, empty, lambda project: bring_back(project, copy)):
        loss(anywhere)
        # As old as it gets: the files are of today.
        with pytest.raises(ProjectError, match=r"the registry does not know .*run `kedro restore` first"):
            prune(anywhere, 1000)
        done = anywhere.invoke("verify", "--env", anywhere.env, "--prune", "--delete", "--force")
        assert done.returncode == 1 and "run `kedro restore`" in done.stderr
        assert "MISMATCH manifest _manifests/" in done.stdout
        assert look(anywhere) == before
        list(restore_registry(anywhere.stores))
        prune(anywhere, 1000)
        assert look(anywhere) == before
        assert verify_stores(anywhere.stores, None, None).mismatches == []


def test_nothing_is_deleted_from_a_lake_of_before_there_were_manifests_without_a_registry(embedded):
    embedded.run()
    for manifest in embedded.manifests():
        Path(manifest).unlink()
    lose(embedded)
    verify_stores(embedded.stores, None, None)
    with pytest.raises(ProjectError, match=r"does not know any batch; run `kedro restore` first"):
        prune(embedded, 1000)


def test_nothing_is_deleted_while_a_manifest_cannot_be_read(embedded):
    embedded.run()
    end_run(embedded)
    path = orphan(embedded)
    embedded.damage(embedded.manifests()[0])
    with pytest.raises(ProjectError, match=r"nothing is deleted: manifest .* was altered"):
        prune(embedded, 1000)
    assert path in embedded.objects()


def test_an_object_that_only_the_manifest_names_is_kept(embedded):
    ingest_logs(embedded)
    end_run(embedded, place=("zeek", DAY))
    before = look(embedded)
    with embedded.stores.engine.begin() as connection:
        for table in ("ingestion_events", "quarantine_objects"):
            connection.execute(text(f"DELETE FROM {table}"))
    prune(embedded, 1000)
    assert look(embedded) == before


KEPT = {
    "unknown source": (f"other/{DAY}/{ORPHAN.format('a' * 12)}", "the registry knows no source other"),
    "name of another": (f"synthetic/{DAY}/export.parquet", "does not have a name that this project gives"),
    "no day": ("note.txt", "does not have a name that this project gives"),
    "beside manifests": ("_manifests/note.txt", "does not have a name that this project gives"),
    "day without a run": (f"synthetic/{NEXT_DAY}/{ORPHAN.format('a' * 12)}", "no run of synthetic on 2024-04-20"),
    "backup": (f"backup/synthetic/{DAY}/{ORPHAN.format('a' * 12)}", "does not have a name that this project gives"),
}


@pytest.mark.parametrize(("name", "why"), KEPT.values(), ids=KEPT)
def test_what_cannot_be_proved_to_belong_to_no_commit_is_kept_with_the_reason(embedded, name, why):
    embedded.run()
    end_run(embedded)
    path = put(embedded, "raw", name)
    (line,) = [line for line in prune(embedded, 1000) if line.startswith("kept")]
    assert line.startswith(f"kept {path}: ") and why in line
    assert Path(path).exists()


@pytest.mark.parametrize(
    ("layer", "status", "deleted"),
    [
        ("raw", "FAILED", True),
        ("raw", "ABANDONED", True),
        ("raw", "UNCHANGED", False),
        ("quarantine", "UNCHANGED", True),
        ("quarantine", "SUCCESS", False),
    ],
)
def test_the_end_of_a_run_is_the_proof(embedded, layer, status, deleted):
    embedded.run()
    end_run(embedded, status)
    path = orphan(embedded, layer=layer)
    prune(embedded, 1000)
    assert Path(path).exists() != deleted


def test_an_object_of_another_time_than_the_run_is_kept(embedded):
    embedded.run()
    end_run(embedded)
    path = orphan(embedded)
    long_ago = (datetime.now(UTC) - timedelta(days=40)).timestamp()
    os.utime(path, (long_ago, long_ago))
    assert any("no run of synthetic" in line for line in prune(embedded, 2))
    assert Path(path).exists()


def test_what_a_failed_run_really_leaves_is_deleted_in_the_end(anywhere):
    anywhere.run()
    committed = look(anywhere)
    write_log(anywhere, "conn.log", HEADER + zeek_line(1) + zeek_line(2, duration="-1") * 9)
    with pytest.raises(Exception, match="break the contract"):
        anywhere.run("log_ingestion", source="zeek")
    assert look(anywhere) != committed
    with anywhere.stores.engine.begin() as connection:  # a source is known from its first commit on
        row = {"name": "zeek", "kind": "logs", "format": "zeek", "first_seen": datetime.now(UTC)}
        connection.execute(insert(sources), row)
    prune(anywhere, 1000)
    assert look(anywhere) == committed


def test_rejects_of_batches_that_do_not_name_them_are_kept(embedded):
    ingest_logs(embedded)
    end_run(embedded, place=("zeek", DAY))
    path = orphan(embedded, layer="quarantine", place=f"zeek/{DAY}")
    with embedded.stores.engine.begin() as connection:
        connection.execute(text("DELETE FROM quarantine_objects"))
    assert any("does not name all rejects of zeek" in line for line in prune(embedded, 1000))
    assert Path(path).exists()


def test_more_than_a_share_of_a_bucket_needs_force(embedded):
    embedded.run()
    end_run(embedded)
    keep = embedded.stores.retention
    few = [orphan(embedded, number) for number in range(keep.always_files)]
    prune(embedded, 2, force=False)
    assert not any(Path(path).exists() for path in few)
    many = [orphan(embedded, number) for number in range(keep.always_files + 1)]
    with pytest.raises(ProjectError, match=r"nothing is deleted: 11 of the 13 files in raw .*give --force"):
        prune(embedded, 2, force=False)
    assert all(Path(path).exists() for path in many)
    prune(embedded, 2, force=True)
    assert not any(Path(path).exists() for path in many)


def test_a_local_clock_a_month_ahead_needs_force(embedded):
    embedded.run()
    end_run(embedded)
    path = orphan(embedded)
    ahead = Clock(datetime.now(UTC) + timedelta(days=30), is_the_stores=False)
    with pytest.raises(ProjectError, match=r"nothing is deleted: the clock says .*check the clock"):
        list(prune_stores(embedded.stores, ahead, Range(), delete=True))
    assert Path(path).exists() and list(embedded.stores.local_copies.rglob("*.parquet"))
    list(prune_stores(embedded.stores, ahead, Range(), delete=True, force=True))
    assert not Path(path).exists()


def test_on_s3_the_store_says_what_time_it_is(ready, monkeypatch):
    ready.run()

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + timedelta(days=400)

    monkeypatch.setattr("network_anomalies.upkeep.stores.datetime", Ahead)
    clock = read_clock(ready.stores)
    assert clock.is_the_stores and abs(clock.now - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_local_clock_is_asked_for_a_local_lake(embedded):
    clock = read_clock(embedded.stores)
    assert not clock.is_the_stores and abs(clock.now - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_range_limits_what_is_deleted(embedded):
    embedded.run()
    paths = {}
    for day in (DAY, NEXT_DAY):
        end_run(embedded, place=("synthetic", day))
        paths[day] = orphan(embedded, place=f"synthetic/{day}")
    day = date.fromisoformat(DAY)
    prune(embedded, 2, dates=Range(day, day))
    assert [Path(path).exists() for path in paths.values()] == [False, True]


def test_an_orphan_whose_date_is_at_work_is_kept(anywhere):
    anywhere.run()
    end_run(anywhere)
    path = orphan(anywhere)
    with hold_lock(anywhere.stores.engine, "synthetic", date.fromisoformat(DAY)) as held:
        said = prune(anywhere, 2)
    assert held
    assert said[-2:] == [f"kept orphan {path}: a run of its date is working, or has committed it", "deleted 0 files"]
    assert path in anywhere.objects()


def test_an_orphan_that_a_run_commits_after_it_was_listed_is_kept(embedded):
    embedded.run()
    end_run(embedded)
    objects = embedded.objects()
    clock = Clock(datetime.now(UTC) + timedelta(days=2), is_the_stores=True)
    path = orphan(embedded)
    lines = prune_stores(embedded.stores, clock, Range(), delete=True, force=True)
    assert next(lines) == f"to delete: orphan {path}"
    with embedded.stores.engine.begin() as connection:
        connection.execute(text("UPDATE ingestion_events SET file_name = :name"), {"name": Path(path).name})
    assert list(lines)[-2:] == [
        f"kept orphan {path}: a run of its date is working, or has committed it",
        "deleted 0 files",
    ]
    assert embedded.objects() == sorted([*objects, path])


def test_the_command_says_what_it_would_delete_and_deletes_on_demand(embedded):
    embedded.run()
    end_run(embedded)
    path = orphan(embedded)
    long_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(path, (long_ago, long_ago))
    with embedded.stores.engine.begin() as connection:
        failed = update(pipeline_runs).where(pipeline_runs.c.status == "FAILED")
        connection.execute(failed.values(started_at=datetime(2020, 1, 1, tzinfo=UTC)))
    done = embedded.invoke("verify", "--prune")
    assert (done.returncode, f"would delete: orphan {path}" in done.stdout, Path(path).exists()) == (0, True, True)
    done = embedded.invoke("verify", "--prune", "--delete")
    assert (done.returncode, done.stdout.splitlines()[-1], Path(path).exists()) == (0, "deleted 1 files", False)


@pytest.mark.parametrize("options", [["--delete"], ["--force"], ["--prune", "--force"]], ids=" ".join)
def test_the_command_refuses_half_of_a_wish(embedded, options):
    done = embedded.invoke("verify", *options)
    assert done.returncode == 2
    assert re.search("--delete needs --prune, and --force needs --delete", done.stderr)
