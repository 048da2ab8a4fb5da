"""A Kedro project in a temporary folder, on the embedded stores or on real servers.

What costs seconds to make is made once per session, whichever worker needs it first: the servers, a database with the
schema, and a project with two modelled days. See ``make_once``.
"""

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
import pyarrow as pa
import pytest
import sqlalchemy
import yaml
from click.testing import CliRunner
from fast_sessions import speed_up
from filelock import FileLock
from hypothesis import HealthCheck, settings
from kedro.framework.context import KedroContext
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from servers import make_room, start_shared_servers, stop_shared_servers

from network_anomalies.cli import cli
from network_anomalies.parameters import GeneratorParameters, WorkersParameters
from network_anomalies.records.silver_day import StoredEvents
from network_anomalies.registry.engine import connect, migrate
from network_anomalies.registry.tables import metadata
from network_anomalies.upkeep import Stores, load_stores, setup_stores

os.environ["DO_NOT_TRACK"] = "1"
speed_up()

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
DAY_BEFORE, DAY, NEXT_DAY = "2024-04-18", "2024-04-19", "2024-04-20"
# In the last slice, which the first day's model is tested on.
LOUD = {"fast_scan": {"share": 0.1, "start_hour": [19, 19]}, "brute_force": {"share": 0.05, "start_hour": [20, 20]}}
SMALL_DAY = {"generator__n_events": 3000, "generator__attacks": LOUD, "transformation__slice_hours": 6}

IN_THREADS = WorkersParameters(dask=False, local_processes=0)

