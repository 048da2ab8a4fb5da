"""A registry that is there and silent: every call ends, a COMMIT's outcome is known, and no lock outlives its run."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime

import psycopg2
import pytest
from conftest import DAY
from proxy import Fault, start_proxy
from sqlalchemy import insert, make_url, text
from sqlalchemy.exc import OperationalError
from test_runs import make_row, read_run

from network_anomalies.errors import RegistryUnanswered, explain, is_transient
from network_anomalies.registry import engine as limits
from network_anomalies.registry import locks
from network_anomalies.registry.engine import connect, migrate
from network_anomalies.registry.locks import hold_lock
from network_anomalies.registry.run_rows import record_run
from network_anomalies.registry.tables import pipeline_runs
from network_anomalies.registry.transactions import transaction
from network_anomalies.upkeep import load_stores, setup_stores
from network_anomalies.upkeep.stores import _make_bucket

ROW = b"INSERT INTO pipeline_runs"
CLOSE = b"UPDATE pipeline_runs"
BATCH = b"INSERT INTO ingestion_batches"
NOTHING = "the registry did not answer a COMMIT, and nothing was committed: run again"
UNKNOWN = "the registry did not answer a COMMIT, and it is not known whether it took place"
HOLDER = """
import os, sys, time
from datetime import UTC, date, datetime
from network_anomalies.registry import engine, locks
engine.IDLE_SECONDS, locks.HEARTBEAT_SECONDS = 2.0, 0.5
assert locks.try_lock(engine.connect(os.environ["REGISTRY_URL"]), "sensor", date(2024, 4, 19))
print("held", flush=True)
time.sleep(60)
"""
HASTY = """
from network_anomalies.registry import engine, locks
engine.CONNECT_SECONDS, engine.ANSWER_SECONDS, engine.IDLE_SECONDS, locks.HEARTBEAT_SECONDS = 2.0, 3.0, 4.0, 0.5
from network_anomalies.__main__ import main
main()
"""
SETUP = """
import sys
from pathlib import Path
from kedro.framework.project import configure_project
configure_project("network_anomalies")
import alembic.command
from network_anomalies.upkeep import load_stores, setup_stores
stores = load_stores("minio", Path.cwd())
print("ready", flush=True)
sys.stdin.readline()
print(list(setup_stores(stores))[-1])
"""


@pytest.fixture
def direct(served):
    """A registry on PostgreSQL, its schema in place, with nothing in between."""
    engine = connect(served.url)
    migrate(engine)
    return engine


@pytest.fixture
def _hasty(monkeypatch):
    """Limits that a test can wait for."""
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 2.0)
    monkeypatch.setattr(limits, "ANSWER_SECONDS", 3.0)
    monkeypatch.setattr(limits, "IDLE_SECONDS", 4.0)
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.5)


@contextmanager
def through(direct, fault):
    """Yield the same registry behind a proxy."""
    with start_proxy(f"http://127.0.0.1:{direct.url.port}", fault) as proxy:
        yield connect(direct.url.set(port=make_url(proxy).port).render_as_string(hide_password=False))


def others(engine):
    """Return the sessions of the database but the one that asks."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        return connection.execute(text(query)).scalars().all()


def is_free(engine, source="sensor"):
    with hold_lock(engine, source, date.fromisoformat(DAY)) as held:
        return held


