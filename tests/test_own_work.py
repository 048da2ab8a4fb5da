"""A person's own work: `conf/local`, own parameters, datasets, profiles and pipelines; the code is that of the docs."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from conftest import DAY, DAY_BEFORE, ROOT, Project, copy_project
from kedro.framework.cli.cli import KedroCLI
from kedro.io import DatasetError

from network_anomalies.errors import ProjectError, explain
from network_anomalies.runs.configuration import ProjectConfigLoader
from network_anomalies.settings import CONFIG_LOADER_ARGS

DOCS = (ROOT / "docs/own_work.md").read_text()
BLOCKS = dict(re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", DOCS, re.DOTALL))
COMMANDS = re.findall(r"^kedro (?!package).*$", DOCS, re.MULTILINE)
SERVER = {
    "minio": {"key": "k", "secret": "s", "endpoint_url": "http://store.example"},
    "postgres": {"con": "postgresql+psycopg2://u:p@db.example/events"},
}


def write_local(project: Project, **files: object) -> None:
    """Write files of `conf/local` by their stems."""
    folder = project.root / "conf/local"
    folder.mkdir(exist_ok=True)
    for stem, content in files.items():
        (folder / f"{stem}.yml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))


def read(project: Project, key: str, env: str | None = None, **params: object) -> dict:
    return dict(ProjectConfigLoader(project.root / "conf", env=env, runtime_params=params, **CONFIG_LOADER_ARGS)[key])


def kedro(project: Project, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Kedro's own command in a process of its own."""
    (project.root / "src").mkdir(exist_ok=True)  # Kedro asks for it
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project.root, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_what_is_local_wins_over_the_environment_and_params_win_over_it(embedded):
    write_local(
        embedded,
        parameters={"generator": {"n_events": 30}, "extra": {"top": 3}},
        globals={"lake": "data/mine/", "buckets": {"raw": "my-raw"}},
        catalog={"quality_report": {"type": "MemoryDataset"}, "mine": {"type": "MemoryDataset"}},
    )
    assert embedded.session(logical_date=DAY).load_context().params["generator"].n_events == 30
    assert read(embedded, "parameters", generator={"n_events": 40})["generator"].n_events == 40
    assert read(embedded, "parameters")["generator"].seed == 7
    assert read(embedded, "parameters")["extra"] == {"top": 3}
    catalog = read(embedded, "catalog", logical_date=DAY)
    assert catalog["quality_report"] == catalog["mine"] == {"type": "MemoryDataset"}
    assert catalog["raw_parts"]["path"] == f"data/mine/my-raw/synthetic/{DAY}"
    assert read(embedded, "globals")["buckets"]["silver"] == "cybersec-ml-silver"


def test_a_file_that_a_local_entry_stores_elsewhere_is_named_and_nothing_is_committed(embedded):
    write_local(embedded, catalog={"quality_report": {"type": "MemoryDataset"}})
    with pytest.raises(DatasetError) as raised:
        embedded.run()
    assert explain(raised.value).startswith("quality_report was not stored at data/lake/")
    assert embedded.rows("ingestion_batches").empty
    assert embedded.rows("pipeline_runs")["status"].tolist() == ["FAILED"]
    (embedded.root / "conf/local/catalog.yml").unlink()
    assert embedded.run() == "SUCCESS"


def test_a_local_date_counts_unless_the_command_gives_one(embedded):
    write_local(embedded, parameters={"logical_date": DAY, "run_id": "mine"})
    parameters = read(embedded, "parameters")
    assert (str(parameters["logical_date"]), parameters["run_id"]) == (DAY, "mine")
    assert str(read(embedded, "parameters", logical_date=DAY_BEFORE)["logical_date"]) == DAY_BEFORE


@pytest.mark.parametrize("key", ["parameters", "catalog", "credentials"])
def test_a_file_without_names_is_named(embedded, key):
    write_local(embedded, **{key: "- a\n"})
    with pytest.raises(ProjectError, match=f"conf/local/{key}.yml does not consist of names with values"):
        read(embedded, key)


