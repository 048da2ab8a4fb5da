"""The registry on both databases: its schema, and commits that happen whole or not at all."""

import re
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError

from network_anomalies.errors import ProjectError
from network_anomalies.records.batch import FATES, Batch, LineCounts, PartObject, SourceFile, SourceReport
from network_anomalies.records.run_start import RunStart
from network_anomalies.records.verdicts import name_alert
from network_anomalies.registry.alert_rows import digest_alerts
from network_anomalies.registry.batches import BucketUrls, commit_batch, read_batch, read_current
from network_anomalies.registry.engine import HEAD, connect, ensure_schema, migrate, read_version
from network_anomalies.registry.run_rows import record_run
from network_anomalies.registry.stage_log import StageEvent, read_stage
from network_anomalies.registry.tables import (
    alerts,
    metadata,
    models,
    pipeline_runs,
    training_events,
    transformation_events,
)

DAY = date(2024, 4, 19)
NOON = datetime(2024, 4, 19, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return connect(f"sqlite:///{tmp_path / 'registry.db'}")
    return connect(request.getfixturevalue("served").url)


@pytest.fixture
def engine(bare):
    """A registry with the schema in place."""
    migrate(bare)
    return bare


def count(engine, table):
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()


def start(engine, run_id, source="sensor", day=DAY):
    row = {"run_id": run_id, "parent_run_id": None, "pipeline": "ingestion", "source": source, "logical_date": day}
    return record_run(engine, RunStart(**row | {"env": "test", "code_version": "1", "params_sha256": "0" * 64}))


URLS = BucketUrls("s3://raw", "s3://quarantine")


def make_object(part, content="a", **changes):
    row = {"part": part, "file_name": f"{content}{part}.parquet", "record_count": 1, "rejected_count": 0}
    row |= {"size_bytes": 10, "object_sha256": content * 64, "content_sha256": content * 64}
    return PartObject(**row | {"min_timestamp": NOON, "max_timestamp": NOON} | changes)


def make_file(path="conn.log", **changes):
    counts = {"lines": 9, "not_a_flow": 1, "unparsable": 1, "early": 1, "late": 1, "imputed": 0}
    return SourceFile(**{"path": path, "size_bytes": 90, "sha256": "f" * 64, "truncated": True} | counts | changes)


def make_batch(run_id, objects, files=(), source="sensor", day=DAY, params_sha256="0" * 64, **changes):
    """Return a batch in which every line of a fate is alone; ``changes`` are of its contract and its counts."""
    version = changes.pop("contract_version", "1.0.0")
    counts = LineCounts(**{"lines_in": 9, "accepted": 3} | dict.fromkeys(FATES[:-1], 1) | changes)
    origin = SourceReport("logs", "zeek", params_sha256, files)
    return Batch(run_id, source, day, version, counts, origin, objects)


def make_event(batch):
    inputs = {"parameters": batch.origin.params_sha256}
    return StageEvent(batch.run_id, "ingestion", batch.source, batch.logical_date, inputs, outputs=[])


def commit(engine, run_id, content="a", parts=(1, 2), source="sensor", day=DAY, span=(NOON, NOON), **changes):
    """Commit a batch of a run of its own."""
    first, last = span
    objects = [make_object(part, content, min_timestamp=first, max_timestamp=last) for part in parts]
    batch = make_batch(run_id, objects, source=source, day=day, **changes)
    with start(engine, run_id, source, day):
        return commit_batch(engine, batch, make_event(batch), URLS)


def current_names(engine):
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT file_name FROM current_objects ORDER BY source, logical_date, part"))
        return list(rows.scalars())


def is_no_number(_object, name, kind, _reflected, _compared):
    """Leave out the columns that a database numbers: Alembic cannot compare them; the test below does."""
    return (kind, name) != ("column", "sequence")


def test_the_migrated_schema_is_the_one_of_the_tables(engine):
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": is_no_number}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("table", ["stage_events", "promotions", "verdicts"])
def test_the_database_numbers_rows_of_which_the_latest_counts(engine, table):
    column = next(each for each in inspect(engine).get_columns(table) if each["name"] == "sequence")
    assert not column["nullable"]
    assert engine.dialect.name == "sqlite" or column["identity"]["always"] is False


def test_the_migrated_checks_and_keys_are_those_of_the_tables(engine):
    inspector = inspect(engine)
    for table in metadata.sorted_tables:
        wanted = {constraint.name for constraint in table.constraints}
        found = {row["name"] for row in inspector.get_check_constraints(table.name)}
        found |= {row["name"] for row in inspector.get_foreign_keys(table.name)}
        found |= {row["name"] for row in inspector.get_unique_constraints(table.name)}
        found.add(inspector.get_pk_constraint(table.name)["name"])
        assert found == wanted, table.name


def test_head_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", "network_anomalies:registry/migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrating_twice_changes_nothing(engine):
    commit(engine, "r1")
    migrate(engine)
    assert read_version(engine) == HEAD
    assert current_names(engine) == ["a1.parquet", "a2.parquet"]


def test_an_embedded_registry_migrates_by_itself_and_a_served_one_asks_for_setup(bare):
    assert read_version(bare) is None
    if bare.dialect.name == "sqlite":
        ensure_schema(bare)
        assert read_version(bare) == HEAD
    else:
        with pytest.raises(ProjectError, match="has no schema: run `kedro setup`"):
            ensure_schema(bare)
        assert inspect(bare).get_table_names() == []
        migrate(bare)
        ensure_schema(bare)


def migrate_to(engine, version):
    from alembic import command

    config = Config()
    config.set_main_option("script_location", "network_anomalies:registry/migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


def test_a_scoring_of_before_limits_were_recorded_has_none_and_readers_keep_their_rights(bare):
    migrate_to(bare, "0003")
    assert read_version(bare) == "0003"
    columns = "run_id, stage, source, logical_date, recorded_at, inputs, inputs_sha256, outputs"
    values = "'r1', 'scoring', 'sensor', '2024-04-19', '2024-04-20 00:00:00', '{}', '', '[]'"
    with start(bare, "r1"), bare.begin() as connection:
        connection.execute(text(f"INSERT INTO stage_events ({columns}) VALUES ({values})"))
        if bare.dialect.name == "postgresql":
            connection.execute(text("GRANT SELECT ON alert_lineage TO PUBLIC"))
    migrate(bare)
    assert read_version(bare) == HEAD
    assert read_stage(bare, "scoring", "sensor", DAY)["limits"] is None
    assert count(bare, "alert_lineage") == 0
    if bare.dialect.name == "postgresql":
        with bare.connect() as connection:
            granted = "SELECT CAST(relacl AS text) FROM pg_class WHERE relname = 'alert_lineage'"
            assert ",=r/" in connection.execute(text(granted)).scalar()


def test_alerts_of_before_they_had_ids_get_those_of_today_and_keep_their_digest(bare):
    migrate_to(bare, "0004")
    key, lists = {"run_id": "r1", "source": "sensor", "logical_date": DAY}, {"input_objects": [], "output_objects": []}
    sizes = {"record_count": 1, "size_bytes": 1, "feature_spec_sha256": "0"}
    silver = key | sizes | lists | {"revision": 1, "transformed_at": NOON, "status": "SUCCESS"}
    trained = dict.fromkeys(("trained_at", "train_start", "train_end", "test_end"), NOON) | {"input_objects": []}
    trained |= key | sizes | {"model_uri": "m", "model_sha256": "0", "code_version": "1"}
    model = {"source": "sensor", "version": 1, "model_sha256": "0", "model_uri": "m", "card_uri": "c", "run_id": "r1"}
    model |= {"training_run_id": "r1", "registered_at": NOON, "status": "CHAMPION", "reason": "first"}
    alert = dict.fromkeys(("created_at", "first_seen", "last_seen"), NOON) | {"kind": "ddos", "sentence": "x"}
    alert |= key | {"transformation_run_id": "r1", "model_version": 1, "flows": 1, "score": 50.0, "severity": "low"}
    hosts = ["10.0.0.1", "2001:db8::1"]
    with start(bare, "r1"), bare.begin() as connection:
        connection.execute(insert(transformation_events), silver)
        connection.execute(insert(training_events), trained | {"parameters": {}, "library_versions": {}})
        connection.execute(insert(models), model)
        connection.execute(insert(alerts), [alert | {"entity": host} for host in hosts])
        before = [dict(row) for row in connection.execute(text("SELECT * FROM alerts")).mappings()]
    migrate(bare)
    with bare.connect() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM alerts")).mappings()]
    assert {row["alert_id"] for row in rows} == {name_alert("sensor", DAY, "ddos", host) for host in hosts}
    assert [row["facts"] for row in rows] == [None, None]
    assert digest_alerts(rows, {}) == digest_alerts(before, {}) != digest_alerts(rows[:1], {})
    (column,) = [column for column in inspect(bare).get_columns("alerts") if column["name"] == "alert_id"]
    assert not column["nullable"]


def test_a_version_that_this_code_does_not_know_is_named_in_the_error(engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(ProjectError, match="0000"):
        ensure_schema(engine)
    assert read_version(engine) == "0000"


def test_the_first_commit_is_revision_1(engine):
    assert commit(engine, "r1")
    assert read_batch(engine, "sensor", DAY)["revision"] == 1
    rows = read_current(engine, "sensor", DAY)
    assert rows[["run_id", "revision", "part", "status"]].values.tolist() == [
        ["r1", 1, 1, "SUCCESS"],
        ["r1", 1, 2, "SUCCESS"],
    ]


def test_an_equal_batch_is_unchanged_and_adds_no_row(engine):
    commit(engine, "r1", files=[make_file()])
    assert commit(engine, "r2", files=[make_file()], params_sha256="1" * 64) is False
    assert read_batch(engine, "sensor", DAY)["run_id"] == "r1"
    assert [count(engine, f"ingestion_{table}") for table in ("batches", "events")] == [1, 2]
    assert count(engine, "source_files") == 1
    assert read_stage(engine, "ingestion", "sensor", DAY)["inputs"] == {"parameters": "1" * 64}


@pytest.mark.parametrize(
    "changes",
    [{"content": "b"}, {"contract_version": "2.0.0"}, {"rejected": 2, "lines_in": 10}, {"late": 2, "early": 0}],
    ids=["content", "contract", "rejected", "fates"],
)
def test_other_content_or_another_account_of_the_lines_supersedes(engine, changes):
    commit(engine, "r1")
    assert commit(engine, "r2", **changes)
    query = "SELECT run_id, revision, status FROM ingestion_{} GROUP BY run_id, revision, status ORDER BY run_id"
    for table in ("batches", "events"):
        with engine.connect() as connection:
            rows = connection.execute(text(query.format(table))).all()
        assert [tuple(row) for row in rows] == [("r1", 1, "SUPERSEDED"), ("r2", 2, "SUCCESS")]
    assert set(read_current(engine, "sensor", DAY)["run_id"]) == {"r2"}


def test_the_view_shows_the_objects_of_current_revisions_only(engine):
    commit(engine, "r1", "a")
    commit(engine, "r2", "b", parts=(1,))
    commit(engine, "r3", "c", parts=(1,), day=DAY + timedelta(days=1))
    commit(engine, "r4", "d", parts=(1,), source="tensor")
    assert current_names(engine) == ["b1.parquet", "c1.parquet", "d1.parquet"]


def test_content_that_returns_is_a_revision_of_its_own(engine):
    for number, content in enumerate("aba", start=1):
        commit(engine, f"r{number}", content)
        assert read_batch(engine, "sensor", DAY)["revision"] == number
    assert current_names(engine) == ["a1.parquet", "a2.parquet"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"parts": (1, 1)}, "ingestion_events"),
        ({"files": [make_file(), make_file()]}, "source_files"),
        ({"files": [make_file(lines=None)]}, "lines"),
        ({"lines_in": 10}, "ck_ingestion_batches_balance"),
        ({"rejected": None}, "rejected"),
    ],
    ids=["part-twice", "file-twice", "file-without-lines", "unbalanced", "no-count"],
)
def test_a_commit_that_fails_leaves_the_former_current(engine, broken, said):
    commit(engine, "r1")
    with pytest.raises(IntegrityError, match=said):
        commit(engine, "r2", "b", **broken)
    assert current_names(engine) == ["a1.parquet", "a2.parquet"]
    assert read_batch(engine, "sensor", DAY)["status"] == "SUCCESS"
    tables = ("ingestion_batches", "ingestion_events", "source_files", "stage_events")
    assert [count(engine, table) for table in tables] == [1, 2, 0, 1]