def wait_until(condition, seconds):
    """Wait for a condition and return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        time.sleep(0.1)
    return time.monotonic() - started


def test_the_limits_keep_what_is_promised():
    assert limits.CONNECT_SECONDS + limits.ANSWER_SECONDS <= 15
    assert locks.HEARTBEAT_SECONDS * 3 < limits.IDLE_SECONDS < 50


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("forward", [True, False], ids=["committed", "not-committed"])
@pytest.mark.parametrize("words", [ROW, CLOSE], ids=["first-row", "close"])
def test_a_commit_without_an_answer_is_asked_for(direct, caplog, words, forward):
    fault = Fault(freeze_after=words, freeze_at=b"COMMIT", forward=forward)
    started, error = time.monotonic(), None
    with through(direct, fault) as engine:
        try:
            with record_run(engine, make_row("r1")):
                assert read_run(direct, "r1")["status"] == "RUNNING"
        except RegistryUnanswered as raised:
            error = raised
    assert fault.frozen.is_set()
    assert time.monotonic() - started < 10
    assert is_free(direct)
    row = read_run(direct, "r1")
    if forward:
        assert error is None
        assert (row["status"], row["error"]) == ("SUCCESS", None)
        (said,) = (record.message for record in caplog.records if record.levelno >= logging.WARNING)
        assert said.endswith("a second query shows that it took place")
    else:
        assert explain(error) == NOTHING
        assert is_transient(error)
        assert row is None if words == ROW else (row["status"], row["error"]) == ("FAILED", NOTHING)


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("words", [ROW, CLOSE], ids=["first-row", "close"])
def test_a_commit_that_cannot_be_asked_for_says_so_and_a_rerun_goes_on(direct, words):
    fault = Fault(freeze_after=words, freeze_at=b"COMMIT", forward=True, spread=True)
    started = time.monotonic()
    with through(direct, fault) as engine:
        with pytest.raises(RegistryUnanswered, match=UNKNOWN) as raised, record_run(engine, make_row("r1")):
            pass
        assert time.monotonic() - started < 15
        assert is_transient(raised.value)
    with record_run(direct, make_row("r2")):
        assert read_run(direct, "r1")["status"] == ("ABANDONED" if words == ROW else "SUCCESS")


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("forward", [True, False])
def test_a_statement_without_an_answer_ends_its_session_and_keeps_nothing(direct, forward):
    fault = Fault(freeze_at=ROW, forward=forward)
    with through(direct, fault) as engine:
        started, state = time.monotonic(), {"status": "RUNNING", "started_at": datetime.now(UTC), "host": "here"}
        with (
            pytest.raises(OperationalError, match="no answer within 3 s") as raised,
            transaction(engine, lambda _: pytest.fail("nothing was committed")) as connection,
        ):
            connection.execute(insert(pipeline_runs).values(**vars(make_row("r1")), **state))
        assert time.monotonic() - started < 6
        wait_until(lambda: others(direct) == [], seconds=2)  # a session needs a moment to end
    assert explain(raised.value).startswith("the registry failed: it does not answer")
    assert is_transient(raised.value)
    assert read_run(direct, "r1") is None


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("forward", [True, False], ids=["committed", "not-committed"])
def test_a_batch_whose_commit_has_no_answer_is_committed_once(ready, monkeypatch, forward):
    fault = Fault(freeze_after=BATCH, freeze_at=b"COMMIT", forward=forward)
    port = ready.variables["PG_PORT"]
    with start_proxy(f"http://127.0.0.1:{port}", fault) as proxy:
        monkeypatch.setenv("PG_PORT", str(make_url(proxy).port))
        if forward:
            with ready.session(logical_date=DAY, generator__n_events=10) as session:
                session.run(pipeline_names=["ingestion"])
        else:
            with (
                ready.session(logical_date=DAY, generator__n_events=10) as session,
                pytest.raises(Exception, match="nothing was committed") as raised,
            ):
                session.run(pipeline_names=["ingestion"])
            assert is_transient(raised.value)
    monkeypatch.setenv("PG_PORT", port)
    assert ready.rows("pipeline_runs")["status"].item() == ("SUCCESS" if forward else "FAILED")
    assert ready.run() == ("UNCHANGED" if forward else "SUCCESS")
    assert ready.rows("ingestion_batches")["revision"].tolist() == [1]


@pytest.mark.usefixtures("_hasty")
def test_a_registry_that_stalls_in_the_middle_fails_the_run_and_a_rerun_goes_on(ready, monkeypatch):
    fault = Fault(freeze_at=b"FROM ingestion_events", spread=True)
    port = ready.variables["PG_PORT"]
    with start_proxy(f"http://127.0.0.1:{port}", fault) as proxy:
        monkeypatch.setenv("PG_PORT", str(make_url(proxy).port))
        started = time.monotonic()
        with (
            ready.session(logical_date=DAY, generator__n_events=10) as session,
            pytest.raises(Exception, match="no answer within 3 s"),
        ):
            session.run(pipeline_names=["ingestion"])
        assert time.monotonic() - started < 15
        monkeypatch.setenv("PG_PORT", port)
        assert ready.rows("pipeline_runs")["status"].tolist() == ["RUNNING"]  # the registry could not be told
        assert ready.run() == "SUCCESS"  # while the proxy keeps the dead connections open
    assert sorted(ready.rows("pipeline_runs")["status"]) == ["ABANDONED", "SUCCESS"]


@pytest.mark.parametrize(
    ("number", "spread"), [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGTERM, True)]
)
def test_a_signal_ends_a_run_that_waits_for_a_commit(ready, number, spread):
    fault = Fault(freeze_after=BATCH, freeze_at=b"COMMIT", spread=spread)
    with start_proxy(f"http://127.0.0.1:{ready.variables['PG_PORT']}", fault) as proxy:
        params = f"logical_date={DAY},generator.n_events=10"
        process = subprocess.Popen(
            [sys.executable, "-c", HASTY, "run", "--pipeline", "ingestion", "--env", "minio", "--params", params],
            cwd=ready.root, env=os.environ | ready.variables | {"PG_PORT": str(make_url(proxy).port)},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert fault.frozen.wait(60)
        time.sleep(0.2)
        process.send_signal(number)
        started = time.monotonic()
        output, _ = process.communicate(timeout=60)
    assert time.monotonic() - started < 8
    assert process.returncode == 1
    assert f"Error: interrupted by {number.name}: run again" in output
    run = ready.rows("pipeline_runs").iloc[0]
    assert run["status"] == ("RUNNING" if spread else "FAILED")
    assert ready.rows("ingestion_batches").empty


def test_the_lock_of_a_dead_client_is_free_although_its_connection_stays_open(direct):
    fault = Fault(keep_open=True)
    with through(direct, fault) as engine:
        environment = os.environ | {"REGISTRY_URL": engine.url.render_as_string(hide_password=False)}
        process = subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"held\n"
            time.sleep(3)  # longer than the server lets a connection be idle
            assert not is_free(direct)
            process.kill()
            process.wait()
            assert not is_free(direct)
            assert wait_until(lambda: is_free(direct), 20) < 10
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_live_session_tells_the_server_its_limits(direct):
    with direct.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("statement_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout")
        ]
    assert shown == ["9s", "40s", "40s"]


@pytest.mark.usefixtures("_hasty")
def test_a_stock_dataset_has_the_same_limits(ready, monkeypatch):
    ready.run()
    assert len(ready.load("current_objects")) == 1
    with start_proxy(f"http://127.0.0.1:{ready.variables['PG_PORT']}", Fault(stall=True)) as proxy:
        monkeypatch.setenv("PG_PORT", str(make_url(proxy).port))
        catalog = ready.session(logical_date=DAY).load_context().catalog
        started = time.monotonic()
        with pytest.raises(Exception, match="no answer within 2 s"):
            catalog.load("current_objects")
        assert time.monotonic() - started < 5


def test_two_setups_at_once_both_succeed(served):
    command = [sys.executable, "-c", SETUP]
    environment = os.environ | served.variables
    processes = [
        subprocess.Popen(
            command, cwd=served.root, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert [code for _, code in ends] == [0, 0], ends
    assert all(f"version {limits.HEAD}" in output for (output, _), _ in ends)


def test_a_migration_that_takes_long_is_said_to_a_second_one(served, monkeypatch):
    monkeypatch.setattr(limits, "MIGRATION_SECONDS", 0.5)
    engine = connect(served.url)
    with psycopg2.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as first:
        first.cursor().execute(f"SELECT pg_advisory_lock({locks.make_key('network-anomalies/schema')})")
        with pytest.raises(Exception, match="another `kedro setup` has been changing the schema for"):
            migrate(engine)
    first.close()


def test_a_bucket_that_another_setup_makes_meanwhile_is_there(ready, monkeypatch):
    stores = load_stores(ready.env, ready.root)
    monkeypatch.setattr(stores.lake, "exists", lambda _: False)
    assert [_make_bucket(stores.lake, bucket) for bucket in stores.buckets.values()] == [False] * len(stores.buckets)
    assert all(": there" in line for line in setup_stores(stores))
