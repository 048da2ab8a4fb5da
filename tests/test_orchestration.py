"""The flows on real Prefect servers: a temporary one, and one that stays and schedules."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from conftest import DAY, ROOT, Project
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.deployments import run_deployment
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, temporary_settings
from proxy import Fault, start_proxy
from servers import find_free_ports
from sqlalchemy.exc import OperationalError
from test_conventions import REFERENCES
from test_ingestion import HEADER, write_log, zeek_line
from test_kinds import REAL, RESERVED, look

from network_anomalies.errors import ContractError, Interrupted, ProjectError, explain, is_transient
from network_anomalies.orchestration import data_ingestion_flow, flows, full_mlops_flow
from network_anomalies.orchestration.__main__ import main
from network_anomalies.orchestration.flow_project import list_modelling
from network_anomalies.orchestration.tasks import RETRY_SECONDS, run_pipeline, should_retry

TEN = {"generator": {"n_events": 10}}
THE_DAY = date.fromisoformat(DAY)
CONN_LOG = """#separator \\x09
#path	conn
#fields	ts	id.orig_h	id.resp_h	proto	duration	orig_ip_bytes	resp_ip_bytes
1713440000.000000	10.0.0.1	192.0.2.1	tcp	1.0	10	20
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a server as `prefect server start` starts it."""
    home = tmp_path_factory.mktemp("prefect")
    (port,) = find_free_ports(1)
    variables = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    url = f"http://127.0.0.1:{port}/api"
    with process(
        "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), log=home / "log", **variables
    ):
        deadline = time.monotonic() + 90
        while not is_up(url):
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.2)
        yield url


@pytest.fixture
def client(api: str, tmp_path: Path) -> Iterator[SyncPrefectClient]:
    """A client of that server, which flows called in this process use too."""
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def here(embedded: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An embedded project that is the working directory."""
    monkeypatch.chdir(embedded.root)
    return embedded


@contextmanager
def process(module: str, *arguments: str, log: Path, **variables: str) -> Iterator[subprocess.Popen]:
    """A Python module run in a group of its own, which is ended with it."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=log.parent,
            env=os.environ | variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=1).ok
    except requests.RequestException:
        return False


def one_line(output: str) -> str:
    """Return the last line of a command's output, which is its error."""
    return output.splitlines()[-1]


