"""A backfill of logs: every day that the files hold, nothing lost and nothing twice."""

from datetime import UTC, date, datetime, timedelta

import pytest
from test_backfill import backfill, table_of
from test_ingestion import HEADER, zeek_line

from network_anomalies.datasets.log_files import expand_dates, widen_dates
from network_anomalies.errors import ProjectError

DAY_SECONDS = 86_400
DAYS = ["2024-04-19", "2024-04-20", "2024-04-21"]
LOGS = ("--pipelines", "log_ingestion", "--params", "source=office")


@pytest.fixture
def write(embedded):
    """Return a function that writes a log with flows at some seconds after the start of the first of the days."""

    def write(name: str, *seconds: float) -> None:
        path = embedded.root / "data/logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + "".join(zeek_line(second) for second in seconds))

    return write


def flows(project) -> dict[str, list[str]]:
    """Return the times of the current flows by day."""
    rows = project.rows("ingestion_batches")
    days = sorted(rows[rows["status"] == "SUCCESS"]["logical_date"].astype("str"))
    return {
        day: project.load("raw_network_events", source="office", logical_date=day)["timestamp"].astype("str").tolist()
        for day in days
    }


def test_every_day_of_the_files_is_filled_and_a_second_time_none(embedded, write):
    write("a.log", 1, 2, DAY_SECONDS - 1)
    write("b.log", DAY_SECONDS - 2, DAY_SECONDS, 2 * DAY_SECONDS + 5)
    code, output, _ = backfill(embedded, *LOGS)
    assert code == 0, output
    assert {day: words[:2] for day, words in table_of(output).items()} == {
        DAYS[0]: ["SUCCESS", "4"],
        DAYS[1]: ["SUCCESS", "1"],
        DAYS[2]: ["SUCCESS", "1"],
    }
    code, output, _ = backfill(embedded, *LOGS)
    assert {words[0] for words in table_of(output).values()} == {"DONE"}
    assert len(embedded.rows("ingestion_batches")) == 3


def test_a_first_day_of_a_few_flows_is_stored_and_the_days_after_it_are_modelled(embedded, write):
    """A flow belongs to the day on which it began, so a sensor's first file holds a few of the evening before."""
    write("conn.log", -600, -60, *range(0, DAY_SECONDS, 600))
    code, output, _ = backfill(embedded, "--pipelines", "log_full", "--params", "source=office")
    assert code == 0, output
    assert {day: words[:2] for day, words in table_of(output).items()} == {
        "2024-04-18": ["UNMODELLED", "2"],
        DAYS[0]: ["SUCCESS", "144"],
    }
    assert "nothing is left to test" in output


def test_a_committed_day_gets_the_flows_that_a_later_file_holds(embedded, write):
    write("19.log", 1, 2)
    embedded.run("log_ingestion", source="office", logical_date=DAYS[0])
    write("20.log", DAY_SECONDS - 1, DAY_SECONDS + 1)
    code, output, _ = backfill(embedded, *LOGS, "--list")
    assert f"{DAYS[0]}  log_ingestion (the log files hold 1 more flows of the day)" in output
    code, output, _ = backfill(embedded, *LOGS)
    assert code == 0, output
    found = flows(embedded)
    assert [len(times) for times in found.values()] == [3, 1]
    assert len({time for times in found.values() for time in times}) == 4
    batch = embedded.rows("ingestion_batches").set_index(["logical_date", "revision"]).sort_index()
    assert batch["status"].tolist() == ["SUPERSEDED", "SUCCESS", "SUCCESS"]


def test_files_that_hold_less_than_a_day_has_do_not_take_flows_away(embedded, write):
    write("19.log", 1, 2)
    embedded.run("log_ingestion", source="office", logical_date=DAYS[0])
    write("19.log", 1)
    code, output, _ = backfill(embedded, *LOGS)
    assert (code, table_of(output)[DAYS[0]][0]) == (0, "DONE")


def test_a_day_opens_its_own_files_and_those_of_its_neighbours(embedded, write):
    for place, day in enumerate(["18", *(day[-2:] for day in DAYS), "22"]):
        write(f"2024-04-{day}/conn.log", *[DAY_SECONDS * (place - 1) + second for second in (-1, 1)])
    path = "data/logs/{date}/conn.log"
    code, output, _ = backfill(
        embedded, *LOGS[:3], f"source=office,logs.path={path}", "--start", DAYS[1], "--end", DAYS[1]
    )
    assert code == 0, output
    assert flows(embedded) == {DAYS[1]: ["2024-04-20 00:00:01+00:00", "2024-04-20 23:59:59+00:00"]}
    paths = embedded.rows("source_files")["path"].str.split("/").str[-2]
    assert sorted(paths) == DAYS
    code, output, _ = backfill(embedded, *LOGS[:3], f"source=office,logs.path={path}")
    assert code == 0, output
    assert [len(times) for times in flows(embedded).values()] == [1, 2, 2, 2, 2, 1]


def test_flows_of_the_future_are_left_out_and_counted(embedded, write):
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    write("a.log", 1, (tomorrow - date.fromisoformat(DAYS[0])).days * DAY_SECONDS)
    code, output, _ = backfill(embedded, *LOGS)
    assert (code, list(table_of(output))) == (0, [DAYS[0]])


def test_without_logs_the_error_names_the_place(embedded):
    code, _, errors = backfill(embedded, *LOGS)
    assert code == 1
    assert "no log files at data/logs" in errors
    code, _, errors = backfill(embedded, "--pipelines", "modelling", "--params", "source=office")
    assert (code, "--start and --end" in errors) == (1, True)


def test_a_path_with_something_else_in_braces_is_refused():
    for path in ("logs/{day}", "logs/{date", "logs/{date!x}", "{date}{}", "{date.nothing}"):
        if "{date" in path:
            with pytest.raises(ProjectError, match=r"logs\.path.*\{date"):
                expand_dates(path, date(2024, 4, 19))
        else:
            assert expand_dates(path, date(2024, 4, 19)) == [path]
    assert widen_dates("a/{date:%Y}/{date}.log") == "a/*/*.log"
