"""The documentation: its commands run, and the files, names and links that it mentions exist."""

import contextlib
import json
import os
import re
import shlex
import sys

import pytest
from click.testing import CliRunner
from conftest import ROOT, Project, copy_project
from docs_pages import (
    BLOCK,
    LINK,
    PAGES,
    find_broken_links,
    find_commands,
    find_faults,
    find_mentions,
    find_missing_names,
)
from kedro.framework.cli.cli import KedroCLI
from test_ingestion import HEADER, zeek_line

from network_anomalies.cli import cli

TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PAGES}
ONLY_PARSED = {
    "kedro viz": "it serves a page until it is stopped",
    "kedro alerts send": "it needs a webhook; test_webhook.py",
    "kedro server": "it serves requests until it is stopped",
    "kedro backfill --last 30 --pipelines full": "thirty days of every stage take more than a minute",
    "kedro backfill --last 7 --pipelines log_full": "it reads logs from an S3 store",
    "kedro backfill --pipelines log_full --params source=office,logs.path=s3:": "it reads logs from an S3 store",
    "kedro run --pipeline log_full --params source=office,logical_date=2024-04-19,logs.path=s3:": "it reads S3",
    "kedro run --params logical_date=2024-04-19,workers.dask=true": "a cluster starts for each node; test_dask.py",
    "kedro report --open": "it opens a browser; test_report.py",
    "python -m network_anomalies.orchestration": "Prefect's server takes ten seconds to start; test_orchestration.py",
    "python benchmarks/": "a measurement takes minutes",
    "python tests/image.py": "it builds an image, as the last step of the gate does",
    "python tests/servers.py": "it starts servers and waits",
}
"""The beginnings of commands that are parsed but not run, and the reason."""
BEFORE = [
    *(f"kedro run --params logical_date=2024-04-{day}" for day in (18, 19)),
    "kedro models --promote 2 --reason 'there must be a champion before it to go back to'",
]
"""The pages go back to an earlier champion and promote version 3, and run only two days of synthetic events before."""
FEWEST_FOR_REALISM = 50_000
LOUD = {"generator": {"attacks": {"fast_scan": {"share": 0.1}}}}
"""Makes small days have alerts: the pages show and judge one, and call its id ``ID``."""


def is_run(command: str) -> bool:
    return not command.startswith(tuple(ONLY_PARSED))


def list_commands() -> list[str]:
    """Return the commands to run: those in shell blocks, and those in the table of the README.

    Those for servers run on the embedded stores, which are the default.
    """
    commands = [command for text in TEXTS.values() for command in find_commands(text)]
    readme = find_commands(TEXTS["README.md"]) + find_mentions(TEXTS["README.md"])
    return list(dict.fromkeys(command.replace(" --env minio", "") for command in readme + commands if is_run(command)))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with small days and with the log file of the sensor `office` that the pages name."""
    project = copy_project(tmp_path / "project")
    (project.root / "src").mkdir()  # Kedro's command line asks for it
    (project.root / "conf/local").mkdir(exist_ok=True)
    (project.root / "conf/local/parameters.yml").write_text(json.dumps(LOUD))
    for name, key, value in (("ingestion", "n_events", 2000), ("transformation", "slice_hours", 6)):
        path = project.root / f"conf/base/parameters_{name}.yml"
        path.write_text(re.sub(rf"^  {key}: \d+", f"  {key}: {value}", path.read_text(), flags=re.MULTILINE))
    flows = [zeek_line(120 * number, host=f"10.0.0.{number % 9}") for number in range(700)]
    (project.root / "conn.log").write_text(HEADER + "".join(flows) + zeek_line(5, proto="nonsense"))
    monkeypatch.setattr(sys, "path", [*sys.path])  # Kedro's command line adds to both
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    return project


def run(project: Project, command: str) -> str:
    """Run a command in this process; return what is wrong, or nothing."""
    program, *words = shlex.split(command)
    if "ID" in words:
        latest = project.rows("alerts").sort_values("logical_date")["alert_id"].iloc[-1]
        words = [latest if word == "ID" else word for word in words]
    if "realism" in words:
        words = add_parameter(words, f"generator.n_events={FEWEST_FOR_REALISM}")
    with contextlib.chdir(project.root):
        group = KedroCLI(project.root) if program == "kedro" else cli
        done = CliRunner().invoke(group, words)
    return "" if done.exit_code == 0 else f"{command}: exit code {done.exit_code}\n{done.output[-600:]}"


def add_parameter(words: list[str], value: str) -> list[str]:
    if "--params" not in words:
        return [*words, "--params", value]
    place = words.index("--params") + 1
    return [*words[:place], f"{words[place]},{value}", *words[place + 1 :]]


@pytest.mark.slow(reason="every command of every page runs")
def test_the_commands_of_the_pages_run(project):
    commands = [*BEFORE, *list_commands()]
    assert [fault for command in commands if (fault := run(project, command))] == []


@pytest.mark.parametrize("page", TEXTS)
def test_the_commands_of_a_page_are_real(page):
    commands = find_commands(TEXTS[page]) + find_mentions(TEXTS[page])
    assert [fault for command in commands for fault in find_faults(command)] == []


def test_every_command_that_is_only_parsed_is_in_a_page():
    commands = [command for text in TEXTS.values() for command in find_commands(text) + find_mentions(text)]
    assert [start for start in ONLY_PARSED if not any(command.startswith(start) for command in commands)] == []
    assert len(list_commands()) > len([command for command in commands if not is_run(command)])


BROKEN_COMMANDS = {
    "kedro fly": "no command",
    "kedro catalog fly": "no command",
    "kedro run --pipline ingestion": "No such option",
    "kedro run --pipelines ingestion,flight": "there is no pipeline flight",
    "kedro backfill --last 7 --pipelines flight": "there is no pipeline flight",
    "kedro run --env moon": "there is no environment moon",
    "kedro run --params generator.n_event=5": "there is no parameter generator.n_event",
    "kedro replay --source office": "Missing option '--date'",
    "network-anomalies viz": "no command viz",
    "python -m network_anomalies.orchestration fly": "no command",
    "python -m network_anomalies.flight": "there is no module",
    "python benchmarks/flight.py": "there is no benchmarks/flight.py",
    "python benchmarks/faults.py --wings 2": "has no option --wings",
}


@pytest.mark.parametrize(("command", "reason"), BROKEN_COMMANDS.items())
def test_a_command_that_does_not_exist_is_noticed(command, reason):
    page = f"Text.\n\n```\n{command}   # a comment\n```\n\nAnd `{command}` in a sentence.\n"
    assert find_commands(page) == find_mentions(page) == [shlex.join(shlex.split(command))]
    assert any(reason in fault for fault in find_faults(find_commands(page)[0]))


def test_a_command_that_fails_is_noticed(project):
    assert "exit code 1" in run(project, "kedro run --pipelines scoring --params source=nobody")


def test_commands_are_found_in_every_form():
    page = """
