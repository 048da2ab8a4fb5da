"""What goes wrong in the middle of a run: readers never see a half, the run's row says what happened, a rerun heals."""

import os
import resource
import signal
import time
from pathlib import Path

import pytest
from conftest import DAY, Project
from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError
from proxy import Fault, start_proxy
from sqlalchemy import text

from network_anomalies.errors import explain
from network_anomalies.registry.engine import connect
from network_anomalies.upkeep import load_stores, verify_stores

PARAMS = f"logical_date={DAY},generator.n_events=3000000,generator.part_events=20000"


def run_command(project: Project) -> list[str]:
    return ["run", "--pipeline", "ingestion", "--env", project.env, "--params", PARAMS]


def wait_for_objects(project: Project, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(project.objects()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def last_run(project: Project) -> dict:
    return project.rows("pipeline_runs").sort_values("started_at").iloc[-1].to_dict()


def test_a_run_killed_between_two_parts_leaves_nothing_to_readers_and_is_abandoned(anywhere):
    process = anywhere.start(*run_command(anywhere))
    wait_for_objects(anywhere, 2)
    process.kill()
    process.communicate()
    assert anywhere.rows("pipeline_runs")["status"].tolist() == ["RUNNING"]
    assert anywhere.rows("current_objects").empty
    with pytest.raises(DatasetError, match="no events"):
        anywhere.load("raw_network_events")
    assert anywhere.run() == "SUCCESS"
    assert sorted(anywhere.rows("pipeline_runs")["status"]) == ["ABANDONED", "SUCCESS"]
    report = verify_stores(load_stores(anywhere.env, anywhere.root), None, None)
    assert not report.mismatches
    assert len(report.orphans) >= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_says_so_in_its_row(anywhere, number):
    process = anywhere.start(*run_command(anywhere))
    wait_for_objects(anywhere, 1)
    process.send_signal(number)
    started = time.monotonic()
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 1
    assert f"Error: interrupted by {number.name}: run again" in output
    run = last_run(anywhere)
    assert (run["status"], run["failed_node"]) == ("FAILED", "validate_events")
    assert f"interrupted by {number.name}" in run["error"]
    assert anywhere.rows("current_objects").empty


def test_a_store_that_fails_between_two_parts_is_healed_by_a_rerun(ready, monkeypatch):
    whole = {"generator__n_events": 4000, "generator__part_events": 1000}
    direct = os.environ["MINIO_ENDPOINT_URL"]
    with start_proxy(direct, Fault(reset_after=60_000)) as url:
        monkeypatch.setenv("MINIO_ENDPOINT_URL", url)
        with pytest.raises(DatasetError) as raised:
            ready.run(**whole)
    assert explain(raised.value).startswith("the object store does not answer")
    monkeypatch.setenv("MINIO_ENDPOINT_URL", direct)
    assert 0 < len(ready.objects()) < 4
    run = last_run(ready)
    assert (run["status"], run["failed_node"]) == ("FAILED", "validate_events")
    assert ready.rows("current_objects").empty
    assert ready.run(**whole) == "SUCCESS"
    assert len(ready.objects()) == 4


def test_a_store_or_database_that_accepts_and_stays_silent_is_an_error_within_20_seconds(ready):
    database = f"http://{ready.variables['PG_HOST']}:{ready.variables['PG_PORT']}"
    store = ready.variables["MINIO_ENDPOINT_URL"]
    command = ["run", "--pipeline", "ingestion", "--env", "minio", "--params", f"logical_date={DAY}"]
    with start_proxy(store, Fault(stall=True)) as lake, start_proxy(database, Fault(stall=True)) as registry:
        silent = {"MINIO_ENDPOINT_URL": lake}, {"PG_PORT": registry.rpartition(":")[2]}
        for variables, name in zip(silent, ("the object store", "the registry"), strict=True):
            started = time.monotonic()
            done = ready.cli(*command, **variables)
            assert time.monotonic() - started < 20  # its start-up included, beside a second worker
            assert done.returncode == 1
            assert done.stderr.splitlines()[-1].startswith(f"Error: {name}")
    run = last_run(ready)
    assert run["status"] == "FAILED"
    assert run["error"].startswith("the object store does not answer")


def test_a_disk_that_takes_no_more_leaves_nothing_and_a_rerun_succeeds(embedded):
    embedded.run(logical_date="2024-04-18")
    params = f"logical_date={DAY},generator.n_events=200000"
    process = embedded.start("run", "--pipeline", "ingestion", "--params", params)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (600_000, 600_000))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("Error: no space left")
    assert [path for path in Path(embedded.root / "data").rglob("*.tmp")] == []
    assert last_run(embedded)["status"] == "FAILED"
    assert len(embedded.rows("current_objects")) == 1
    assert embedded.run() == "SUCCESS"


def test_a_run_that_was_declared_dead_cannot_commit(anywhere):
    with anywhere.session(logical_date=DAY, generator__n_events=10) as session:
        session._hook_manager.register(DeclareDead(anywhere.url))
        with pytest.raises(DatasetError, match="so it may not commit"):
            session.run(pipeline_names=["ingestion"])
    assert anywhere.rows("ingestion_batches").empty
    assert anywhere.rows("pipeline_runs")["status"].tolist() == ["ABANDONED"]


class DeclareDead:
    """Marks the run as abandoned just before it commits, as a successor would."""

    def __init__(self, url: str) -> None:
        self.url = url

    @hook_impl
    def before_node_run(self, node) -> None:
        if node.name == "commit_batch":
            with connect(self.url).begin() as connection:
                connection.execute(text("UPDATE pipeline_runs SET status = 'ABANDONED'"))
