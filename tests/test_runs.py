"""Runs on both databases: opened under a lock, closed with an outcome, abandoned when their process died."""

import logging
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from network_anomalies.errors import ProjectError
from network_anomalies.records.run_start import RunStart
from network_anomalies.registry.engine import connect, migrate
from network_anomalies.registry.locks import hold_lock
from network_anomalies.registry.run_rows import abandon_dead_runs, record_run
from network_anomalies.registry.tables import pipeline_runs

DAY, NEXT_DAY = date(2024, 4, 19), date(2024, 4, 20)
OTHER_PROCESS = """
import os, sys, time
from datetime import date
from network_anomalies.records.run_start import RunStart
from network_anomalies.registry.engine import connect
from network_anomalies.registry.run_rows import record_run
row = dict.fromkeys(("run_id", "pipeline", "source", "env", "code_version", "params_sha256"), "other")
row |= {"source": "sensor", "parent_run_id": None, "logical_date": date(2024, 4, 19)}
with record_run(connect(os.environ["REGISTRY_URL"]), RunStart(**row)):
    print("open", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of a registry with the schema in place."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'registry.db'}"
    else:
        url = request.getfixturevalue("served").url
    migrate(connect(url))
    return url


@pytest.fixture
def engine(url):
    return connect(url)


def make_row(run_id, day=DAY, source="sensor", **changes):
    row = {"run_id": run_id, "parent_run_id": "parent", "pipeline": "ingestion", "source": source, "logical_date": day}
    return RunStart(**row | {"env": "test", "code_version": "1", "params_sha256": "0" * 64} | changes)


def read_run(engine, run_id):
    with engine.connect() as connection:
        row = connection.execute(select(pipeline_runs).where(pipeline_runs.c.run_id == run_id)).mappings().first()
    return dict(row) if row else None


def is_free(engine, day=DAY):
    with hold_lock(engine, "sensor", day) as held:
        return held


@contextmanager
def other_process(url):
    """A process of its own that has opened the run ``other``."""
    environment = os.environ | {"REGISTRY_URL": url}
    process = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS], env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"open\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def record(engine, run_id, status="SUCCESS", **changes):
    """Open a run and close it."""
    with record_run(engine, make_row(run_id, **changes)) as run:
        run.status = status


def test_an_open_run_is_running_with_host_and_start(engine):
    before = datetime.now(UTC)
    start = make_row("r1", selection="to_nodes=plan_events")
    with record_run(engine, start):
        row = read_run(engine, "r1")
        assert {name: row[name] for name in vars(start)} == vars(start)
        assert (row["status"], row["host"]) == ("RUNNING", socket.gethostname())
        assert before <= row["started_at"] <= datetime.now(UTC)
        assert (row["finished_at"], row["failed_node"], row["error"]) == (None, None, None)
        assert not is_free(engine)


@pytest.mark.parametrize("status", ["SUCCESS", "UNCHANGED"])
def test_the_end_writes_the_outcome_and_frees_the_lock(engine, status):
    record(engine, "r1", status)
    row = read_run(engine, "r1")
    assert (row["status"], row["failed_node"], row["error"]) == (status, None, None)
    assert row["started_at"] <= row["finished_at"] <= datetime.now(UTC)
    assert is_free(engine)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ProjectError("no room"), "no room"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
    ],
)
def test_whatever_is_raised_closes_the_run_as_failed(engine, error, said):
    with pytest.raises(type(error)), record_run(engine, make_row("r1")) as run:
        run.node = "assemble_batch"
        raise error
    row = read_run(engine, "r1")
    assert (row["status"], row["failed_node"], row["error"]) == ("FAILED", "assemble_batch", said)
    assert row["started_at"] <= row["finished_at"] <= datetime.now(UTC)
    assert is_free(engine)


def test_an_outcome_that_cannot_be_written_makes_the_run_failed(engine):
    with pytest.raises(IntegrityError):
        record(engine, "r1", "NO_STATE")
    assert read_run(engine, "r1")["status"] == "FAILED"
    assert is_free(engine)


def test_a_row_that_cannot_be_closed_does_not_hide_the_error_of_the_run(engine, caplog):
    with pytest.raises(ProjectError, match="no room"), record_run(engine, make_row("r1")):
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE pipeline_runs RENAME COLUMN error TO gone"))
        raise ProjectError("no room")
    assert "The run's row could not be closed" in caplog.text
    assert is_free(engine)


def test_closing_does_not_revive_a_run_that_was_declared_dead(engine):
    with record_run(engine, make_row("r1")):
        abandon_dead_runs(engine, holding=("sensor", DAY))
    assert read_run(engine, "r1")["status"] == "ABANDONED"


def test_a_second_run_of_the_same_source_and_date_waits_and_says_for_whom(engine, caplog):
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(1) as pool:
        with record_run(engine, make_row("r1")):
            second = pool.submit(record, engine, "r2")
            time.sleep(0.6)
            waited, row = not second.done(), read_run(engine, "r2")
        second.result(10)
    assert waited
    assert row is None
    first = read_run(engine, "r1")
    assert first["finished_at"] <= read_run(engine, "r2")["started_at"]
    assert [read_run(engine, run_id)["status"] for run_id in ("r1", "r2")] == ["SUCCESS", "SUCCESS"]
    who = f"run r1 (pipeline ingestion, host {first['host']}, since {first['started_at']:%F %T} UTC)"
    said = [record.message for record in caplog.records if "Waiting" in record.message]
    assert said == [f"Waiting for {who}: it works on source sensor, date {DAY}"]


def test_a_run_that_waits_for_one_without_a_row_says_so(engine, caplog):
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(1) as pool:
        with hold_lock(engine, "sensor", DAY):
            second = pool.submit(record, engine, "r2")
            time.sleep(0.5)
        second.result(10)
    said = [record.message for record in caplog.records if "Waiting" in record.message]
    assert said == [f"Waiting for another run, which has no row yet: it works on source sensor, date {DAY}"]


def test_a_lock_is_free_as_soon_as_it_is_let_go(engine):
    for _ in range(100):
        assert is_free(engine)


def test_of_many_runs_of_one_date_only_one_is_open_at_a_time(engine):
    def work(run_id):
        with record_run(engine, make_row(run_id)):
            time.sleep(0.05)

    names = ["r1", "r2", "r3", "r4"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, names))
    rows = sorted((read_run(engine, name) for name in names), key=lambda row: row["started_at"])
    assert {row["status"] for row in rows} == {"SUCCESS"}
    for former, latter in pairwise(rows):
        assert former["finished_at"] <= latter["started_at"]


@pytest.mark.parametrize("other", [{"day": NEXT_DAY}, {"source": "tensor"}], ids=["date", "source"])
def test_a_run_of_another_date_or_source_does_not_wait(engine, other):
    with ThreadPoolExecutor(1) as pool, record_run(engine, make_row("r1")):
        pool.submit(record, engine, "r2", **other).result(5)
    assert read_run(engine, "r2")["finished_at"] <= read_run(engine, "r1")["finished_at"]


def test_a_live_run_of_another_date_or_process_is_not_abandoned(engine, url):
    with other_process(url):
        assert not is_free(engine)
        record(engine, "r2", day=NEXT_DAY)
        assert abandon_dead_runs(engine) == 0
        assert read_run(engine, "other")["status"] == "RUNNING"


@pytest.mark.parametrize("found_by", ["same date", "other date", "abandon_dead_runs"])
def test_a_run_whose_process_was_killed_is_abandoned(engine, url, found_by):
    with other_process(url) as process:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 5
    while not is_free(engine) and time.monotonic() < deadline:
        time.sleep(0.05)
    if found_by == "abandon_dead_runs":
        assert abandon_dead_runs(engine) == 1
        assert abandon_dead_runs(engine) == 0
    else:
        day = DAY if found_by == "same date" else NEXT_DAY
        record(engine, "r2", day=day)
        assert read_run(engine, "r2")["status"] == "SUCCESS"
    row = read_run(engine, "other")
    assert (row["status"], row["error"]) == ("ABANDONED", "the process ended without closing its run")
    assert timedelta(0) <= row["finished_at"] - row["started_at"] < timedelta(minutes=1)


def test_a_run_that_waits_goes_on_when_the_other_process_is_killed(engine, url):
    with other_process(url) as process, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(record, engine, "r2")
        time.sleep(0.3)
        waited = not waiting.done()
        process.kill()
        waiting.result(10)
    assert waited
    assert read_run(engine, "other")["status"] == "ABANDONED"


def test_a_used_run_id_is_refused_by_name_and_its_row_stays(engine):
    record(engine, "r1")
    with pytest.raises(ProjectError, match="run id r1 was used before"):
        record(engine, "r1", day=NEXT_DAY)
    assert read_run(engine, "r1")["logical_date"] == DAY
    assert read_run(engine, "r1")["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("changes", "error"), [({}, ProjectError), ({"run_id": "r2", "pipeline": None}, IntegrityError)], ids=["id", "row"]
)
def test_a_run_that_cannot_be_opened_holds_no_lock(engine, changes, error):
    record(engine, "r1")
    with pytest.raises(error), record_run(engine, make_row(**{"run_id": "r1"} | changes)):
        pytest.fail("the run was opened")
    assert is_free(engine)
    assert read_run(engine, "r2") is None
