"""Backfill: what the registry misses is run, once, several days at a time, and one failure stops no other day."""

import contextlib
import importlib.util
import os
import re
import signal
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st
from kedro.framework.project import pipelines
from sqlalchemy import insert, inspect

from network_anomalies.backfill.plan import choose_days, parse_share
from network_anomalies.backfill.workers import PRELOADED, DayRun, RunSettings, run_day
from network_anomalies.cli import cli
from network_anomalies.errors import ProjectError
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.locks import hold_lock
from network_anomalies.registry.tables import pipeline_runs, sources
from network_anomalies.runs.stages import GROUPS, STAGES, list_stages

START, END = "2024-04-17", "2024-04-20"
RANGE = ("--start", START, "--end", END)
DAYS = ["2024-04-17", "2024-04-18", "2024-04-19", "2024-04-20"]
TODAY = date(2024, 5, 1)
TEN = "generator.n_events=10"


def test_what_workers_are_forked_with_is_there():
    """A process that is to be forked imports what it can, and says nothing of the rest."""
    assert [name for name in PRELOADED if importlib.util.find_spec(name) is None] == []


def table_of(output: str) -> dict[str, list[str]]:
    """Return the rows of the table by date: the other columns' words."""
    rows = [line.split() for line in output.splitlines() if re.match(r"\s*\d{4}-\d\d-\d\d\s+[A-Z]+\b", line)]
    return {date: words for date, *words in rows}


