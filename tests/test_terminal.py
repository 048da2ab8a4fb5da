"""What a run shows on a terminal and elsewhere, and where its log lines go."""

import logging
import os
import pty
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from conftest import DAY
from kedro.framework.project import pipelines
from test_ingestion import HEADER, zeek_line

from network_anomalies.records.run_start import RunStart
from network_anomalies.registry.run_rows import Run
from network_anomalies.terminal import closing_table
from network_anomalies.terminal.closing_table import describe_run, format_rows
from network_anomalies.terminal.run_log import SHOWN, keep_log

ROWS = [
    ("run", "20240419T000000Z-0000abcd, source office, date 2024-04-19: SUCCESS"),
    ("stored", "s3://cybersec-ml-raw/office/2024-04-19/network_events_20240419T000112Z_0001_e9448ec47077.parquet"),
    ("  high", "10.0.0.1 probed 254 destinations it had never met within an hour, with 254 small, alike flows"),
    ("next", "kedro report --source office --date 2024-04-19 --env minio --open and so on to the right"),
]


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 60 columns."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")


@pytest.mark.usefixtures("terminal")
def test_a_table_fits_a_narrow_terminal_and_keeps_what_is_copied():
    lines = format_rows(ROWS).splitlines()
    whole = [text for name, text in ROWS if name in ("stored", "next")]
    assert [line for line in lines if len(line) > 60] == [line for line in lines if line.endswith(tuple(whole))]
    assert len(lines) > len(ROWS)
    assert {line[:8].strip() for line in lines} == {"run", "stored", "high", "next", ""}


def test_a_row_is_a_line_where_no_terminal_is():
    lines = format_rows(ROWS).splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == [text for _, text in ROWS]


def test_hidden_characters_do_not_reach_the_terminal(modelled, monkeypatch):
    with modelled.stores.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE incidents SET sentence = 'a' || char(27) || '[2J' || char(8238) || 'b'")
    catalog = modelled.session(logical_date=DAY).load_context().catalog

    digests = {"code_version": "1", "params_sha256": "0"}
    about = {"pipeline": "scoring", "source": "synthetic", "logical_date": date.fromisoformat(DAY), "env": "minio"}
    run = Run(modelled.stores.engine, RunStart(run_id="r1", parent_run_id=None, selection=None, **about, **digests))
    rows = list(describe_run(run, {"alerts"}, catalog, None))
    shown = [text for name, text in rows if name.startswith("  ")]
    assert shown and all(text.endswith(" a<U+001B>[2J<U+202E>b") for text in shown)
    assert [text for name, text in rows if name == "next"][-1].endswith("--env minio --open")
    monkeypatch.setattr(closing_table, "MOST_SHOWN", 1)
    assert ("", f"and {len(shown) - 1} more") in list(describe_run(run, {"alerts"}, catalog, None))


@pytest.fixture
def quiet_console():
    """Logging as `conf/logging.yml` sets it: the console shows warnings."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    console = logging.StreamHandler(sys.stdout)
    console.setLevel(logging.WARNING)
    root.handlers[:], root.level = [console], logging.INFO
    yield console
    root.handlers[:], root.level = before, level


def say(name="kedro.runner"):
    logging.getLogger(name).warning("look out")
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.info("done with it")


def test_the_lines_of_a_run_are_kept_in_a_file(tmp_path, quiet_console, capsys):
    quiet_console.setStream(sys.stdout)
    with keep_log(tmp_path / "deep/logs", "r1") as path:
        say()
    say()
    assert path == tmp_path / "deep/logs/r1.log"
    assert [line.split(": ")[1] for line in path.read_text().splitlines()] == ["look out", "done with it"]
    assert "done with it" not in capsys.readouterr().out


def test_where_nothing_can_be_written_the_lines_are_shown(tmp_path, quiet_console, capsys):
    quiet_console.setStream(sys.stdout)
    (tmp_path / "file").touch()
    with keep_log(tmp_path / "file/logs", "r1") as path:
        say()
        say(SHOWN)
    shown = capsys.readouterr().out
    assert path is None
    assert shown.count("done with it") == 1 and shown.count("look out") == 2


def test_no_file_is_written_where_the_console_shows_the_lines(tmp_path, quiet_console):
    quiet_console.setStream(sys.stdout)
    quiet_console.setLevel(logging.NOTSET)
    with keep_log(tmp_path / "logs", "r1") as path:
        assert path is None
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("text", "cause", "advice"),
    [
        ("no flow log\n", "in no flow log format", "No nodes ran"),
        (HEADER + zeek_line(86_400) * 9, "check logical_date", "nodes that have not run"),
    ],
)
def test_a_run_that_fails_says_why_once_and_its_log_says_it_too(embedded, text, cause, advice):
    (embedded.root / "odd.csv").write_text(text)
    params = "source=office,logical_date=2024-04-19,logs.path=odd.csv"
    failed = embedded.cli("run", "--pipelines", "log_ingestion", "--params", params)
    said = failed.stdout + failed.stderr
    assert failed.returncode == 1
    assert said.count(cause) == 1 and advice not in said
    (log,) = (embedded.root / "data/run_logs").glob("*.log")
    assert "failed with error" in log.read_text() and advice in log.read_text()


def run_on_terminal(project, *arguments: str) -> str:
    """Return what a command shows on a terminal of 60 columns."""
    leader, follower = pty.openpty()
    environment = os.environ | {"COLUMNS": "60", "TERM": "xterm"}
    command = [sys.executable, "-m", "network_anomalies", *arguments]
    with subprocess.Popen(command, cwd=project.root, env=environment, stdout=follower, stderr=follower) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(leader)
    assert process.returncode == 0, shown
    return shown.decode()


def test_a_terminal_has_a_bar_and_a_table_and_a_pipe_has_plain_lines(embedded):
    params = "logical_date=2024-04-19,generator.n_events=60"
    shown = run_on_terminal(embedded, "run", "--pipelines", "ingestion", "--params", params)
    assert "━" in shown
    nodes = pipelines["ingestion"].nodes
    assert [node.name for node in nodes if node.name not in shown] == []  # however short a node is
    closing = shown[shown.rindex("run ") :]
    assert "60 lines in, 60 accepted, 0 rejected" in " ".join(closing.split())
    assert "INFO" not in shown
    done = embedded.cli("run", "--pipelines", "transformation", "--params", params)
    assert done.stdout.splitlines()[0] == "transformation ..."
    assert "━" not in done.stdout and "\x1b" not in done.stdout and "INFO" not in done.stdout
    log = Path(re.search(r"^log +(\S+)$", done.stdout, re.MULTILINE)[1])
    assert "Completed node: transform_slices" in log.read_text()


def test_a_container_shows_every_line_and_writes_no_log(embedded):
    config = str(embedded.root / "conf/logging_stdout.yml")
    arguments = ("run", "--params", "generator.n_events=10", "--pipelines", "ingestion")
    done = embedded.cli(*arguments, KEDRO_LOGGING_CONFIG=config)
    assert "Completed node: validate_events" in done.stdout and "10 lines in, 10 accepted" in done.stdout
    assert not (embedded.root / "data/run_logs").exists()