def test_a_project_without_local_files_reads_the_same(embedded):
    before = {key: read(embedded, key, logical_date=DAY, run_id="r") for key in ("globals", "parameters", "catalog")}
    write_local(embedded)
    assert {key: read(embedded, key, logical_date=DAY, run_id="r") for key in before} == before


def test_a_person_may_keep_an_environment_of_their_own(embedded):
    shutil.copytree(embedded.root / "conf/embedded", embedded.root / "conf/staging")
    write_local(embedded, parameters={"generator": {"n_events": 30}})
    assert read(embedded, "parameters", env="staging")["generator"].n_events == 30
    (embedded.root / "conf/staging/credentials.yml").unlink()
    with pytest.raises(ProjectError, match="environment staging has no credentials minio and postgres"):
        read(embedded, "credentials", env="staging")


def test_a_fault_in_a_local_file_is_one_line(embedded):
    write_local(embedded, parameters={"top": 3})
    with pytest.raises(ProjectError, match=r"unknown parameter top: .* \(a parameter of your own is extra\.top\)"):
        read(embedded, "parameters")
    write_local(embedded, parameters="extra: [", catalog="a: b: c")
    for key in ("parameters", "catalog"):
        done = kedro(embedded, "run", "--pipelines", "ingestion")
        assert done.returncode == 1 and "Traceback" not in done.stderr, (key, done.stderr)
        assert "conf/local/parameters.yml" in done.stderr


def test_a_servers_credentials_count_with_env_local_only(embedded, monkeypatch, caplog):
    write_local(embedded, credentials=SERVER | {"mine": {"token": "t"}})
    shared = read(embedded, "credentials")
    assert (shared["minio"], shared["mine"]) == ({}, {"token": "t"})
    assert shared["postgres"]["con"].startswith("sqlite:")
    assert read(embedded, "credentials", env="local") == SERVER | {"mine": {"token": "t"}}
    for name in re.findall(r"oc\.env:(\w+)", (ROOT / "conf/minio/credentials.yml").read_text()):
        monkeypatch.setenv(name, "5432")
    assert read(embedded, "credentials", env="minio")["minio"]["endpoint_url"] == "5432"
    with caplog.at_level("INFO", "network_anomalies"):
        read(embedded, "credentials")
    assert "minio and postgres: used with --env local only" in caplog.text
    assert embedded.run() == "SUCCESS"


def test_a_sqlite_registry_of_ones_own_is_used_by_runs_commands_and_doctor(embedded, tmp_path):
    write_local(embedded, credentials={"postgres": {"con": f"sqlite:///{tmp_path}/mine.db"}})
    assert embedded.run() == "SUCCESS"
    assert (tmp_path / "mine.db").exists() and not (embedded.root / "data/registry.db").exists()
    shown = embedded.invoke("doctor")
    assert shown.returncode == 0, shown.stdout
    (tmp_path / "mine.db").write_bytes(b"no database")
    assert f"{tmp_path}/mine.db" in embedded.invoke("doctor").stdout


def test_local_parameters_need_no_credentials_with_the_default_environment(embedded):
    write_local(embedded, parameters={"generator": {"n_events": 30}})
    assert embedded.run(generator__seed=8, generator__n_events=30) == "SUCCESS"
    with pytest.raises(ProjectError, match="conf/local holds no credentials"):
        read(embedded, "credentials", env="local")