def backfill(project: Project, *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process, its days in theirs; return exit code, output, errors."""
    with contextlib.chdir(project.root):
        given = arguments if "--params" in arguments else ("--params", TEN, *arguments)
        done = CliRunner().invoke(cli, ["backfill", "--env", project.env, *given])
    return done.exit_code, done.stdout, done.stderr


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def name_runs(project: Project) -> list[str]:
    """Return the pipelines of the runs so far; none while the first run still makes the registry's tables."""
    is_ready = inspect(project.stores.engine).has_table("pipeline_runs")
    return list(project.rows("pipeline_runs")["pipeline"]) if is_ready else []


def test_the_days_that_are_missing_are_run_at_once_and_only_those(anywhere):
    anywhere.run(logical_date=DAYS[1])
    code, output, _ = backfill(anywhere, *RANGE, "--jobs", "2")
    assert code == 0, output
    rows = table_of(output)
    assert {day: words[:2] for day, words in rows.items()} == {
        day: ["DONE" if day == DAYS[1] else "SUCCESS", "10"] for day in DAYS
    }
    runs = anywhere.rows("pipeline_runs")
    assert sorted(runs["logical_date"].astype(str)) == DAYS
    assert runs["parent_run_id"].dropna().nunique() == 1
    code, output, _ = backfill(anywhere, *RANGE)
    assert code == 0
    assert {words[0] for words in table_of(output).values()} == {"DONE"}
    assert len(anywhere.rows("pipeline_runs")) == len(DAYS)


def test_a_day_is_one_run_and_its_outcome_is_that_of_the_registry(embedded):
    settings = RunSettings(embedded.root, None, {"source": "synthetic", "generator": {"n_events": 10}}, embedded.url, 1)
    day = date.fromisoformat(DAYS[0])
    outcomes = [run_day(DayRun(day, (name,)), settings) for name in ("ingestion", "ingestion", "training")]
    assert [(outcome.status, outcome.accepted) for outcome in outcomes] == [
        ("SUCCESS", 10),
        ("UNCHANGED", 10),
        ("FAILED", None),
    ]
    assert "run the transformation pipeline of th" in outcomes[2].error
    assert embedded.rows("pipeline_runs")["status"].tolist() == ["SUCCESS", "UNCHANGED", "FAILED"]


def test_many_writers_of_one_sqlite_registry_wait_for_each_other(embedded):
    code, output, _ = backfill(embedded, "--start", "2024-01-01", "--end", "2024-01-09", "--jobs", "3")
    assert code == 0, output
    assert len(embedded.rows("current_objects")) == 9


def test_the_gaps_are_listed_without_a_run(embedded):
    embedded.run(logical_date=DAYS[0])
    code, output, _ = backfill(embedded, *RANGE, "--list")
    assert (code, output.splitlines()) == (
        0,
        [*(f"{day}  ingestion" for day in DAYS[1:]), "3 of 4 days have something to run"],
    )
    assert len(embedded.rows("pipeline_runs")) == 1


def test_a_day_that_fails_stops_no_other_and_is_the_only_one_that_is_run_again(embedded):
    blocked = embedded.root / f"data/lake/cybersec-ml-raw/synthetic/{DAYS[1]}"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the day's folder should be")
    code, output, errors = backfill(embedded, *RANGE, "--jobs", "2")
    assert code == 1
    rows = table_of(output)
    assert [rows[day][0] for day in DAYS] == ["SUCCESS", "FAILED", "SUCCESS", "SUCCESS"]
    assert "Error" in output
    assert errors.splitlines()[-1] == "Error: 1 of 4 days failed: see the table, mend the cause, then run again"
    assert "Traceback" not in errors
    blocked.unlink()
    code, output, _ = backfill(embedded, *RANGE)
    assert code == 0
    assert [table_of(output)[day][0] for day in DAYS] == ["DONE", "SUCCESS", "DONE", "DONE"]


def test_a_process_that_is_killed_fails_its_day_only_and_the_next_backfill_completes_it(embedded):
    parent = embedded.start("backfill", *RANGE, "--params", "generator.n_events=400000,generator.part_events=20000")
    wait_for(lambda: (embedded.root / "data/registry.db").exists() and len(embedded.objects()) >= 2)
    (worker,) = workers_of(parent.pid)
    os.kill(worker, signal.SIGKILL)
    output, _ = parent.communicate(timeout=120)
    assert parent.returncode == 1
    rows = table_of(output)
    assert [words[0] for words in rows.values()].count("FAILED") == 1
    assert "its process ended with exit code -9" in output
    assert len(embedded.rows("current_objects")["logical_date"].unique()) == 3
    code, output, _ = backfill(embedded, *RANGE)
    assert code == 0
    assert sorted(embedded.rows("pipeline_runs")["status"]) == ["ABANDONED", *["SUCCESS"] * 4]


@pytest.mark.parametrize(("project", "number"), [("embedded", signal.SIGINT), ("ready", signal.SIGTERM)])
def test_a_backfill_that_is_told_to_stop_stops_its_days(request, project, number):
    anywhere = request.getfixturevalue(project)
    params = "generator.n_events=20000000,generator.part_events=20000"
    parent = anywhere.start("backfill", *RANGE, "--env", anywhere.env, "--jobs", "2", "--params", params)
    if anywhere.env == "embedded":
        wait_for((anywhere.root / "data/registry.db").exists)
    wait_for(lambda: len({path.split("/")[-2] for path in anywhere.objects()}) == 2)
    parent.send_signal(number)
    started = time.monotonic()
    output, _ = parent.communicate(timeout=30)
    assert time.monotonic() - started < 8
    assert parent.returncode == 1
    assert f"Error: interrupted by {number.name}" in output.splitlines()[-1]
    assert {words[0] for words in table_of(output).values()} == {"STOPPED"}
    runs = anywhere.rows("pipeline_runs")
    assert runs["status"].tolist() == ["FAILED", "FAILED"]
    assert all("interrupted by SIGTERM" in error for error in runs["error"])
    assert anywhere.rows("current_objects").empty


def workers_of(pid: int) -> list[int]:
    """Return the processes that run the days of a backfill: its grandchildren."""
    children = [Path(f"/proc/{child}/task/{child}/children") for child in children_of(pid)]
    return [int(worker) for path in children for worker in path.read_text().split()]


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--start", END, "--end", START), f"--end {START} is before --start {END}: swap them"),
        (("--start", START, "--end", "2999-01-01"), "--end 2999-01-01 is in the future: today is "),
        (("--last", "0"), "--last 0: give the number of days up to yesterday, 1 or more"),
        (("--last", "-3"), "--last -3: give the number"),
        (("--last", "99999999"), "--last 99999999: give the number"),
        ((*RANGE, "--last", "3"), "give either --start and --end, or --last"),
        (("--start", START), "give either --start and --end, or --last"),
        ((), "give either --start and --end, or --last"),
        ((*RANGE, "--jobs", "0"), "--jobs 0: give the number of days to run at once, 1 or more"),
        (
            (*RANGE, "--pipelines", "ingest"),
            "no day goes through a pipeline ingest: there are ingestion, log_ingestion",
        ),
        ((*RANGE, "--pipelines", ""), "--pipelines names none"),
        ((*RANGE, "--pipelines", "ingestion,log_ingestion"), "ingestion and log_ingestion have different sources"),
        ((*RANGE, "--params", "generator.n_event=10"), "unknown parameter generator.n_event: did you mean"),
        ((*RANGE, "--params", f"logical_date={START}"), "logical_date differs from day to day"),
        ((*RANGE, "--env", "moon"), "there is no environment moon"),
    ],
)
def test_what_cannot_be_meant_is_one_line(embedded, arguments, words):
    code, output, errors = backfill(embedded, *arguments)
    assert (code, output) == (1, "")
    assert errors.startswith(f"Error: {words}")
    assert len(errors.splitlines()) == 1
    assert not (embedded.root / "data").exists()


