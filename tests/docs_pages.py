"""The pages of the documentation: the commands in them, and the files, names and links that they mention."""

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from conftest import ROOT
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import pipelines

from network_anomalies.cli import cli
from network_anomalies.events.contract import COLUMNS
from network_anomalies.parameters import Parameters
from network_anomalies.runs.configuration import ProjectConfigLoader

PACKAGE = ROOT / "src/network_anomalies"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/decisions").glob("*.md")),
]
PROGRAMS = ("kedro", "network-anomalies", "python")
SHELL = ("", "sh", "bash")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"[\w.<>*{},/-]+")
NAME = re.compile(r"([A-Za-z_][\w.]*)(\(.*\))?")
SUFFIXES = (".ipynb", ".md", ".py", ".toml", ".txt", ".yml", ".yaml")
MADE_BY_RUNS = re.compile(
    r"(/app/data|/tmp|_manifests/.*|\.doctor/|data/(lake|registry\.db|run_logs)|conf/local/credentials\.yml)$"
)
"""Paths that do not exist in a checkout: runs, people and images make them."""
FOREIGN = {
    *("alembic_version", "AWS_CA_BUNDLE", "CreateContainerConfigError", "PGSSLROOTCERT", "rclone"),
    *("append", "catalog.load", "find_pipelines", "floor", "MemoryDataset"),
    *(f"{column}_missing" for column in COLUMNS),  # rules that the contract composes
}
"""Names that no file of this project holds."""


def find_spans(text: str) -> list[str]:
    """Return the inline code of a page, each on one line."""
    return [" ".join(span.split()) for span in SPAN.findall(BLOCK.sub("", text))]


def find_commands(text: str) -> list[str]:
    """Return the commands of this project in a page's shell blocks."""
    blocks = [body for language, body in BLOCK.findall(text) if language in SHELL]
    lines = [line for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(command for line in lines for command in _split_line(line)))


def find_mentions(text: str) -> list[str]:
    """Return the commands of this project in a page's inline code."""
    spans = [shlex.split(span) for span in find_spans(text) if span.split()[0] in PROGRAMS]
    return list(dict.fromkeys(shlex.join(words) for words in spans if len(words) > 1 and "COMMAND" not in words))


def _split_line(line: str) -> Iterator[str]:
    """Yield the commands of a shell line; of `docker run IMAGE ARGUMENTS` those that the image runs."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a block may hold something else, such as a tree of folders
        return
    for is_end, group in groupby(words, key="&&".__eq__):
        command = [] if is_end else list(group)
        if command[:2] == ["docker", "run"] and "network-anomalies" in command:
            command = command[command.index("network-anomalies") :]
        if command and command[0] in PROGRAMS:
            yield shlex.join(command)


def find_faults(command: str) -> Iterator[str]:
    """Say what is wrong with a command: it is not there, or an option, environment, pipeline or parameter is not."""
    program, *words = shlex.split(command)
    if program == "python" and words[0] != "-m":
        yield from _find_script_faults(*words)
        return
    if program == "python":
        words.pop(0)
        program = words.pop(0)
    try:
        given = _parse(_find_group(program), words)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError) as error:
        if len(words) > 1:  # one word is the name of a command, in a sentence about it
            yield f"{command}: {error.format_message()}"
        return
    except click.ClickException as error:
        yield f"{command}: {error.format_message()}"
        return
    if not (ROOT / "conf" / (given.get("env") or "base")).is_dir():
        yield f"{command}: there is no environment {given['env']}"
    named = given.get("pipelines") or given.get("pipeline") or []
    names = named.split(",") if isinstance(named, str) else named
    yield from (f"{command}: there is no pipeline {name}" for name in names if name not in pipelines)
    yield from (
        f"{command}: there is no parameter {name}" for name in _find_unknown(given.get("params"), _parameters())
    )


@cache
def _find_group(program: str) -> click.Group:
    if program == "kedro":
        return KedroCLI(ROOT)
    if program == "network_anomalies.orchestration":
        from network_anomalies.orchestration.__main__ import main

        return main
    if program in ("network-anomalies", "network_anomalies"):
        return cli
    raise click.UsageError(f"there is no module {program}")


def _parse(group: click.Group, words: list[str]) -> dict[str, Any]:
    """Return the options that a command line gives to its command, which is not run."""
    command: click.Command | None = group
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        command = command.get_command(click.Context(command), name)
        if command is None:
            raise click.UsageError(f"there is no command {name}")
    assert command is not None
    return dict(command.make_context(command.name, words).params)


def _find_script_faults(script: str, *words: str) -> Iterator[str]:
    if not (ROOT / script).is_file():
        yield f"there is no {script}"
        return
    text = (ROOT / script).read_text()
    yield from (f"{script} has no option {word}" for word in words if word.startswith("--") and f'"{word}"' not in text)


@cache
def _parameters() -> dict[str, Any]:
    loader = ProjectConfigLoader(ROOT / "conf", env="embedded", base_env="base", default_run_env="embedded")
    return Parameters.model_construct(**loader["parameters"]).model_dump()


def _find_unknown(given: Mapping[str, Any] | None, known: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in (given or {}).items():
        if name not in known:
            yield above + name
        elif isinstance(value, Mapping):
            yield from _find_unknown(value, known[name], f"{above}{name}.")


def find_missing_names(text: str, folder: Path) -> Iterator[str]:
    """Yield the paths and names in a page's inline code that do not exist."""
    for span in find_spans(text):
        if MADE_BY_RUNS.match(span) or span.split()[0] in PROGRAMS:
            continue
        if PATH.fullmatch(span) and ("/" in span or span.endswith(SUFFIXES)):
            if re.search(r"[A-Za-z]", span) and not _exists(span, folder):
                yield span
        elif (match := NAME.fullmatch(span)) and match[1] not in FOREIGN:
            known = _read_functions() if match[2] and "." not in match[1] else _read_words()
            if not set(match[1].split(".")) <= known:
                yield span


def _exists(span: str, folder: Path) -> bool:
    """Return whether a path, with <placeholders>, * and {alternatives}, leads to something."""
    if braces := re.search(r"\{([^}]*)\}", span):
        return all(_exists(span.replace(braces[0], name), folder) for name in braces[1].split(","))
    pattern = re.sub(r"<[^>]*>", "*", span).strip("/")
    if "/" not in span and any((*PACKAGE.rglob(pattern), *(ROOT / "conf").rglob(pattern))):
        return True
    return any(any(place.glob(pattern)) for place in (ROOT, folder, PACKAGE, PACKAGE.parent))


@cache
def _read_functions() -> set[str]:
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")]
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    return {part.name for tree in trees for part in ast.walk(tree) if isinstance(part, kinds)}


@cache
def _read_words() -> set[str]:
    folders = [path for name in ("src", "conf", "deploy", "benchmarks") for path in (ROOT / name).rglob("*")]
    files = [path for path in (*folders, ROOT / "pyproject.toml", ROOT / "constraints.txt") if path.is_file()]
    read = [path for path in files if path.suffix not in (".pyc", ".gitkeep")]
    stems = {path.stem for path in PACKAGE.rglob("*.py")} | {path.name for path in folders if path.is_dir()}
    return stems | {word for path in read for word in re.findall(r"\w+", path.read_text())}


def find_broken_links(text: str, folder: Path) -> Iterator[str]:
    """Yield the links of a page to files or headings that do not exist."""
    for target in LINK.findall(BLOCK.sub("", text)):
        name, _, anchor = target.partition("#")
        if "://" in name:
            continue
        path = (folder / name).resolve()
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in _list_anchors(path.read_text())):
            yield target


def _list_anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