# One profile: the same examples on every machine, and no verdict on a busy one's speed.
settings.register_profile(
    "project", deadline=None, derandomize=True, max_examples=12, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")

SESSION_FOLDER, SESSION_PID = "NETWORK_ANOMALIES_TEST_SESSION", "NETWORK_ANOMALIES_TEST_PID"
"""Variables with the folder of what the workers of a session share, and with the process that they work for."""
TEMPLATE = "with_schema"
"""Database with the schema and no row; the databases of tests are copies of it."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the session's folder before there are workers, which inherit the variable."""
    if not hasattr(config, "workerinput"):
        os.environ[SESSION_FOLDER] = tempfile.mkdtemp(prefix="network-anomalies-tests-")
        os.environ[SESSION_PID] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the workers shared, once all of them have ended."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(SESSION_FOLDER))
        stop_shared_servers(folder)
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests: a long test at the end keeps one worker only busy."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def make_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the session's folder of a name, filled by ``make`` if no worker has done so; others wait meanwhile."""
    folder = Path(os.environ[SESSION_FOLDER]) / name
    made = folder.with_suffix(".made")
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@dataclass
class Project:
    """A copy of the project's configuration whose data lies in a folder of its own."""

    root: Path
    env: str = "embedded"
    variables: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, KedroContext] = field(default_factory=dict, repr=False)

    def session(self, **params: Any) -> KedroSession:
        """Return a session with runtime parameters; ``a__b=1`` means ``a.b=1``."""
        nested: dict[str, Any] = {}
        for name, value in params.items():
            *groups, key = name.split("__")
            place = nested
            for group in groups:
                place = place.setdefault(group, {})
            place[key] = value
        session = KedroSession.create(
            self.root, env=self.env, runtime_params=nested, conf_source=str(self.root / "conf")
        )
        assert isinstance(session, KedroSession)
        return session

    def run(self, pipeline: str = "ingestion", *more: str, **params: Any) -> str:
        """Run pipelines in this process, ten events unless told otherwise; return the run's status."""
        defaults = (
            {"logical_date": DAY, "generator__n_events": 10} if pipeline == "ingestion" else {"logical_date": DAY}
        )
        with self.session(**(defaults | params)) as session:
            session.run(pipeline_names=[pipeline, *more])
        return str(self.rows("pipeline_runs").sort_values("started_at")["status"].iloc[-1])

    def load(self, dataset: str, **params: Any) -> Any:
        """Load a dataset of the catalog; its configuration is read once, since that takes most of the time."""
        given = {"logical_date": DAY} | params
        files = sorted((self.root / "conf").rglob("*.yml"))
        key = repr([sorted(given.items()), self.env, [(path, path.stat().st_mtime_ns) for path in files]])
        if key not in self.contexts:
            self.contexts[key] = context = self.session(**given).load_context()
            for name in ("catalog", "credentials"):
                context.config_loader[name] = context.config_loader[name]
        return self.contexts[key].catalog.load(dataset)

    def rows(self, table: str) -> pd.DataFrame:
        """Return a table of the registry, by plain SQL."""
        with self.stores.engine.connect() as connection:
            return pd.read_sql(sqlalchemy.text(f"SELECT * FROM {table}"), connection)

    def records(self, table: str) -> list[dict[str, Any]]:
        """Return a table's rows as dicts, JSON columns read."""
        rows = self.rows(table).astype("object").to_dict("records")
        return [
            {name: json.loads(value) if str(value)[:1] in ("[", "{") else value for name, value in row.items()}
            if self.env == "embedded"
            else row
            for row in rows
        ]

    def stored(self, uri: str) -> bytes:
        """Return the bytes that a URI of the registry leads to, by a plain client."""
        data: bytes = self.stores.lake.cat_file(self._path(uri))
        return data

    def damage(self, uri: str) -> None:
        """Change one bit of what a URI of the registry leads to."""
        data = bytearray(self.stored(uri))
        data[len(data) // 2] ^= 1
        self.stores.lake.pipe_file(self._path(uri), bytes(data))

    def remove(self, uri: str) -> None:
        """Remove what a URI of the registry leads to."""
        self.stores.lake.rm_file(self._path(uri))

    def _path(self, uri: str) -> str:
        return uri if "://" in uri else str(self.root / uri)

    @property
    def url(self) -> str:
        """The registry's URL."""
        return self.stores.engine.url.render_as_string(hide_password=False)

    @cached_property
    def stores(self) -> Stores:
        """The lake and the registry, opened once: configuration takes most of a second to read."""
        return load_stores(self.env, self.root)

    def objects(self, layer: str = "raw") -> list[str]:
        """Return the keys in a bucket, by a plain client; in the RAW bucket those of events."""
        self.stores.lake.invalidate_cache()
        keys = sorted(self.stores.lake.find(self.stores.buckets[layer]))
        return [key for key in keys if "/_manifests/" not in key and "/_verdicts/" not in key]

    def manifests(self) -> list[str]:
        """Return the keys of the manifests in the RAW bucket, by a plain client."""
        self.stores.lake.invalidate_cache()
        return sorted(self.stores.lake.find(f"{self.stores.buckets['raw']}/_manifests"))

    def invoke(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in this process: a second cheaper than ``cli``, for what is no question about a process."""
        with chdir(self.root):
            done = CliRunner().invoke(cli, arguments)
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def cli(self, *arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "network_anomalies", *arguments],
            cwd=cwd or self.root,
            env=os.environ | self.variables | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start the installed command and return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", "network_anomalies", *arguments],
            cwd=self.root,
            env=os.environ | self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def hold_events(frame: pd.DataFrame) -> StoredEvents:
    """Return events of a slice that are in memory, not in the store."""
    return StoredEvents(partial(list, [pa.Table.from_pandas(frame, preserve_index=False)]))


def generator_parameters(**changes: Any) -> GeneratorParameters:
    """Return the project's own parameters of the generator, some of them changed."""
    base = ROOT / "conf/base"
    raw = yaml.safe_load((base / "parameters_ingestion.yml").read_text())["generator"]
    profiles = {}
    for path in base.glob("parameters_profile_*.yml"):
        profiles |= yaml.safe_load(path.read_text())["generator"]["profiles"]
    return GeneratorParameters(**raw | {"profiles": profiles} | changes)


@pytest.fixture(scope="session", autouse=True)
def _configured() -> None:
    configure_project("network_anomalies")


@pytest.fixture(scope="module", autouse=True)
def _settled() -> None:
    """Let the collector look at no object that is there before a module's tests: it would take a fifth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def embedded(tmp_path: Path) -> Project:
    """A project on the embedded stores."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def servers() -> dict[str, str]:
    """The environment that leads to the real servers, which all workers share."""
    folder = make_once("servers", make_servers)
    environment: dict[str, str] = json.loads((folder / "environment.json").read_text())
    return environment


def make_servers(folder: Path) -> None:
    """Start the servers, and make the database that those of tests are copies of."""
    environment = start_shared_servers(folder.parent, int(os.environ[SESSION_PID]))
    ask_postgres(environment, f"CREATE DATABASE {TEMPLATE}")
    user = {"username": environment["PG_USER"], "password": environment["PG_PASSWORD"]}
    place = {"host": environment["PG_HOST"], "port": int(environment["PG_PORT"]), "database": TEMPLATE}
    url = sqlalchemy.URL.create("postgresql+psycopg2", **user, **place)
    migrate(connect(url.render_as_string(hide_password=False)))
    (folder / "environment.json").write_text(json.dumps(environment))


def ask_postgres(environment: dict[str, str], statement: str) -> None:
    """Execute a statement that stands outside transactions."""
    names = {"host": "PG_HOST", "port": "PG_PORT", "user": "PG_USER", "password": "PG_PASSWORD"}
    admin = psycopg2.connect(dbname="postgres", **{key: environment[name] for key, name in names.items()})
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(statement)
    admin.close()


def serve_project(root: Path, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch, options: str = "") -> Project:
    """Return a new project on the real servers whose buckets and database have a name of their own."""
    name = f"test-{os.urandom(4).hex()}"
    environment = servers | {"PG_DATABASE": name}
    ask_postgres(servers, f'CREATE DATABASE "{name}" {options}')
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    project = copy_project(root)
    places = project.root / "conf/base/globals.yml"
    places.write_text(places.read_text().replace("cybersec-ml", name))
    return Project(project.root, "minio", environment)


@pytest.fixture
def served(tmp_path: Path, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on the real servers, nothing set up yet."""
    return serve_project(tmp_path / "project", servers, monkeypatch)


@pytest.fixture
def ready(tmp_path: Path, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on the real servers, buckets and schema made."""
    project = serve_project(tmp_path / "project", servers, monkeypatch, f"TEMPLATE {TEMPLATE}")
    list(setup_stores(project.stores))
    for bucket in project.stores.buckets.values():
        make_room(servers, bucket)
    return project


@pytest.fixture(params=["embedded", "minio"])
def anywhere(request: pytest.FixtureRequest) -> Project:
    """A project on either kind of stores, ready to run."""
    project: Project = request.getfixturevalue("embedded" if request.param == "embedded" else "ready")
    return project


@pytest.fixture(scope="session")
def modelled_days() -> Project:
    """A project in which ``full`` has run on two days; to look at, not to change."""
    return Project(make_once("modelled", model_days) / "project")


def model_days(folder: Path) -> None:
    """Run ``full`` on two days in a new project."""
    project = copy_project(folder / "project")
    for day in (DAY_BEFORE, DAY):
        project.run("full", logical_date=day, **SMALL_DAY)


@pytest.fixture
def modelled(modelled_days: Project, tmp_path: Path) -> Project:
    """A copy of ``modelled_days``, to change at will."""
    shutil.copytree(modelled_days.root, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def make_events() -> Callable[..., pd.DataFrame]:
    """Return a function that makes good events of DAY, with columns replaced at will."""

    def make(rows: int = 3, **columns: Any) -> pd.DataFrame:
        times = pd.date_range(f"{DAY}T00:00:01", periods=rows, freq="min", tz="UTC", unit="us")
        events = pd.DataFrame(
            {
                "timestamp": times,
                "src_ip": [f"10.0.0.{row + 1}" for row in range(rows)],
                "dst_ip": "192.0.2.1",
                "bytes": [100 + row for row in range(rows)],
                "duration": 0.5,
                "protocol": "TCP",
            }
        )
        return events.assign(**columns)

    return make


def copy_project(root: Path) -> Project:
    """Return a project in a new folder, with the configuration of this one."""
    root.mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "conf", root / "conf", ignore=shutil.ignore_patterns("local"))
    return Project(root)


def copy_registry(project: Project) -> object:
    """Keep a copy of the registry, as a nightly dump would."""
    if project.env == "embedded":
        return (project.root / "data/registry.db").read_bytes()
    with project.stores.engine.connect() as connection:
        return {
            table.name: list(connection.execute(sqlalchemy.select(table)).mappings())
            for table in metadata.sorted_tables
        }


def bring_back(project: Project, copy: object) -> None:
    """Put a copy of the registry in the place of the present one."""
    if isinstance(copy, bytes):
        (project.root / "data/registry.db").write_bytes(copy)
        return
    assert isinstance(copy, dict)
    with project.stores.engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        for table in metadata.sorted_tables:
            if copy[table.name]:
                connection.execute(table.insert(), [dict(row) for row in copy[table.name]])