@given(st.integers(1, 400))
def test_the_last_days_end_yesterday(last):
    days = choose_days(None, None, last, TODAY)
    assert (len(days), days[-1]) == (last, TODAY - timedelta(days=1))
    assert days == choose_days(days[0], days[-1], None, TODAY)


def test_today_may_be_filled_and_tomorrow_not():
    assert choose_days(TODAY, TODAY, None, TODAY) == [TODAY]
    with pytest.raises(ProjectError, match="future"):
        choose_days(TODAY, TODAY + timedelta(days=1), None, TODAY)


def add_run(engine, pipeline: str, finished: timedelta, status: str = "SUCCESS", day: str = DAYS[0]) -> None:
    """Add a run that ended so long after now."""
    row = {"run_id": os.urandom(4).hex(), "pipeline": pipeline, "source": "synthetic", "env": "embedded", "host": "h"}
    row |= {"logical_date": date.fromisoformat(day), "status": status, "code_version": "1", "params_sha256": "0"}
    moments = {"started_at": datetime.now(UTC), "finished_at": datetime.now(UTC) + finished}
    with engine.begin() as connection:
        connection.execute(insert(pipeline_runs), row | moments)


LATER = timedelta(hours=1)


def test_a_run_that_says_running_though_it_died_counts_for_nothing(embedded):
    embedded.run(logical_date=DAYS[0])
    engine = open_registry(embedded.url)
    add_run(engine, "ingestion", LATER, "RUNNING", day=DAYS[1])
    code, output, _ = backfill(embedded, "--start", DAYS[0], "--end", DAYS[1])
    assert code == 0
    assert [words[0] for words in table_of(output).values()] == ["DONE", "SUCCESS"]
    assert sorted(embedded.rows("pipeline_runs")["status"]) == ["ABANDONED", "SUCCESS", "SUCCESS"]


def test_a_day_that_another_run_works_on_is_waited_for(embedded):
    embedded.run(logical_date=DAYS[0])
    engine = open_registry(embedded.url)
    with hold_lock(engine, "synthetic", date.fromisoformat(DAYS[1])) as held:
        process = embedded.start("backfill", "--start", DAYS[1], "--end", DAYS[1], "--params", TEN)
        time.sleep(4)
        waited = process.poll() is None
    output, _ = process.communicate(timeout=60)
    assert held and waited
    assert table_of(output)[DAYS[1]][0] == "SUCCESS"


def test_a_registry_without_a_schema_is_one_line(served):
    code, output, errors = backfill(served, *RANGE)
    assert (code, output) == (1, "")
    assert errors.splitlines() == ["Error: the registry has no schema: run `kedro setup` for this environment"]


def test_groups_of_pipelines_are_what_their_stages_are():
    for group, stages in GROUPS.items():
        nodes = {node.name for name in stages for node in pipelines[name].nodes}
        assert {node.name for node in pipelines[group].nodes} == nodes


@given(st.lists(st.sampled_from([*STAGES, *GROUPS, "other"])))
def test_stages_stand_once_and_in_their_order(names):
    stages = list_stages(names)
    assert list_stages(stages) == stages
    assert len(set(stages)) == len(stages)
    assert set(names) - set(GROUPS) <= set(stages)
    assert list_stages(reversed(names)) == stages


@pytest.fixture
def mixed(embedded: Project) -> Project:
    """A project with a synthetic source, and a source of logs that has no day."""
    embedded.run(logical_date=DAYS[0])
    with embedded.stores.engine.begin() as connection:
        row = {"name": "office", "kind": "logs", "format": "zeek", "first_seen": datetime.now(UTC)}
        connection.execute(insert(sources), row)
    return embedded


@pytest.mark.parametrize(
    ("source", "names", "words"),
    [
        ("office", "full", "source office holds real logs, and synthetic events would replace them: use log_ingestion"),
        ("office", "ingestion", "source office holds real logs"),
        ("synthetic", "log_full", "source synthetic is the generator's: name the sensor"),
        ("synthetic", "log_ingestion", "source synthetic is the generator's"),
    ],
)
def test_events_of_the_other_kind_are_refused_before_any_run(mixed, source, names, words):
    code, output, errors = backfill(mixed, *RANGE, "--pipelines", names, "--params", f"source={source}")
    assert (code, output) == (1, "")
    assert errors.startswith(f"Error: {words}")
    assert len(errors.splitlines()) == 1
    assert len(mixed.rows("pipeline_runs")) == 1


def test_the_ingestion_is_that_of_the_sources_kind_unless_named(mixed):
    code, output, _ = backfill(mixed, "--start", END, "--end", END, "--list", "--params", "source=office")
    assert (code, output.splitlines()[0]) == (0, f"{END}  log_ingestion")