def test_a_second_current_batch_of_a_date_is_refused_by_the_database(engine):
    commit(engine, "r1", "a")
    commit(engine, "r2", "b")
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("UPDATE ingestion_batches SET status = 'SUCCESS'"))


@pytest.mark.parametrize("status", ["ABANDONED", "FAILED", "SUCCESS", None])
def test_a_run_that_is_not_running_may_not_commit(engine, status):
    said = f"run r1 is {status}" if status else "run r9 is not in the registry"
    with start(engine, "r1"):
        with engine.begin() as connection:
            connection.execute(update(pipeline_runs).values(status=status or "RUNNING"))
        batch = make_batch("r1" if status else "r9", [make_object(1)])
        with pytest.raises(ProjectError, match=re.escape(said)):
            commit_batch(engine, batch, make_event(batch), URLS)
    assert [count(engine, table) for table in ("ingestion_batches", "sources", "stage_events")] == [0, 0, 0]


def test_instants_come_back_aware_in_utc_whatever_zone_they_came_in(engine):
    berlin = timezone(timedelta(hours=2))
    commit(engine, "r1", span=(NOON.astimezone(berlin), NOON + timedelta(microseconds=1)))
    batch = read_batch(engine, "sensor", DAY)
    assert batch["min_timestamp"] == NOON
    assert batch["max_timestamp"] - NOON == timedelta(microseconds=1)
    assert {batch[name].tzinfo for name in ("min_timestamp", "max_timestamp", "committed_at")} == {UTC}
    assert abs(batch["committed_at"] - datetime.now(UTC)) < timedelta(minutes=1)
    rows = read_current(engine, "sensor", DAY)
    assert rows["min_timestamp"].tolist() == [pd.Timestamp(NOON)] * 2
    with engine.connect() as connection:
        started = connection.execute(select(pipeline_runs.c.started_at)).scalar()
    assert started.tzinfo is UTC


def test_source_files_are_kept_with_the_run_that_read_them(engine):
    commit(engine, "r1", files=[make_file("a.log"), make_file("b.log")])
    with engine.connect() as connection:
        rows = connection.execute(metadata.tables["source_files"].select().order_by(text("path"))).mappings().all()
    assert [dict(row) for row in rows] == [asdict(make_file(path)) | {"run_id": "r1"} for path in ("a.log", "b.log")]
