"""A source holds synthetic events or real logs, never both, whoever asks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product

import pytest
import sqlalchemy
from conftest import DAY, DAY_BEFORE, NEXT_DAY
from kedro.framework.session.service_session import KedroServiceSession
from test_ingestion import HEADER, write_log, zeek_line

from network_anomalies.errors import explain

REAL = "source zeek holds real logs, and synthetic events would replace them"
RESERVED = "source synthetic is the generator's: name the sensor, --params source=NAME"


@pytest.fixture
def sensor(anywhere):
    """A project that holds a day of a Zeek sensor."""
    write_log(anywhere, "conn.log", HEADER + "".join(zeek_line(second) for second in range(5)))
    anywhere.run("log_ingestion", source="zeek")
    return anywhere


def look(project):
    """Return what a refused run must leave as it is."""
    tables = [project.rows(name).to_csv() for name in ("sources", "pipeline_runs", "ingestion_batches")]
    return tables, project.objects(), project.objects("quarantine"), project.manifests()


def refuse(ask):
    with pytest.raises(Exception) as raised:
        ask()
    return explain(raised.value)


def by_session(project, pipeline, params):
    with project.session(**params) as session:
        session.run(pipeline_names=[pipeline])


def by_service_session(project, pipeline, params):
    with KedroServiceSession.create(project_path=project.root, env=project.env) as session:
        session.run(pipeline_names=[pipeline], runtime_params=params)


def by_thread(project, pipeline, params):
    with ThreadPoolExecutor(1) as threads:
        threads.submit(by_session, project, pipeline, params).result()


WAYS = [by_session, by_service_session, by_thread]


# A refusal leaves everything as it was, so one project is asked in all ways.


def test_synthetic_events_never_replace_logs(sensor):
    before = look(sensor)
    for pipeline, way in product(("ingestion", "full", "__default__"), WAYS):
        said = refuse(lambda pipeline=pipeline, way=way: way(sensor, pipeline, {"logical_date": DAY, "source": "zeek"}))
        assert said.startswith(REAL), (pipeline, way)
        assert look(sensor) == before, (pipeline, way)
    assert len(sensor.load("raw_network_events", source="zeek")) == 5


def test_the_command_line_refuses_in_one_line(sensor):
    before = look(sensor)
    params = f"source=zeek,logical_date={DAY}"
    for arguments in ((), ("--pipeline", "ingestion"), ("--pipelines", "ingestion,transformation")):
        done = sensor.invoke("run", *arguments, "--env", sensor.env, "--params", params)
        assert done.returncode == 1, arguments
        assert done.stderr.splitlines()[-1].startswith(f"Error: {REAL}"), arguments
        assert "Traceback" not in done.stdout + done.stderr, arguments
        assert look(sensor) == before, arguments


def test_logs_need_a_source_of_their_own(embedded):
    write_log(embedded, "conn.log", HEADER + zeek_line(1))
    embedded.stores.engine.connect().close()
    for way, pipeline, source in product(WAYS, ("log_ingestion", "log_full"), ({}, {"source": "synthetic"})):
        said = refuse(
            lambda way=way, pipeline=pipeline, source=source: way(embedded, pipeline, {"logical_date": DAY} | source)
        )
        assert said == RESERVED, (way, pipeline, source)
    assert embedded.rows("pipeline_runs").empty
    assert embedded.objects() == []


def test_logs_never_go_into_a_source_of_synthetic_events(anywhere):
    anywhere.run(source="lab")
    write_log(anywhere, "conn.log", HEADER + zeek_line(1))
    before = look(anywhere)
    said = refuse(lambda: anywhere.run("log_ingestion", source="lab"))
    assert said.startswith("source lab holds synthetic events: give the logs a source of their own")
    assert look(anywhere) == before


def test_of_two_kinds_at_once_exactly_one_wins(anywhere):
    write_log(anywhere, "conn.log", HEADER + zeek_line(1))
    asked = [("ingestion", DAY_BEFORE), ("log_ingestion", DAY)]
    outcomes = run_at_once(anywhere, asked)
    (refused,) = [said for said in outcomes if said]
    assert refused.startswith(("source lab holds real logs", "source lab holds synthetic events"))
    assert len(anywhere.rows("sources")) == 1
    assert len(anywhere.rows("ingestion_batches")) == 1
    assert sorted(anywhere.rows("pipeline_runs")["status"]) == ["FAILED", "SUCCESS"]


def test_three_first_days_of_a_source_at_once_all_succeed(anywhere):
    asked = [("ingestion", day) for day in (DAY_BEFORE, DAY, NEXT_DAY)]
    assert run_at_once(anywhere, asked) == ["", "", ""]
    assert anywhere.rows("sources")["name"].tolist() == ["lab"]
    assert len(anywhere.rows("ingestion_batches")) == 3


def run_at_once(project, asked):
    """Run pipelines of one new source in threads; those that would make the source's row wait for each other."""
    barrier = threading.Barrier(len(asked))

    def meet(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO sources"):
            with suppress(threading.BrokenBarrierError):  # SQLite has one writer at a time: nobody else comes
                barrier.wait(3)

    def run(pipeline, day):
        params = {"logical_date": day, "source": "lab", "generator": {"n_events": 10}}
        try:
            by_session(project, pipeline, params)
        except Exception as error:
            return explain(error)
        return ""

    sqlalchemy.event.listen(project.stores.engine, "before_cursor_execute", meet)
    try:
        with ThreadPoolExecutor(len(asked)) as threads:
            return list(threads.map(run, *zip(*asked, strict=True)))
    finally:
        sqlalchemy.event.remove(project.stores.engine, "before_cursor_execute", meet)


@pytest.mark.parametrize("name", ["a/b", "../x", "Zeek", "x" * 64, "", "_manifests", "zeek 1", "zeek\n"])
def test_a_source_is_named_without_a_path(embedded, name):
    for pipeline in ("log_ingestion", "ingestion"):
        said = refuse(lambda pipeline=pipeline: by_session(embedded, pipeline, {"logical_date": DAY, "source": name}))
        assert said == (
            f"parameter source is {' '.join(repr(name).split())}: "
            "a name has 1 to 63 small letters, digits, _ and -, no path, and begins with a letter or digit"
        )
    assert not (embedded.root / "data").exists()