def invoke(*arguments: str) -> str:
    """Run the command in this process; return the error that it ends with."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output
    return one_line(result.output)


def read_attempts(client: SyncPrefectClient) -> int:
    """Return how often the latest task was run."""
    (latest,) = client.read_task_runs(limit=1, sort="EXPECTED_START_TIME_DESC")
    return latest.run_count


@pytest.mark.slow(reason="Prefect makes a database and starts a server")
def test_without_a_server_a_temporary_one_does(here, tmp_path):
    command = ["ingestion", "--date", DAY, "--params", "generator.n_events=10"]
    with process("network_anomalies.orchestration", *command, log=here.root / "log", PREFECT_HOME=str(tmp_path)) as run:
        assert run.wait(120) == 0, (here.root / "log").read_text()
    assert "status='SUCCESS'" in (here.root / "log").read_text()
    assert set(here.rows("pipeline_runs")["status"]) == {"SUCCESS"}


def test_a_day_goes_from_a_subflow_through_one_task_per_pipeline(here, client):
    result = full_mlops_flow(THE_DAY, params=TEN)
    assert (result.source, result.logical_date, result.status, result.accepted) == ("synthetic", THE_DAY, "SUCCESS", 10)
    assert (here.root / result.local_path).read_bytes() == (here.root / result.object_uri).read_bytes()
    runs = here.rows("pipeline_runs")
    assert runs["pipeline"].tolist() == ["ingestion", *list_modelling()]
    assert set(runs["logical_date"]) == {DAY}
    (parent,) = set(runs["parent_run_id"])
    assert client.read_flow_run(parent).flow_id == client.read_flow_by_name("full-mlops").id


def test_ingestion_shows_its_rows_uri_status_and_log_lines(here, client):
    result = data_ingestion_flow(THE_DAY, params=TEN)
    (artifact,) = client.request("POST", "/artifacts/filter", json={"limit": 1, "sort": "CREATED_DESC"}).json()
    for words in (f"| ingestion | SUCCESS | `{result.run_id}` |", "| events accepted | 10 |", f"`{result.object_uri}`"):
        assert words in artifact["data"]
    run_id = here.rows("pipeline_runs")["parent_run_id"].item()
    wanted = {"flow_run_id": {"any_": [run_id]}}
    deadline = time.monotonic() + 15
    loggers: set[str] = set()
    while not {"network_anomalies.terminal", "network_anomalies.pipelines.ingestion.account"} <= loggers:
        assert time.monotonic() < deadline, loggers
        logs = client.request("POST", "/logs/filter", json={"logs": wanted}).json()
        loggers = {log["name"] for log in logs if log["task_run_id"]}
    assert any(name.startswith("kedro.runner") for name in loggers)


def test_a_second_run_is_unchanged_and_of_several_parts_the_folders_are_named(here, client):
    parts = {"generator": {"n_events": 20, "part_events": 10}}
    first, second = (data_ingestion_flow(THE_DAY, params=parts) for _ in range(2))
    assert (first.status, second.status) == ("SUCCESS", "UNCHANGED")
    assert first.run_id != second.run_id
    assert second.local_path == "data/ingested"
    assert len(list((here.root / second.object_uri).glob("*.parquet"))) == 2


def test_real_logs_take_their_own_pipeline(here, client):
    (here.root / "conn.log").write_text(CONN_LOG)
    logs = {"logs": {"path": str(here.root / "conn.log")}, "source": "zeek"}
    result = data_ingestion_flow(date(2024, 4, 18), params=logs, pipeline="log_ingestion")
    assert (result.source, result.accepted) == ("zeek", 1)


@pytest.mark.slow(reason="a scheduler polls, and each flow is a process of its own")
def test_a_served_schedule_runs_daily_and_on_the_day_it_was_meant_for(here, client, api):
    served = {"PREFECT_API_URL": api, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    names = ["data-ingestion/ingestion", "full-mlops/full"]
    arguments = ("serve", "--params", "generator.n_events=2000")
    with process("network_anomalies.orchestration", *arguments, log=here.root / "log", **served):
        deadline = time.monotonic() + 60
        while len(client.read_deployments()) < 2:
            assert time.monotonic() < deadline, (here.root / "log").read_text()
            time.sleep(0.2)
        schedules = [client.read_deployment_by_name(name).schedules[0].schedule for name in names]
        assert {(schedule.cron, schedule.timezone) for schedule in schedules} == {("0 2 * * *", "UTC")}
        now = datetime.now(UTC)
        moments = [now + timedelta(seconds=3), now - timedelta(days=3)]
        runs = [
            run_deployment(name, scheduled_time=moment, timeout=0) for name, moment in zip(names, moments, strict=True)
        ]
        while any(not client.read_flow_run(run.id).state.is_final() for run in runs):
            assert time.monotonic() < deadline + 30, (here.root / "log").read_text()
            time.sleep(0.5)
    assert [client.read_flow_run(run.id).state.name for run in runs] == ["Completed", "Completed"]
    days = {moment.date() - timedelta(days=1) for moment in moments}
    assert set(here.rows("ingestion_batches")["logical_date"]) == {str(day) for day in days}


def test_a_store_that_comes_back_is_tried_again_and_one_batch_committed(ready, client, monkeypatch):
    monkeypatch.chdir(ready.root)
    fault = Fault(reset_after=0)

    def heal(*arguments) -> bool:
        fault.reset_after = None
        return should_retry(*arguments)

    quick = run_pipeline.with_options(retry_delay_seconds=[0.1], retries=1, retry_condition_fn=heal)
    monkeypatch.setattr(flows, "run_pipeline", quick)
    with start_proxy(os.environ["MINIO_ENDPOINT_URL"], fault) as url:
        monkeypatch.setenv("MINIO_ENDPOINT_URL", url)
        result = data_ingestion_flow(env="minio", params=TEN)
    assert result.status == "SUCCESS"
    assert result.object_uri.startswith("s3://")
    runs = ready.rows("pipeline_runs").sort_values("started_at")
    assert runs["status"].tolist() == ["FAILED", "SUCCESS"]
    assert (runs["logical_date"].nunique(), runs["parent_run_id"].nunique()) == (1, 1)
    assert ready.rows("ingestion_batches")["run_id"].tolist() == [runs["run_id"].iloc[1]]


def test_a_store_that_is_away_for_a_minute_is_waited_for():
    assert sum(RETRY_SECONDS) > 60
    assert run_pipeline.retries == len(RETRY_SECONDS)
    assert sorted(RETRY_SECONDS) == RETRY_SECONDS


def test_events_that_break_the_contract_are_not_tried_again(here, client):
    (here.root / "conn.log").write_text(CONN_LOG)
    logs = {"logs": {"path": str(here.root / "conn.log")}, "source": "zeek"}
    with pytest.raises(Exception, match="no flows of 2024-04-19"):
        data_ingestion_flow(THE_DAY, params=logs, pipeline="log_ingestion")
    assert here.rows("pipeline_runs")["status"].tolist() == ["FAILED"]
    assert read_attempts(client) == 1


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"generator": {"n_event": 10}}, "unknown parameter generator.n_event: did you mean generator.n_events?"),
        ({"logical_date": "2999-01-01"}, "logical_date 2999-01-01 is in the future"),
    ],
)
def test_parameters_that_are_wrong_are_not_tried_again(here, client, params, words):
    with pytest.raises(Exception, match=re.escape(words)) as raised:
        data_ingestion_flow(params=params)
    assert words in explain(raised.value)
    assert read_attempts(client) == 1


def chain(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionRefusedError(111, "Connection refused"), True),
        (TimeoutError("timed out"), True),
        (OSError(16, "An error occurred (SlowDown) when calling the PutObject operation"), True),
        (OSError(5, "An error occurred (503) when calling the HeadObject operation"), True),
        (OperationalError("SELECT 1", {}, Exception("could not connect to server: Connection refused")), True),
        (OperationalError("SELECT 1", {}, Exception("database is locked")), True),
        (chain(RuntimeError("save"), ConnectionResetError(104, "Connection reset by peer")), True),
        (OperationalError("SELECT 1", {}, Exception('password authentication failed for user "ops"')), False),
        (PermissionError(13, "An error occurred (403) when calling the PutObject operation: Forbidden"), False),
        (FileNotFoundError(2, "The specified bucket does not exist"), False),
        (OSError(28, "No space left on device"), False),
        (chain(RuntimeError("run"), ContractError("no events")), False),
        (chain(ProjectError("wrong parameter"), ConnectionResetError(104, "Connection reset by peer")), False),
        (Interrupted("interrupted by SIGTERM"), False),
        (ValueError("a bug"), False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_only_what_time_may_mend_is_transient(error, transient):
    assert is_transient(error) is transient


def test_events_of_the_other_kind_are_refused_before_any_run(here, client):
    write_log(here, "conn.log", HEADER + zeek_line(1))
    here.run("log_ingestion", source="zeek")
    before = look(here)
    with pytest.raises(Exception) as raised:
        data_ingestion_flow(DAY, None, {"source": "zeek"})
    assert explain(raised.value).startswith(REAL)
    with pytest.raises(Exception) as raised:
        data_ingestion_flow(DAY, None, None, "log_ingestion")
    assert explain(raised.value) == RESERVED
    assert look(here) == before


def test_without_credentials_every_missing_variable_is_named(here, client, monkeypatch):
    for name in REFERENCES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PG_HOST", "127.0.0.1")
    for flow in (data_ingestion_flow, full_mlops_flow):
        with pytest.raises(ProjectError, match="are not set where the flow runs") as raised:
            flow(THE_DAY, env="minio")
        assert set(str(raised.value).partition(" are ")[0].split(", ")) == REFERENCES - {"PG_HOST"}
    assert not (here.root / "data").exists()


@pytest.mark.parametrize("command", ["ingestion", "serve"])
def test_a_server_that_does_not_answer_is_named(here, command):
    (port,) = find_free_ports(1)
    url = f"http://127.0.0.1:{port}/api"
    with temporary_settings({PREFECT_API_URL: url}):
        assert invoke(command).startswith(f"Error: the Prefect server at {url} does not answer: start it")


@pytest.mark.parametrize("cron", ["0 25 * * *", "daily", "", "0 2 * *"])
def test_a_wrong_cron_expression_is_refused_at_once(here, cron):
    assert invoke("serve", "--cron", cron).startswith(f"Error: --cron {cron!r} is no cron expression")


def test_a_schedule_needs_a_server(here):
    assert invoke("serve").startswith("Error: a schedule needs a permanent Prefect server")


def test_outside_a_project_the_flow_says_so(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProjectError, match="belongs to no Kedro project"):
        data_ingestion_flow()


def test_the_deployments_of_prefect_yaml_are_accepted_and_their_flows_found(here, client, api):
    (here.root / "prefect.yaml").write_bytes((ROOT / "prefect.yaml").read_bytes())
    client.request("POST", "/work_pools/", json={"name": "network-anomalies", "type": "process"})
    with process("prefect", "--no-prompt", "deploy", "--all", log=here.root / "log", PREFECT_API_URL=api) as deploy:
        assert deploy.wait(60) == 0, (here.root / "log").read_text()
    for name, flow in (("data-ingestion/ingestion", data_ingestion_flow), ("full-mlops/full", full_mlops_flow)):
        deployment = client.read_deployment_by_name(name)
        assert load_flow_from_entrypoint(deployment.entrypoint).name == flow.name
        assert deployment.pull_steps[0]["prefect.deployments.steps.set_working_directory"]["directory"] == str(
            here.root
        )
        assert (deployment.schedules[0].schedule.cron, deployment.parameters) == ("0 2 * * *", {"env": "minio"})


def test_without_prefect_the_way_to_it_is_named():
    code = "import sys; sys.modules['prefect'] = None; import network_anomalies.orchestration"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install -c constraints.txt -e '.[prefect]'" in one_line(done.stderr)