```
export A=b && kedro setup    # twice
docker run --rm -e A=b network-anomalies run \\
  --pipelines ingestion
cd data && ls
```
```sql
kedro no
```
"""
    assert find_commands(page) == ["kedro setup", "network-anomalies run --pipelines ingestion"]


@pytest.mark.parametrize("page", TEXTS)
def test_what_a_page_mentions_exists(page):
    folder = (ROOT / page).parent
    assert list(find_missing_names(TEXTS[page], folder)) == []
    assert list(find_broken_links(TEXTS[page], folder)) == []


def test_a_mention_of_nothing_is_noticed():
    gone = ["src/flight.py", "detection/{scoring,wings}/", "conf/base/wings_<name>.yml", "wings.yml"]
    names = ["find_wings()", "scoring.wings", "WINGS"]
    page = " ".join(f"`{name}`" for name in [*gone, *names, "detection/{scoring,rules}/", "fit(slices)", "README.md"])
    assert list(find_missing_names(page, ROOT)) == [*gone, *names]
    links = "[a](docs/raw.md#objects) [b](docs/raw.md#wings) [c](docs/wings.md) [d](https://kedro.org)"
    assert list(find_broken_links(links, ROOT)) == ["docs/raw.md#wings", "docs/wings.md"]


def find_pages_without_purpose(texts: dict[str, str]) -> list[str]:
    """Return the pages whose first sentences do not say what the reader can do after reading."""
    return [page for page, text in texts.items() if "After reading this page you" not in text[:600]]


def test_a_page_begins_with_what_the_reader_can_do_after_it():
    pages = {page: text for page, text in TEXTS.items() if page != "CHANGELOG.md" and "/decisions/" not in page}
    assert find_pages_without_purpose(pages) == []
    assert find_pages_without_purpose(pages | {"docs/new.md": "# New\n\nThis page is long.\n"}) == ["docs/new.md"]


def is_too_long(text: str) -> bool:
    return len(text.splitlines()) > 120


def test_the_readme_is_short():
    assert not is_too_long(TEXTS["README.md"])
    assert is_too_long(TEXTS["README.md"] + "\n" * 30)


SPANISH = "README.es.md"


def list_steps(text: str) -> tuple[list[str], list[str], set[str]]:
    """Return the commands of a page in their order, those of its sentences, and where its links and pictures lead."""
    links = set(LINK.findall(BLOCK.sub("", text))) - {"README.md", SPANISH}
    return find_commands(text), find_mentions(text), links


def test_the_spanish_readme_keeps_step():
    english, spanish = TEXTS["README.md"], (ROOT / SPANISH).read_text()
    assert list_steps(spanish) == list_steps(english)
    assert len(re.findall("^#+ ", spanish, re.MULTILINE)) == len(re.findall("^#+ ", english, re.MULTILINE))
    assert not list(find_broken_links(spanish, ROOT)) and not is_too_long(spanish)
    assert not list(find_missing_names(spanish, ROOT))
    assert f"]({SPANISH})" in english and "](README.md)" in spanish


def test_a_step_that_a_translation_lacks_is_noticed():
    english, spanish = TEXTS["README.md"], (ROOT / SPANISH).read_text()
    for step in ("`kedro models --rollback`, ", "kedro setup --env minio ", "[deploy](deploy)"):
        assert step in spanish
        assert list_steps(spanish.replace(step, "")) != list_steps(english)
