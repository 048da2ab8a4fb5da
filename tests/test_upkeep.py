"""Setup and verify: damage to RAW is found and named. `test_verify_layers` has every layer, `test_prune` deletes."""

import hashlib
import re
import shutil
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from conftest import bring_back, copy_registry
from sqlalchemy import insert, update
from test_ingestion import HEADER, write_log, zeek_line

from network_anomalies.events.parts import encode_part, to_canonical_table
from network_anomalies.pipelines.ingestion.encoding import describe_part
from network_anomalies.registry.engine import HEAD
from network_anomalies.registry.tables import ingestion_batches, ingestion_events, pipeline_runs, quarantine_objects
from network_anomalies.upkeep import load_stores, setup_stores, verify_stores
from network_anomalies.upkeep.stores import list_files

DAY, NEXT_DAY = "2024-04-19", "2024-04-20"


@pytest.fixture
def stores(anywhere):
    return anywhere.stores


def verify(stores, start=None, end=None):
    return verify_stores(stores, *(date.fromisoformat(day) if day else None for day in (start, end)))


def keys(stores, layer="raw"):
    """Return the keys of a bucket; in the RAW bucket those of events."""
    return [file.path for file in list_files(stores.lake, stores.buckets[layer]) if "/_manifests/" not in file.path]


def put(stores, path, data=b"stray"):
    if "file" in stores.lake.protocol:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    stores.lake.pipe_file(path, data)


def alter(stores, table, revision=1, **values):
    with stores.engine.begin() as connection:
        connection.execute(update(table).where(table.c.revision == revision).values(**values))


