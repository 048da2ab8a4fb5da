"""Kedro's configuration loader, with a run's identity fixed once and the parameters checked."""

import functools
import operator
import secrets
import threading
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from network_anomalies.errors import ProjectError, explain, is_expected
from network_anomalies.parameters import check_parameters

_READING = threading.RLock()
"""OmegaConf's resolvers are global to the process: a thread makes them its loader's own, and reads, before the next."""

LOCAL_ADVICE = (
    "conf/local holds no credentials: copy conf/minio/credentials.yml there and write your own values into it, "
    "or use --env minio with the environment variables that it names"
)


class ProjectConfigLoader(OmegaConfigLoader):
    """One loader per run: every reader of it sees the same run id and logical date.

    Four resolvers are its own: ``parameter`` lets the catalog use a parameter's value, so that a value is stated once;
    ``globals`` is Kedro's, read from this loader whatever others exist; ``sqlite_url`` anchors a file at
    ``project_path`` rather than at the working directory; ``postgres_url`` quotes what a URL would misread.

    Attributes:
        project_path: the project's root, which a hook sets once Kedro has found it; until then the project that the
            working directory belongs to, or the folder above the configuration.
    """

    def __init__(
        self, conf_source: str | Path, env: str | None = None, runtime_params: dict[str, Any] | None = None, **rest: Any
    ) -> None:
        self.project_path = find_kedro_project(Path.cwd()) or Path(conf_source).resolve().parent
        self._resolvers: dict[str, Callable[..., Any]] = {
            "parameter": lambda name: _to_plain(_find(self._parameters(), name)),
            "globals": lambda name, *default: _find(self._places(), name, *default),
            "sqlite_url": lambda path: f"sqlite:///{self.project_path / path}",
            "postgres_url": postgres_url,
        }
        self._parameters = cache(self._read_parameters)
        self._places = cache(lambda: self._read("globals"))
        with _READING:
            super().__init__(conf_source, env=env, runtime_params=fix_identity(runtime_params or {}), **rest)

    def __getitem__(self, key: str) -> dict[str, Any]:
        # Kedro asks for them time and again, and reading them is a tenth of the start-up.
        return deepcopy(self._parameters()) if key == "parameters" else self._read(key)

    def _read_parameters(self) -> dict[str, Any]:
        parameters = self._read("parameters")
        if isinstance(parameters.get("generator"), dict):
            self._add_profile(parameters["generator"])
        return check_parameters(parameters)

    def _add_profile(self, generator: dict[str, Any]) -> None:
        """Add the profile that the generator is to use; reading them all would take as long as all other parameters."""
        name, given = str(generator.get("profile")), generator.setdefault("profiles", {})
        there = {path.stem.removeprefix("profile_") for path in Path(self.conf_source).glob("*/profile_*.yml")}
        if not isinstance(given, dict):
            return  # the check names it
        if name in there:
            self.config_patterns["profile"] = [f"profile_{name}.yml"]
            own = self._read("profile")
            given[name] = OmegaConf.to_container(OmegaConf.merge(own, given[name])) if name in given else own
        elif name not in given:
            raise ProjectError(f"parameter generator.profile is {name}: there are {', '.join(sorted(there))}")

    def _read(self, key: str) -> dict[str, Any]:
        try:
            with _READING:
                for name, resolver in self._resolvers.items():
                    OmegaConf.register_new_resolver(name, resolver, replace=True)
                config: dict[str, Any] = super().__getitem__(key)
        except MissingConfigException as error:
            if self.env == "local":
                raise ProjectError(LOCAL_ADVICE) from error
            if self.env and not (Path(self.conf_source) / self.env).is_dir():
                raise ProjectError(f"there is no environment {self.env}: conf holds embedded, minio, local") from error
            raise
        except Exception as error:
            if is_expected(error):  # Kedro's own commands print it as one line then
                raise ProjectError(explain(error)) from error
            raise
        return config


def _find(values: dict[str, Any], name: str, *default: Any) -> Any:
    """Return the value of a dotted name, or the default if one is given."""
    try:
        return functools.reduce(operator.getitem, name.split("."), values)
    except KeyError:
        if default:
            return default[0]
        raise


def _to_plain(value: Any) -> Any:
    """Return a date as text: YAML and OmegaConf have no type for it."""
    return value.isoformat() if isinstance(value, date) else value


def fix_identity(runtime_params: dict[str, Any]) -> dict[str, Any]:
    """Return ``runtime_params`` with a run id and a logical date (yesterday in UTC unless given).

    >>> sorted(fix_identity({"logical_date": "2024-04-19", "run_id": "r1"}).items())
    [('logical_date', '2024-04-19'), ('run_id', 'r1')]
    """
    now = datetime.now(UTC)
    fixed = {"run_id": make_run_id(now), "logical_date": f"{now - timedelta(days=1):%Y-%m-%d}"} | runtime_params
    return fixed | {"logical_date": str(fixed["logical_date"])}


def make_run_id(now: datetime) -> str:
    """Return an id that no other run on any machine has, and that sorts by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def postgres_url(user: str, password: str, host: str, port: object, database: str, sslmode: str) -> str:
    """Return a SQLAlchemy URL in which any character of a name or password is safe, with time limits."""
    from sqlalchemy import URL

    # A database that went away is noticed within seconds, also in the middle of a run.
    limits = {"connect_timeout": "5", "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3"}
    if not str(port).isdigit():
        raise ProjectError(f"PG_PORT is {port!r}: give the number of a port, or leave it unset for 5432")
    url = URL.create(
        "postgresql+psycopg2",
        username=str(user),
        password=str(password),
        host=str(host),
        port=int(str(port)),
        database=str(database),
        query={"sslmode": str(sslmode), "tcp_user_timeout": "10000", "application_name": "network-anomalies", **limits},
    )
    return url.render_as_string(hide_password=False)
