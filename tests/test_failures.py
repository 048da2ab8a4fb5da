"""What goes wrong in the middle of a run: readers never see a half, the run's row says what happened, a rerun heals."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from conftest import DAY, Project
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from proxy import Fault, start_proxy
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from network_anomalies.errors import ProjectError, explain
from network_anomalies.hooks import describe_selection
from network_anomalies.registry.engine import connect
from network_anomalies.registry.locks import hold_lock
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
    with pytest.raises(ProjectError, match="no raw objects"):
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


@pytest.mark.slow(reason="the limits of a real run pass")
def test_a_store_or_database_that_accepts_and_stays_silent_is_an_error_within_20_seconds(ready):
    database = f"http://{ready.variables['PG_HOST']}:{ready.variables['PG_PORT']}"
    store = ready.variables["MINIO_ENDPOINT_URL"]
    command = ["run", "--pipeline", "ingestion", "--env", "minio", "--params", f"logical_date={DAY}"]
    with start_proxy(store, Fault(stall=True)) as lake, start_proxy(database, Fault(stall=True)) as registry:
        silent = {
            "the registry": {"PG_PORT": registry.rpartition(":")[2]},
            "the object store": {"MINIO_ENDPOINT_URL": lake},
        }
        for name, variables in silent.items():  # one after the other: their start-up counts
            started = time.monotonic()
            output, _ = (process := ready.start(*command, **variables)).communicate(timeout=60)
            assert time.monotonic() - started < 20  # its start-up included, beside a second worker
            assert process.returncode == 1
            assert output.splitlines()[-1].startswith(f"Error: {name}")
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
        if node.name == "assemble_batch":
            with connect(self.url).begin() as connection:
                connection.execute(text("UPDATE pipeline_runs SET status = 'ABANDONED'"))


class Doing:
    """Another plug-in's hooks: does something at one moment of a run."""

    def __init__(self, moment: str, action: Callable[[], object], name: str = "") -> None:
        self.moment, self.action, self.name = moment, action, name

    def _act(self, moment: str, name: str = "") -> None:
        if (moment, name) == (self.moment, self.name):
            self.action()

    @hook_impl
    def before_pipeline_run(self) -> None:
        self._act("before_pipeline_run")

    @hook_impl
    def before_node_run(self, node) -> None:
        self._act("before_node_run", node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name) -> None:
        self._act("after_dataset_saved", dataset_name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        self._act("after_pipeline_run")


class DoingFirst(Doing):
    """The same, but before the run is closed."""

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        super().after_pipeline_run()


def fail(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def run_beside(project: Project, hooks: Doing, pipeline: str = "ingestion") -> None:
    with project.session(logical_date=DAY, generator__n_events=10) as session:
        session._hook_manager.register(hooks)
        session.run(pipeline_names=[pipeline])


def is_free(project: Project) -> bool:
    with hold_lock(project.stores.engine, "synthetic", date.fromisoformat(DAY)) as held:
        return held


def rename_column(project: Project, table: str, column: str) -> None:
    with project.stores.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME COLUMN {column} TO gone"))


def test_what_a_run_did_cannot_be_shown_and_the_run_is_closed_all_the_same(anywhere, caplog):
    breaking = DoingFirst("after_pipeline_run", lambda: rename_column(anywhere, "ingestion_events", "part"))
    run_beside(anywhere, breaking)
    assert last_run(anywhere)["status"] == "SUCCESS"
    assert is_free(anywhere)
    (said,) = (record.message for record in caplog.records if "cannot be shown" in record.message)
    assert said.startswith(f"Run {last_run(anywhere)['run_id']} is SUCCESS; its results cannot be shown")


def test_a_status_that_cannot_be_found_makes_the_run_failed_and_holds_no_lock(anywhere):
    breaking = DoingFirst("after_pipeline_run", lambda: rename_column(anywhere, "alerts", "run_id"))
    with pytest.raises(DatabaseError):
        run_beside(anywhere, breaking)
    assert last_run(anywhere)["status"] == "FAILED"
    assert "run_id" in last_run(anywhere)["error"]
    assert is_free(anywhere)


def test_a_node_that_ends_its_process_leaves_a_run_that_the_next_one_closes(anywhere):
    with pytest.raises(SystemExit):
        run_beside(anywhere, Doing("before_node_run", fail(SystemExit(3)), "validate_events"))
    assert not is_free(anywhere)
    assert anywhere.run() == "SUCCESS"
    first = anywhere.rows("pipeline_runs").sort_values("started_at").iloc[0]
    assert (first["status"], first["failed_node"]) == ("FAILED", "validate_events")
    assert "such as by sys.exit" in first["error"]
    assert is_free(anywhere)


def test_a_process_that_ends_in_a_node_closes_its_run(embedded):
    script = """
import sys
from kedro.framework.project import configure_project
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
class Ending:
    @hook_impl
    def before_node_run(self, node):
        sys.exit(3)
configure_project("network_anomalies")
with KedroSession.create(".", runtime_params={"logical_date": "2024-04-19"}) as session:
    session._hook_manager.register(Ending())
    session.run(pipeline_names=["ingestion"])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=embedded.root, check=False, timeout=60)
    assert done.returncode == 3
    assert last_run(embedded)["status"] == "FAILED"


def test_an_error_of_another_plug_in_leaves_nothing_open(anywhere):
    for moment in ("before_pipeline_run", "after_pipeline_run"):
        with pytest.raises(ValueError, match="not mine"):
            run_beside(anywhere, Doing(moment, fail(ValueError("not mine"))))
        assert is_free(anywhere)
    assert anywhere.rows("pipeline_runs")["status"].tolist() == ["SUCCESS"]


def test_the_node_whose_input_cannot_be_loaded_is_named(anywhere):
    with pytest.raises(ProjectError, match="no raw objects"):
        anywhere.run("transformation")
    assert last_run(anywhere)["failed_node"] == pipelines["transformation"].nodes[0].name
    report = f"{anywhere.stores.buckets['reports']}/reports/synthetic/{DAY}/quality_report.json"
    with pytest.raises(ProjectError, match="quality_report of that source and date is not there yet"):
        run_beside(
            anywhere, Doing("after_dataset_saved", lambda: anywhere.stores.lake.rm_file(report), "quality_report")
        )
    readers = {node.name for node in pipelines["ingestion"].nodes if "quality_report" in node.inputs}
    assert last_run(anywhere)["failed_node"] in readers


def test_a_part_of_a_pipeline_is_recorded_as_such(embedded):
    with embedded.session(logical_date=DAY, generator__n_events=10) as session:
        session.run(pipeline_names=["ingestion"], to_nodes=["plan_events"])
    assert embedded.run() == "SUCCESS"
    runs = embedded.load("pipeline_runs")
    assert runs["selection"].fillna("all").tolist() == ["to_nodes=plan_events", "all"]
    assert embedded.load("pipeline_runs", logical_date="2024-04-18").empty
    with pytest.raises(DatasetError, match="pipeline_runs is read only"):
        embedded.session(logical_date=DAY).load_context().catalog.save("pipeline_runs", runs)


@pytest.mark.parametrize(
    ("run_params", "said"),
    [
        ({}, None),
        ({"tags": (), "from_nodes": [], "only_missing_outputs": False, "load_versions": {}}, None),
        ({"tags": ("a", "b"), "namespaces": ["n"]}, "tags=a,b; namespaces=n"),
        ({"node_names": ("x",), "load_versions": {"y": "2"}}, "node_names=x; load_versions=y:2"),
        ({"from_inputs": ["i"], "to_outputs": ["o"]}, "from_inputs=i; to_outputs=o"),
        ({"only_missing_outputs": True}, "only_missing_outputs"),
    ],
)
def test_a_selection_is_said_in_one_line(run_params, said):
    assert describe_selection(run_params) == said


def test_a_runner_of_processes_is_refused_before_a_row_opens(embedded):
    done = embedded.invoke("run", "--pipeline", "ingestion", "--runner", "ParallelRunner")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ParallelRunner cannot run these pipelines")
    assert not (embedded.root / "data").exists()