def flip(stores, path, _):
    data = bytearray(stores.lake.cat_file(path))
    data[len(data) // 2] ^= 1
    put(stores, path, bytes(data))


def replace(stores, path, events):
    put(stores, path, encode_part(to_canonical_table(events), {}))


def forge(stores, path, events):
    """Replace an object by one whose rows break the contract, and its row in the registry as well."""
    table = to_canonical_table(events.assign(timestamp=events["timestamp"] - pd.Timedelta(days=1)))
    data = encode_part(table, {})
    put(stores, path, data)
    row = asdict(describe_part(table, data, 1, rejected_count=0))
    alter(stores, ingestion_events, **{name: row[name] for name in row if name not in ("part", "file_name")})


def test_after_a_run_everything_is_verified_and_nothing_is_found(anywhere, stores):
    anywhere.run()
    assert list(verify(stores).lines()) == ["1 objects, 2 other files, 10 rows verified; 0 mismatches, 0 orphans"]


def forge_unreadable(stores, path, _):
    """Replace an object by bytes that are no Parquet, with their digest and size in the registry."""
    put(stores, path, b"no Parquet")
    digest = hashlib.sha256(b"no Parquet").hexdigest()
    alter(stores, ingestion_events, object_sha256=digest, size_bytes=10)


def altering(table, **values):
    return lambda stores, _path, _events: alter(stores, table, **values)


DAMAGE = {
    "deleted": (lambda stores, path, _: stores.lake.rm_file(path), "{path}: the object is missing"),
    "flipped": (flip, r"{path}: \d+ bytes, sha256 \w+; registered"),
    "truncated": (lambda stores, path, _: put(stores, path, stores.lake.cat_file(path)[:-9]), "{path}: .* bytes, sha"),
    "replaced": (replace, r"{path}: \d+ bytes, sha256 \w+; registered"),
    "forged": (forge, "{path}: 3 rows break timestamp_outside_day"),
    "forged-unreadable": (forge_unreadable, "{path}: "),
    "rows": (altering(ingestion_events, record_count=9), "{path}: record_count is 10, registered 9"),
    "content": (altering(ingestion_events, content_sha256="0" * 64), r"{path}: content_sha256 is \w+, registered 000"),
    "size": (altering(ingestion_events, size_bytes=1), r"{path}: size_bytes is \d+, registered 1"),
    "sha256": (altering(ingestion_events, object_sha256="0" * 64), "{path}: .*; registered .* 000"),
    "accepted": (
        altering(ingestion_batches, accepted=9, rejected=1),
        "batch {batch}: accepted is 9, .* give 10",
    ),
    "parts": (altering(ingestion_batches, parts=2), "batch {batch}: parts is 2, its objects give 1"),
}


def test_lines_that_cannot_be_read_are_no_mismatch_and_a_lost_one_is(embedded):
    write_log(embedded, "conn.log", HEADER + zeek_line(0) * 60 + zeek_line(5, proto="nonsense") + "garbage\n")
    embedded.run("log_ingestion", source="zeek")
    (batch,) = embedded.records("ingestion_batches")
    assert (batch["rejected"], batch["unparsable"]) == (1, 1)
    assert verify(embedded.stores).mismatches == []
    with embedded.stores.engine.begin() as connection:
        connection.execute(update(quarantine_objects).values(record_count=3))
    assert any("unparsable is 1, its objects in quarantine give" in line for line in verify(embedded.stores).mismatches)


def test_damage_is_found_and_named(anywhere, stores, make_events):
    anywhere.run()
    (path,) = keys(stores)
    data, rows = stores.lake.cat_file(path), copy_registry(anywhere)
    for name, (damage, said) in DAMAGE.items():
        assert verify(stores).mismatches == [], f"before {name}"
        damage(stores, path, make_events())
        found = verify(stores)
        pattern = said.format(path=re.escape(path), batch=f"synthetic on {DAY}, revision 1")
        assert [mismatch for mismatch in found.mismatches if re.match(pattern, mismatch)], (name, found.mismatches)
        assert found.orphans == [], name
        put(stores, path, data)
        bring_back(anywhere, rows)


def test_superseded_revisions_are_verified_too(anywhere, stores):
    anywhere.run()
    (former,) = keys(stores)
    anywhere.run(generator__n_events=12)
    assert list(verify(stores).lines()) == ["2 objects, 3 other files, 22 rows verified; 0 mismatches, 0 orphans"]
    stores.lake.rm_file(former)
    assert verify(stores).mismatches == [f"{former}: the object is missing"]


@pytest.mark.parametrize("altered", [{"content_sha256": "0" * 64}, {"size_bytes": 1}], ids=["content", "size"])
def test_an_object_that_revisions_share_is_held_to_the_row_of_each(embedded, altered):
    stores = load_stores(embedded.env, embedded.root)
    for n_events in (20, 19):
        embedded.run(generator__n_events=n_events, generator__part_events=10)
    events = embedded.rows("ingestion_events")
    shared = events.loc[events["file_name"].duplicated(), "file_name"].item()
    alter(stores, ingestion_events, revision=2, **altered)
    assert [mismatch for mismatch in verify(stores).mismatches if shared in mismatch]


def test_orphans_are_listed_and_are_no_mismatch(anywhere, stores):
    anywhere.run()
    strays = [f"{stores.buckets['raw']}/{place}" for place in (f"synthetic/{DAY}/a.parquet", f"zeek/{DAY}/b.parquet")]
    for stray in strays:
        put(stores, stray)
    assert list(verify(stores).lines()) == [
        *(f"orphan {stray} (5 bytes)" for stray in strays),
        "1 objects, 2 other files, 10 rows verified; 0 mismatches, 2 orphans",
    ]


def test_a_copy_of_a_committed_object_in_another_place_is_an_orphan(anywhere, stores):
    anywhere.run()
    (path,), raw = keys(stores), stores.buckets["raw"]
    copy = f"{raw}/backup{path.removeprefix(raw)}"
    put(stores, copy, stores.lake.cat_file(path))
    assert [orphan.path for orphan in verify(stores).orphans] == [copy]


def test_a_range_of_dates_limits_objects_mismatches_and_orphans(anywhere, stores):
    for day in (DAY, NEXT_DAY):
        anywhere.run(logical_date=day)
        put(stores, f"{stores.buckets['raw']}/synthetic/{day}/stray.parquet")
    alter(stores, ingestion_events, size_bytes=1)
    alter(stores, ingestion_batches, parts=2)
    ranges = [(None, None, [DAY, NEXT_DAY]), (NEXT_DAY, None, [NEXT_DAY]), (None, DAY, [DAY]), (DAY, DAY, [DAY])]
    for start, end, days in ranges:
        found = verify(stores, start, end)
        assert [orphan.path.split("/")[-2] for orphan in found.orphans] == days
        assert found.objects == len(days)
        assert {day for day in (DAY, NEXT_DAY) if any(day in said for said in found.mismatches)} == set(days)


def test_verifying_marks_dead_runs(stores):
    list(setup_stores(stores))
    row = {"run_id": "dead", "parent_run_id": None, "pipeline": "ingestion", "source": "synthetic", "env": "embedded"}
    row |= {"logical_date": date.fromisoformat(DAY), "code_version": "1", "params_sha256": "0" * 64}
    with stores.engine.begin() as connection:
        connection.execute(
            insert(pipeline_runs), row | {"host": "h", "status": "RUNNING", "started_at": datetime.now(UTC)}
        )
    assert next(verify(stores).lines()) == "1 dead runs marked ABANDONED"


@pytest.mark.parametrize("project", ["embedded", "served"])
def test_setup_says_what_it_made_and_then_that_it_is_there(request, project):
    project = request.getfixturevalue(project)
    stores = load_stores(project.env, project.root)
    names = [Path(bucket).name for bucket in stores.buckets.values()]
    made = [*(f"bucket {name}: made" for name in names), f"registry schema: made version {HEAD} from nothing"]
    there = [*(f"bucket {name}: there" for name in names), f"registry schema: there, version {HEAD}"]
    assert [list(setup_stores(stores)), list(setup_stores(stores))] == [made, there]


def test_the_command_exits_0_when_all_is_well_and_1_on_a_mismatch(anywhere, stores):
    anywhere.run()
    done = anywhere.invoke("verify", "--env", anywhere.env, "--prune")
    assert (done.returncode, done.stdout) == (
        0,
        "1 objects, 2 other files, 10 rows verified; 0 mismatches, 0 orphans\n",
    )
    (path,) = keys(stores)
    stores.lake.rm_file(path)
    done = anywhere.cli("verify", "--env", anywhere.env, "--start", DAY, "--end", DAY)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"MISMATCH {path}: the object is missing",
        "1 objects, 2 other files, 10 rows verified; 1 mismatches, 0 orphans",
    ]


def test_a_configuration_that_lies_elsewhere_leads_to_the_same_stores(embedded, tmp_path):
    elsewhere = tmp_path / "elsewhere/conf"
    shutil.move(embedded.root / "conf", elsewhere)
    shutil.copytree(elsewhere, embedded.root / "conf")
    folder = embedded.root / "notebooks"
    folder.mkdir()
    params = f"logical_date={DAY},generator.n_events=10"
    done = embedded.cli(
        "run", "--pipeline", "ingestion", "--conf-source", str(elsewhere), "--params", params, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("elsewhere/data")) and not (folder / "data").exists()
    done = embedded.cli("verify", cwd=folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "1 objects, 2 other files, 10 rows verified; 0 mismatches, 0 orphans",
    )
    assert list((embedded.root / "data/ingested").rglob("*.parquet"))
    assert (embedded.root / "data/registry.db").exists()
