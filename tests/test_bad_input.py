"""Bad input: one line that names the cause and the way out, exit code 1, nothing committed, no secret shown."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from conftest import DAY, Project

from network_anomalies.cli import cli
from network_anomalies.orchestration.__main__ import main
from network_anomalies.registry.engine import HEAD

RUN = ("run", "--pipeline", "ingestion", "--params", f"logical_date={DAY},generator.n_events=10")


def invoke(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.chdir(project.root)
    return CliRunner().invoke(cli, [*arguments, "--env", project.env])


def last_line(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("generator.n_event=5", "unknown parameter generator.n_event: did you mean generator.n_events?"),
        ("logicaldate=2024-04-19", "unknown parameter logicaldate: did you mean logical_date?"),
        ("logical_date=2024-02-30", "parameter logical_date is '2024-02-30': write a date as YYYY-MM-DD"),
        ("logical_date=19.4.2024", "parameter logical_date is '19.4.2024': write a date as YYYY-MM-DD"),
        ("logical_date=9999-01-01", "logical_date 9999-01-01 is in the future (UTC): give a day that has begun"),
        ("generator.n_events=0", "parameter generator.n_events is 0: input should be greater than or equal to 10"),
        (
            "gate.max_rejected_share=2",
            "parameter gate.max_rejected_share is 2: input should be less than or equal to 1",
        ),
        ("source=../x", "parameter source is '../x': a name has 1 to 63 small letters"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_run_opens(embedded, monkeypatch, params, said):
    assert last_line(invoke(embedded, monkeypatch, *RUN[:-1], params)).startswith(f"Error: {said}")
    assert not (embedded.root / "data").exists()


@pytest.mark.parametrize("variable", ["PG_HOST", "PG_PASSWORD", "MINIO_ENDPOINT_URL", "MINIO_SECRET_KEY"])
def test_an_environment_variable_that_is_not_set_is_named_before_any_run_opens(ready, monkeypatch, variable):
    monkeypatch.delenv(variable)
    said = last_line(invoke(ready, monkeypatch, *RUN))
    assert said == f"Error: the environment variable {variable} is not set: set it, or choose another --env"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("local", "Error: conf/local holds no credentials: copy conf/minio/credentials.yml"),
        ("nowhere", "Error: there is no environment nowhere"),
    ],
)
def test_an_environment_that_is_not_there_is_named(embedded, monkeypatch, env, said):
    if env == "local":
        (embedded.root / "conf/local").mkdir()
    assert last_line(invoke(Project(embedded.root, env), monkeypatch, *RUN)).startswith(said)


def test_a_pipeline_that_is_not_there_is_named(embedded, monkeypatch):
    said = last_line(invoke(embedded, monkeypatch, "run", "--pipelines", "ingestoin"))
    assert said.startswith("Error: Failed to find the pipeline named 'ingestoin'.") and said.endswith("ingestion")


def test_a_defect_shows_its_traceback_once_and_then_its_line(embedded, monkeypatch):
    def plan_day(*_):
        return undefined_name  # noqa: F821

    monkeypatch.setattr("network_anomalies.pipelines.ingestion.sources.plan_day", plan_day)
    result = invoke(embedded, monkeypatch, *RUN)
    assert last_line(result) == "Error: NameError: name 'undefined_name' is not defined"
    assert result.stderr.count("Traceback") == 1
    assert result.stderr.count(f'File "{__file__}", line') == 1
    assert "return undefined_name" in result.stderr


def test_a_traceback_is_shown_where_it_is_asked_for_and_nowhere_else(embedded, monkeypatch):
    wrong = (*RUN[:-1], "generator.n_events=0")
    plain, traced = (invoke(embedded, monkeypatch, *wrong, *more) for more in ((), ("--traceback",)))
    assert "Traceback" not in plain.stderr
    assert traced.stderr.startswith("Traceback") and "parameters.py" in traced.stderr
    assert last_line(traced) == last_line(plain)


def test_every_command_can_show_a_traceback():
    for command in (*cli.commands.values(), *main.commands.values()):
        assert "--traceback" in [name for option in command.params for name in option.opts], command.name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--async",), "--async does not work here"),
        (("--runner-params", "is_async=True"), "leave --async (is_async) out"),
        (("--to-nodes", "nowhere"), "Pipeline does not contain nodes named ['nowhere']."),
        (("--nodes", "validate_events"), "this dataset has content only during a run"),
        (("--runner", "NoSuchRunner"), "there is no such runner"),
    ],
)
def test_an_option_that_cannot_work_is_one_line(embedded, monkeypatch, options, said):
    result = invoke(embedded, monkeypatch, *RUN, *options)
    assert said in last_line(result)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"MINIO_SECRET_KEY": "wr0ng/secret"}, "the object store refused the credentials"),
        ({"MINIO_ACCESS_KEY": "nobody"}, "the object store refused the credentials"),
        ({"MINIO_ENDPOINT_URL": "http://127.0.0.1:9"}, "the object store does not answer"),
    ],
)
def test_a_store_that_cannot_be_used_is_recorded_in_the_runs_row(ready, monkeypatch, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert last_line(invoke(ready, monkeypatch, *RUN)).startswith(f"Error: {said}")
    (run,) = ready.rows("pipeline_runs").to_dict("records")
    assert (run["status"], run["failed_node"]) == ("FAILED", "validate_events")
    assert run["error"].startswith(said)
    assert ready.rows("current_objects").empty


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PG_PASSWORD": "wr@ng:/pass%"}, "the registry failed: it refused the login: check PG_USER and PG_PASSWORD"),
        ({"PG_DATABASE": "nowhere"}, "the registry failed: it has no such database: check PG_DATABASE"),
        ({"PG_PORT": "9"}, "the registry failed: it does not answer: check PG_HOST and PG_PORT"),
        ({"PG_PORT": "many"}, "PG_PORT is 'many': give the number of a port"),
        ({"PG_HOST": "no-such-host.invalid"}, "the registry failed: it does not answer: check PG_HOST and PG_PORT"),
    ],
)
def test_a_registry_that_cannot_be_used_is_named(ready, monkeypatch, variables, said):
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        result = invoke(ready, patch, *RUN)
    assert last_line(result).startswith(f"Error: {said}")
    assert "wr@ng" not in result.output and ready.objects() == []


def test_a_missing_schema_or_bucket_asks_for_setup(served, monkeypatch):
    assert "has no schema: run `kedro setup`" in last_line(invoke(served, monkeypatch, *RUN))
    assert invoke(served, monkeypatch, "setup").exit_code == 0
    places = served.root / "conf/base/globals.yml"
    places.write_text(places.read_text().replace("-raw", "-elsewhere"))
    assert "a bucket of the lake does not exist: run `kedro setup`" in last_line(invoke(served, monkeypatch, *RUN))
    (run,) = served.rows("pipeline_runs").to_dict("records")
    assert run["status"] == "FAILED"


def test_setup_says_what_it_made_and_then_what_is_there(served, monkeypatch):
    first = invoke(served, monkeypatch, "setup").output.splitlines()
    again = invoke(served, monkeypatch, "setup").output.splitlines()
    assert [line.rpartition(": ")[2] for line in first[:-1]] == ["made"] * 5
    assert [line.rpartition(": ")[2] for line in again[:-1]] == ["there"] * 5
    assert first[-1] == f"registry schema: made version {HEAD} from nothing"
    assert again[-1] == f"registry schema: there, version {HEAD}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: remove it, or give the log that was meant"),
        ("time,src,dst\n1,2,3\n", "is not a Zeek conn.log: it does not begin with the # header of one"),
        ("#path\thttp\n#fields\tts\tuid\n", "is not a Zeek conn.log"),
        ("#path\tconn\n#fields\tts\tuid\n", "is a Zeek conn.log without id.orig_h"),
    ],
)
def test_a_file_that_is_no_zeek_log_is_named_and_the_run_recorded(embedded, monkeypatch, text, said):
    log = embedded.root / "some.log"
    log.write_text(text)
    params = f"source=zeek,logical_date={DAY},logs.path={log},logs.format=zeek"
    assert said in last_line(invoke(embedded, monkeypatch, "run", "--pipeline", "log_ingestion", "--params", params))
    (run,) = embedded.rows("pipeline_runs").to_dict("records")
    assert (run["status"], run["failed_node"], run["source"]) == ("FAILED", "index_log_files", "zeek")
    assert run["error"].startswith(str(log))


def test_a_batch_over_the_rejection_budget_commits_nothing_and_keeps_the_rejects(embedded, monkeypatch):
    from test_ingestion import HEADER, write_log, zeek_line

    write_log(embedded, "conn.log", HEADER + zeek_line(1) * 3 + zeek_line(2, proto="nonsense"))
    params = f"source=zeek,logical_date={DAY}"
    said = last_line(invoke(embedded, monkeypatch, "run", "--pipeline", "log_ingestion", "--params", params))
    assert said.startswith(f"Error: 25.0% of the flows of zeek on {DAY} break the contract (protocol_unknown 1)")
    assert embedded.rows("pipeline_runs")["status"].tolist() == ["FAILED"]
    assert embedded.rows("current_objects").empty
    (kept,) = embedded.objects("quarantine")
    assert Path(kept).name in said
    assert pd.read_parquet(kept)["rule"].tolist() == ["protocol_unknown"]


def test_no_secret_is_shown_whatever_fails(ready):
    secrets = [ready.variables["PG_PASSWORD"], ready.variables["MINIO_SECRET_KEY"]]
    wrong = ({}, {"MINIO_ACCESS_KEY": "nobody"}, {"PG_PORT": "9"}, {"PG_DATABASE": "nowhere"})
    runs = [ready.start(*RUN, "--env", "minio", **variables, KEDRO_LOGGING_CONFIG="") for variables in wrong]
    shown = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs[1:]] == [1, 1, 1]
    shown += [ready.rows(table).to_csv() for table in ("pipeline_runs", "ingestion_batches", "ingestion_events")]
    for secret in secrets:
        for form in (secret, quote(secret, safe="")):
            assert not any(form in text for text in shown)


def test_a_password_that_a_url_would_misread_works(ready):
    assert set("@/:#%") <= set(ready.variables["PG_PASSWORD"])
    assert ready.run() == "SUCCESS"
    assert ready.rows("pipeline_runs")["status"].tolist() == ["SUCCESS"]


def test_a_run_id_can_be_given_and_used_once(embedded, monkeypatch):
    run = (*RUN[:-1], f"{RUN[-1]},run_id=nightly-1")
    assert invoke(embedded, monkeypatch, *run).exit_code == 0
    assert last_line(invoke(embedded, monkeypatch, *run)) == (
        "Error: run id nightly-1 was used before: leave run_id out, or give a new one"
    )
    with sqlite3.connect(embedded.root / "data/registry.db") as connection:
        assert connection.execute("SELECT run_id, status FROM pipeline_runs").fetchall() == [("nightly-1", "SUCCESS")]
