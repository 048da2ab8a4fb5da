"""Projects for the fault campaign: the configuration, stores of their own and plain clients of them, logs."""

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import psycopg2
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

ROOT = Path(__file__).parent.parent
DEFAULT_NAME = "cybersec-ml"
FIELDS = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration", "orig_pkts",
          "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A project of the campaign.

    Attributes:
        root: its folder.
        env: `embedded` or `minio`.
        name: what its buckets' names begin with; on servers also its database.
        servers: the environment variables of ``--env minio``, empty for `embedded`.
    """

    root: Path
    env: str
    name: str = DEFAULT_NAME
    servers: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that lead a command to the stores."""
        return self.servers | ({"PG_DATABASE": self.name} if self.servers else {})

    @property
    def database(self) -> Path:
        """The file of the embedded registry."""
        return self.root / "data/registry.db"

    @cached_property
    def engine(self) -> Engine:
        """A plain client of the registry; on PostgreSQL a transaction reads one state of it."""
        if self.env == "embedded":
            return create_engine(f"sqlite:///{self.database}", poolclass=NullPool)
        url = URL.create(
            "postgresql+psycopg2",
            self.servers["PG_USER"],
            self.servers["PG_PASSWORD"],
            self.servers["PG_HOST"],
            int(self.servers["PG_PORT"]),
            self.name,
        )
        return create_engine(url, poolclass=NullPool, isolation_level="REPEATABLE READ")

    @cached_property
    def lake(self) -> Any:
        """A plain client of the lake: an fsspec filesystem that remembers no listing."""
        if self.env == "embedded":
            return fsspec.filesystem("file", use_listings_cache=False)
        return fsspec.filesystem(
            "s3",
            key=self.servers["MINIO_ACCESS_KEY"],
            secret=self.servers["MINIO_SECRET_KEY"],
            endpoint_url=self.servers["MINIO_ENDPOINT_URL"],
            use_listings_cache=False,
        )

    def bucket(self, layer: str) -> str:
        """Return the path of a bucket (`raw`, `quarantine`) on the lake."""
        name = f"{self.name}-{layer}"
        return name if self.servers else str(self.root / "data/lake" / name)

    def uri(self, path: str) -> str:
        """Return the URI that the registry uses for a path on the lake."""
        return f"s3://{path}" if self.servers else str(Path(path).relative_to(self.root))

    def read_objects(self, layer: str) -> dict[str, bytes]:
        """Return the bytes of every file of a bucket, by URI."""
        bucket = self.bucket(layer)
        paths = self.lake.find(bucket) if self.lake.exists(bucket) else []
        read = self.lake.cat(paths, on_error="omit") if paths else {}
        return {self.uri(path): data for path, data in read.items()}

    def read_copies(self) -> dict[str, bytes]:
        """Return the bytes of every local copy, by its path from the root."""
        paths = (path for path in (self.root / "data/ingested").rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}


def make_place(folder: Path, env: str, name: str, servers: dict[str, str]) -> Place:
    """Copy the configuration into a new folder; on servers make an empty database too. Nothing is set up yet."""
    root = folder / name
    root.mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "conf", root / "conf", ignore=shutil.ignore_patterns("local"))
    if env == "embedded":
        return Place(root, env)
    _execute_on_server(servers, f'CREATE DATABASE "{name}"')
    places = root / "conf/base/globals.yml"
    places.write_text(places.read_text().replace(DEFAULT_NAME, name))
    return Place(root, env, name, servers)


def save_registry(place: Place) -> None:
    """Keep a copy of the registry, to be brought back later; an older copy is replaced."""
    if place.servers:
        _execute_on_server(place.servers, f'DROP DATABASE IF EXISTS "{place.name}-older" WITH (FORCE)')
        _execute_on_server(place.servers, f'CREATE DATABASE "{place.name}-older" TEMPLATE "{place.name}"')
        return
    older = place.database.with_suffix(".older")
    older.unlink(missing_ok=True)
    with closing(sqlite3.connect(place.database)) as source, closing(sqlite3.connect(older)) as target:
        source.backup(target)


def lose_registry(place: Place, bring_back: bool) -> None:
    """Take the registry away; with ``bring_back`` the copy that ``save_registry`` kept takes its place."""
    if place.servers:
        _execute_on_server(place.servers, f'DROP DATABASE "{place.name}" WITH (FORCE)')
        template = f'TEMPLATE "{place.name}-older"' if bring_back else ""
        _execute_on_server(place.servers, f'CREATE DATABASE "{place.name}" {template}')
        return
    # A journal that a killed process left belongs to the file that goes.
    for file in (place.database, place.database.with_name("registry.db-journal")):
        file.unlink(missing_ok=True)
    if bring_back:
        shutil.copy(place.database.with_suffix(".older"), place.database)


def write_log(folder: Path, day: str, variant: int) -> Path:
    """Write a day's Zeek conn.log of some hundred lines; variants of a day differ.

    Each has flows that the gate rejects, lines of the next day, a line that is no flow and one that is broken.
    """
    path = folder / "logs" / f"{day}_{variant}.log"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = random.Random(f"{day} {variant}")
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    seconds = sorted(draw.uniform(0, 86_000) for _ in range(280 + 20 * variant))
    times = [begin + timedelta(seconds=second) for second in [*seconds, 86_400, 86_500]]
    lines = [_make_line(draw, number, time) for number, time in enumerate(times)]
    header = ["#separator \\x09", "#unset_field\t-", "#path\tconn", "\t".join(("#fields", *FIELDS))]
    path.write_text("\n".join([*header, *lines, "never\tfinished", "#close"]) + "\n")
    return path


def _make_line(draw: random.Random, number: int, time: datetime) -> str:
    protocol = "unknown_transport" if number % 100 == 1 else draw.choice(("tcp", "udp"))
    hosts = f"10.0.0.{draw.randrange(1, 30)}", str(draw.randrange(1024, 60_000)), f"192.0.2.{draw.randrange(1, 9)}"
    counts = (str(draw.randrange(1, 1000)) for _ in range(4))
    values = (f"{time.timestamp():.6f}", f"C{number}", *hosts, "443", protocol, f"{draw.random():.6f}", *counts)
    return "\t".join(values)


def _execute_on_server(servers: dict[str, str], statement: str) -> None:
    connection = psycopg2.connect(
        host=servers["PG_HOST"],
        port=servers["PG_PORT"],
        user=servers["PG_USER"],
        password=servers["PG_PASSWORD"],
        dbname="postgres",
    )
    connection.autocommit = True  # a database is made outside of any transaction
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(statement)
