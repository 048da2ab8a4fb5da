"""Runs on both databases: opened under a lock, closed with an outcome, abandoned when their process died."""

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
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from network_anomalies.errors import ProjectError
from network_anomalies.registry.engine import connect, migrate
from network_anomalies.registry.runs import abandon_dead_runs, hold_lock, open_run
from network_anomalies.registry.tables import pipeline_runs

DAY, NEXT_DAY = date(2024, 4, 19), date(2024, 4, 20)
OTHER_PROCESS = """
import os, sys, time
from datetime import date
from network_anomalies.registry.engine import connect
from network_anomalies.registry.runs import open_run
row = dict.fromkeys(("run_id", "pipeline", "source", "env", "code_version", "params_sha256"), "other")
row |= {"source": "sensor", "parent_run_id": None, "logical_date": date(2024, 4, 19)}
run = open_run(connect(os.environ["REGISTRY_URL"]), row)
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
    return row | {"env": "test", "code_version": "1", "params_sha256": "0" * 64} | changes


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


def test_an_open_run_is_running_with_host_and_start(engine):
    before = datetime.now(UTC)
    run = open_run(engine, make_row("r1"))
    row = read_run(engine, "r1")
    assert {name: row[name] for name in make_row("r1")} == make_row("r1")
    assert (row["status"], row["host"]) == ("RUNNING", socket.gethostname())
    assert before <= row["started_at"] <= datetime.now(UTC)
    assert (row["finished_at"], row["failed_node"], row["error"]) == (None, None, None)
    assert not is_free(engine)
    run.close("SUCCESS")


def test_closing_writes_the_outcome_and_frees_the_lock(engine):
    open_run(engine, make_row("r1")).close("FAILED", failed_node="commit_batch", error="no room")
    row = read_run(engine, "r1")
    assert (row["status"], row["failed_node"], row["error"]) == ("FAILED", "commit_batch", "no room")
    assert row["started_at"] <= row["finished_at"] <= datetime.now(UTC)
    assert is_free(engine)


def test_closing_frees_the_lock_even_when_the_outcome_cannot_be_written(engine):
    run = open_run(engine, make_row("r1"))
    with pytest.raises(IntegrityError):
        run.close("NO_STATE")
    assert is_free(engine)


def test_closing_does_not_revive_a_run_that_was_declared_dead(engine):
    run = open_run(engine, make_row("r1"))
    run.release()
    assert abandon_dead_runs(engine) == 1
    run.close("SUCCESS")
    assert read_run(engine, "r1")["status"] == "ABANDONED"


def test_a_second_run_of_the_same_source_and_date_waits_for_the_first(engine):
    first = open_run(engine, make_row("r1"))
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(open_run, engine, make_row("r2"))
        time.sleep(0.6)
        waited, row = not second.done(), read_run(engine, "r2")
        first.close("SUCCESS")
        second.result(10).close("SUCCESS")
    assert waited
    assert row is None
    assert read_run(engine, "r1")["finished_at"] <= read_run(engine, "r2")["started_at"]
    assert [read_run(engine, run_id)["status"] for run_id in ("r1", "r2")] == ["SUCCESS", "SUCCESS"]


def test_of_many_runs_of_one_date_only_one_is_open_at_a_time(engine):
    def work(run_id):
        run = open_run(engine, make_row(run_id))
        time.sleep(0.05)
        run.close("SUCCESS")

    names = ["r1", "r2", "r3", "r4"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, names))
    rows = sorted((read_run(engine, name) for name in names), key=lambda row: row["started_at"])
    assert {row["status"] for row in rows} == {"SUCCESS"}
    for former, latter in pairwise(rows):
        assert former["finished_at"] <= latter["started_at"]


@pytest.mark.parametrize("other", [{"day": NEXT_DAY}, {"source": "tensor"}], ids=["date", "source"])
def test_a_run_of_another_date_or_source_does_not_wait(engine, other):
    first = open_run(engine, make_row("r1"))
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(open_run, engine, make_row("r2", **other))
        try:
            second.result(5).close("SUCCESS")
        finally:
            first.close("SUCCESS")
    assert read_run(engine, "r2")["finished_at"] <= read_run(engine, "r1")["finished_at"]


def test_a_live_run_of_another_date_or_process_is_not_abandoned(engine, url):
    with other_process(url):
        assert not is_free(engine)
        open_run(engine, make_row("r2", day=NEXT_DAY)).close("SUCCESS")
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
        open_run(engine, make_row("r2", day=day)).close("SUCCESS")
        assert read_run(engine, "r2")["status"] == "SUCCESS"
    row = read_run(engine, "other")
    assert (row["status"], row["error"]) == ("ABANDONED", "the process ended without closing its run")
    assert timedelta(0) <= row["finished_at"] - row["started_at"] < timedelta(minutes=1)


def test_a_run_that_waits_goes_on_when_the_other_process_is_killed(engine, url):
    with other_process(url) as process, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(open_run, engine, make_row("r2"))
        time.sleep(0.3)
        waited = not waiting.done()
        process.kill()
        waiting.result(10).close("SUCCESS")
    assert waited
    assert read_run(engine, "other")["status"] == "ABANDONED"


def test_a_used_run_id_is_refused_by_name_and_its_row_stays(engine):
    open_run(engine, make_row("r1")).close("SUCCESS")
    with pytest.raises(ProjectError, match="run id r1 was used before"):
        open_run(engine, make_row("r1", day=NEXT_DAY))
    assert read_run(engine, "r1")["logical_date"] == DAY
    assert read_run(engine, "r1")["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("changes", "error"), [({}, ProjectError), ({"run_id": "r2", "pipeline": None}, IntegrityError)], ids=["id", "row"]
)
def test_a_run_that_cannot_be_opened_holds_no_lock(engine, changes, error):
    open_run(engine, make_row("r1")).close("SUCCESS")
    with pytest.raises(error):
        open_run(engine, make_row("r1") | changes)
    assert is_free(engine)
    assert read_run(engine, "r2") is None