def test_stale_days_are_run_only_if_asked_for(embedded):
    embedded.run(logical_date=DAYS[0])
    embedded.run(logical_date=DAYS[1], generator__n_events=12)
    code, output, _ = backfill(embedded, *RANGE[:2], "--end", DAYS[1])
    assert code == 0
    assert [words[:2] for words in table_of(output).values()] == [["DONE", "10"], ["DONE", "12"]]
    assert output.splitlines()[-1] == (
        f"days that are stale: 1, next: kedro backfill --stale --start {DAYS[1]} --end {DAYS[1]} "
        f"--pipelines ingestion --env embedded --params {TEN}"
    )
    code, output, _ = backfill(embedded, "--stale", "--list")
    assert output.splitlines() == [f"{DAYS[1]}  ingestion (parameters)", "1 of 2 days have something to run"]
    code, output, _ = backfill(embedded, "--stale")
    assert [words[:2] for words in table_of(output).values()] == [["DONE", "10"], ["SUCCESS", "10"]]
    assert "stale" not in output
    runs = embedded.rows("pipeline_runs")
    assert runs["pipeline"].tolist() == ["ingestion"] * 3


def test_a_day_whose_ingestion_fails_is_not_modelled_and_the_others_are(embedded):
    params = ("--params", "generator.n_events=3000,transformation.slice_hours=12")
    blocked = embedded.root / f"data/lake/cybersec-ml-raw/synthetic/{DAYS[1]}"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the day's folder should be")
    days = ("--start", DAYS[1], "--end", DAYS[2], "--pipelines", "full", "--jobs", "2")
    code, output, errors = backfill(embedded, *days, *params)
    assert code == 1
    assert [words[0] for words in table_of(output).values()] == ["FAILED", "SUCCESS"]
    assert errors.splitlines()[-1] == "Error: 1 of 2 days failed: see the table, mend the cause, then run again"
    with contextlib.chdir(embedded.root):
        report = CliRunner().invoke(cli, ["status", *params]).stdout
    assert f"{DAYS[1]}  failed     missing         missing   missing     missing       missing" in report
    assert f"{DAYS[1]}: ingestion failed: " in report
    assert f"{DAYS[2]}  done       done            done      done        done          done" in report
    blocked.unlink()
    code, output, _ = backfill(embedded, *days, "--stale", *params)
    assert code == 0
    assert [words[0] for words in table_of(output).values()] == ["SUCCESS", "SUCCESS"]
    code, output, _ = backfill(embedded, *days, "--stale", "--list", *params)
    assert output == "0 of 2 days have something to run\n"


def test_a_backfill_that_is_told_to_stop_while_it_models_leaves_what_is_done(embedded):
    params = "generator.n_events=40000"
    days = ("--start", DAYS[0], "--end", DAYS[1], "--pipelines", "full", "--jobs", "2")
    parent = embedded.start("backfill", *days, "--params", params)
    wait_for(lambda: any(name.startswith("training") for name in name_runs(embedded)))
    parent.send_signal(signal.SIGTERM)
    output, _ = parent.communicate(timeout=30)
    assert parent.returncode == 1
    assert {words[0] for words in table_of(output).values()} == {"STOPPED"}
    runs = embedded.rows("pipeline_runs")
    assert sorted(runs["status"]) == ["FAILED", "SUCCESS", "SUCCESS"]
    stages = embedded.rows("stage_events")
    assert (stages["stage"] == "transformation").sum() == 2


@given(st.integers(1, 9), st.integers(0, 40))
def test_shares_hold_every_day_once_and_are_about_equal(count, length):
    days = [TODAY - timedelta(days=place) for place in range(length)]
    shares = [parse_share(f"{number}/{count}").take(days) for number in range(count)]
    assert sorted(day for share in shares for day in share) == sorted(days)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["", "1", "2/2", "3/2", "-1/2", "0/0", "a/b", "0/2/3", "0.5/2"])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(ProjectError, match="give I/N, such as 0/4"):
        parse_share(text)


def test_two_shares_run_all_days(embedded):
    for share, mine in (("0/2", DAYS[::2]), ("1/2", DAYS[1::2])):
        code, output, errors = backfill(embedded, *RANGE, "--share", share)
        assert (code, list(table_of(output))) == (0, mine), errors
    assert sorted(embedded.rows("ingestion_events")["logical_date"].astype("str")) == DAYS


@pytest.mark.parametrize("given_options", [(*RANGE, "--pipelines", "full"), ("--stale",)])
def test_a_share_of_what_depends_on_other_days_is_refused(embedded, given_options):
    code, _, errors = backfill(embedded, *given_options, "--share", "0/2")
    assert code == 1
    assert "--share needs a range of days, and stages that depend on no other day" in errors