def test_a_profile_of_ones_own_decides_the_day_and_stays_done(embedded):
    profile = yaml.safe_load((ROOT / "conf/base/parameters_profile_campus.yml").read_text())
    mine = profile["generator"]["profiles"]["campus"] | {"clients": 150}
    own = {"profile": "mine", "profiles": {"mine": mine, "enterprise": {"clients": 101}}, "n_events": 500}
    write_local(embedded, parameters_profile_mine={"generator": own})
    for status in ("SUCCESS", "UNCHANGED"):
        with embedded.session(logical_date=DAY) as session:
            session.run(pipeline_names=["ingestion"])
        assert embedded.rows("pipeline_runs")["status"].iloc[-1] == status
    assert f"{DAY}  done" in embedded.invoke("status").stdout
    write_local(embedded, parameters_profile_mine={"generator": own | {"profiles": {"mine": mine | {"clients": 151}}}})
    assert f"{DAY}  stale" in embedded.invoke("status").stdout
    refused = embedded.invoke("run", "--params", "generator.profile=other")
    assert refused.stderr.splitlines() == [
        "Error: parameter generator: there is no profile other: there are campus, enterprise, mine, provider"
    ]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the pipeline, dataset and parameters of the docs."""
    project = copy_project(tmp_path_factory.mktemp("extended") / "project")
    shutil.copytree(ROOT / "src", project.root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name, content in BLOCKS.items():
        path = project.root / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    registry = project.root / "src/network_anomalies/pipeline_registry.py"
    line, entry = BLOCKS["src/network_anomalies/pipeline_registry.py"].splitlines()
    imports, tasks = "from network_anomalies.pipelines import (", "    tasks = {\n"
    text = registry.read_text()
    assert imports in text and tasks in text
    text = text.replace(imports, f"{line}\n{imports}", 1).replace(tasks, f"{tasks}{entry}\n", 1)
    registry.write_text(text)
    return Project(project.root, variables={"PYTHONPATH": str(project.root / "src")})


def test_a_pipeline_of_ones_own_runs_as_the_docs_say(extended):
    assert [command.split()[1] for command in COMMANDS] == ["run", "run", "catalog"]
    for command in COMMANDS:
        more = ["--params", f"logical_date={DAY}"] if " run " in command else []
        done = kedro(extended, *command.split()[1:], *more, **extended.variables)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "top_talkers" in done.stdout
    talkers = pd.read_csv(extended.root / "data/top_talkers.csv")
    events = extended.load("raw_network_events")
    expected = events.groupby("src_ip")["bytes"].sum().nlargest(3)
    assert talkers["bytes"].tolist() == expected.tolist()
    assert len(events) == 2000
    assert extended.rows("pipeline_runs")["pipeline"].tolist() == ["ingestion", "talkers"]
    assert f"{DAY}  done" in extended.cli("status", **extended.variables).stdout


def test_every_entry_is_listed_ones_own_too(extended):
    shown = kedro(extended, "catalog", "resolve-patterns", **extended.variables)
    assert shown.returncode == 0, shown.stderr
    listed = set(re.findall(r"^(\w+):", shown.stdout, re.MULTILINE))
    assert set(read(extended, "catalog")) | {"top_talkers", "raw_network_events"} <= listed


NO_CREDENTIALS = [
    ("minio", "Error: the environment variable MINIO_ACCESS_KEY is not set: set it, or choose another --env"),
    ("base", "Error: environment base has no credentials minio and postgres: use --env embedded or --env minio"),
]


@pytest.mark.parametrize(
    "command", ["catalog resolve-patterns", "catalog describe-datasets", "catalog list-patterns", "run"]
)
@pytest.mark.parametrize(("env", "said"), NO_CREDENTIALS)
def test_an_environment_without_credentials_is_one_line(embedded, monkeypatch, command, env, said):
    (embedded.root / "src").mkdir()
    monkeypatch.chdir(embedded.root)
    monkeypatch.setattr(sys, "path", [*sys.path])  # Kedro's command line adds to both
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    done = CliRunner().invoke(KedroCLI(embedded.root), [*command.split(), "--env", env])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)


@pytest.mark.parametrize(("env", "said"), NO_CREDENTIALS)
def test_a_viewer_without_credentials_is_one_line(embedded, env, said):
    done = kedro(embedded, "viz", "run", "--no-browser", "--env", env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)
