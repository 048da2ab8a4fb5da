"""Kedro's configuration loader: it fixes the run's identity, checks parameters, and applies ``conf/local`` last."""

import functools
import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from network_anomalies.compat import use_libyaml, use_resolvers
from network_anomalies.errors import ProjectError, explain, is_expected
from network_anomalies.parameters import check_parameters
from network_anomalies.runs.identity import fix_identity

logger = logging.getLogger(__name__)
LOCAL = "local"
STORES = ("minio", "postgres")
"""The sections of the credentials for the lake and for the registry."""
LOCAL_ADVICE = (
    "conf/local holds no credentials: copy conf/minio/credentials.yml there and write your own values into it, "
    "or use --env minio with the environment variables that it names"
)


class ProjectConfigLoader(OmegaConfigLoader):
    """Reads the configuration of one run: every read gives the same run id and logical date.

    It reads ``base``, then the run environment, then ``local``, which is for a person's own values. Values of ``local``
    replace those of any environment, except credentials of a server: see ``keep_own_stores``.

    It has seven resolvers. ``parameter`` gives the value of a parameter to the catalog, ``day`` the folder of the run's
    source and date, ``bucket`` the address of a bucket of ``globals.yml``, and ``store`` the name by which another
    process finds credentials. ``globals`` is like Kedro's, but always reads from this loader. ``sqlite_url`` makes a
    URL of a file below ``project_path``. ``postgres_url`` makes a URL and quotes special characters.

    Attributes:
        project_path: the project's root. A hook sets it when Kedro has found it. Before that it is the project of the
            working directory, or the folder above the configuration.
        resolvers: the resolvers, by name.
    """

    def __init__(
        self, conf_source: str | Path, env: str | None = None, runtime_params: dict[str, Any] | None = None, **rest: Any
    ) -> None:
        self.project_path = find_kedro_project(Path.cwd()) or Path(conf_source).resolve().parent
        self.resolvers: dict[str, Callable[..., Any]] = {
            "parameter": lambda name: _to_plain(_find(self._parameters(), name)),
            "day": lambda: "{source}/{logical_date}".format_map(self._parameters()),
            "bucket": lambda layer: f"{self._places()['lake']}{_find(self._places(), f'buckets.{layer}')}",
            "store": lambda section: f"{self.env or self.default_run_env}/{section}",
            "globals": lambda name, *default: _find(self._places(), name, *default),
            "sqlite_url": lambda path: f"sqlite:///{self.project_path / path}",
            "postgres_url": postgres_url,
        }
        self._parameters = cache(lambda: check_parameters(fix_identity(self._read("parameters"))))
        self._places = cache(lambda: self._read("globals"))
        given = {name: _to_plain(value) for name, value in (runtime_params or {}).items()}
        only_local = rest | {"base_env": LOCAL, "default_run_env": LOCAL}
        with use_resolvers(self.resolvers):
            self._local = OmegaConfigLoader(conf_source, runtime_params=given, **only_local)
            super().__init__(conf_source, env=env, runtime_params=given, **rest)

    def __getitem__(self, key: str) -> dict[str, Any]:
        # Kedro reads parameters many times; without the cache this would take a tenth of the start-up.
        return deepcopy(self._parameters()) if key == "parameters" else self._read(key)

    def _read(self, key: str) -> dict[str, Any]:
        try:
            with use_resolvers(self.resolvers), use_libyaml():
                config: dict[str, Any] = super().__getitem__(key)
                if self.env != LOCAL:
                    config = self._add_local(key, config)
        except MissingConfigException as error:
            raise ProjectError(self._describe_missing(key)) from error
        except Exception as error:
            if path := self._find_nameless(key):
                raise ProjectError(f"{path} does not consist of names with values: write `name: value`") from error
            if is_expected(error):  # Kedro's own commands print a ProjectError as one line
                raise ProjectError(explain(error)) from error
            raise
        if key == "credentials" and not set(STORES) <= set(config):
            raise ProjectError(self._describe_missing(key))
        return config

    def _add_local(self, key: str, config: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration with the values of ``conf/local``, merged as Kedro merges environments."""
        try:
            local = self._local[key]
        except MissingConfigException:  # there is no folder conf/local
            return config
        if not local:
            return config
        if key == "credentials":
            local = keep_own_stores(local, config)
        if self.merge_strategy.get(key) == "soft":
            merged: Any = OmegaConf.to_container(OmegaConf.merge(config, local))
            return dict(merged)
        return config | local

    def _find_nameless(self, key: str) -> Path | None:
        """Return a local file that is a list or a single value, which Kedro's error does not name; None without one."""
        folders = [Path(self.conf_source, env) for env in (self.base_env, self.env or self.default_run_env, LOCAL)]
        paths = [path for folder in folders for pattern in self.config_patterns[key] for path in folder.glob(pattern)]
        return next((path for path in paths if path.suffix in (".yml", ".yaml") and _is_nameless(path)), None)

    def _describe_missing(self, key: str) -> str:
        """Say what to do if an environment, or its credentials, are missing."""
        env = self.env or self.default_run_env
        if env == LOCAL:
            return LOCAL_ADVICE
        if key == "credentials":
            return (
                f"environment {env} has no credentials {' and '.join(STORES)}: use --env embedded or --env minio, "
                f"or write conf/{env}/credentials.yml as in conf/minio"
            )
        return f"there is no environment {env}: conf holds embedded, minio, local"


def keep_own_stores(local: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the credentials of ``conf/local`` that are used with another environment.

    Credentials of a server in ``conf/local`` are for ``--env local`` only. With ``embedded`` they would put the
    registry of local folders on a server, and with ``minio`` they would replace the values of environment variables. A
    SQLite registry may replace another SQLite registry.

    >>> keep_own_stores({"postgres": {"con": "postgresql://db"}, "mine": {}}, {"postgres": {"con": "sqlite:///a.db"}})
    {'mine': {}}
    """
    kept = {
        name: section
        for name, section in local.items()
        if name not in STORES or (_is_sqlite(section) and _is_sqlite(shared.get(name)))
    }
    if ignored := sorted(set(local) - set(kept)):
        logger.warning("conf/local/credentials.yml: %s: used with --env local only", " and ".join(ignored))
    return kept


def _is_sqlite(section: Any) -> bool:
    """Tell whether credentials name a SQLite file, by a URL or by the resolver ``sqlite_url``."""
    return isinstance(section, dict) and str(section.get("con")).startswith(("sqlite:", "${sqlite_url:"))


def _is_nameless(path: Path) -> bool:
    """Tell whether a file is YAML of another form than names with values."""
    try:
        return not isinstance(yaml.safe_load(path.read_text()), dict | None)
    except yaml.YAMLError:  # Kedro names it
        return False


def _find(values: Any, name: str, *default: Any) -> Any:
    """Return the value of a dotted name in dicts and models; the default, if given, for an unknown name."""
    try:
        return functools.reduce(_get, name.split("."), values)
    except (KeyError, AttributeError):
        if default:
            return default[0]
        raise


def _get(values: Any, name: str) -> Any:
    return values[name] if isinstance(values, dict) else getattr(values, name)


def _to_plain(value: Any) -> Any:
    """Return a date as text, other values unchanged: OmegaConf has no type for dates."""
    return value.isoformat() if isinstance(value, date) else value


def postgres_url(user: str, password: str, host: str, port: object, database: str, sslmode: str) -> str:
    """Return a SQLAlchemy URL with time limits; special characters of names and passwords are quoted."""
    from sqlalchemy import URL

    if not str(port).isdigit():
        raise ProjectError(f"PG_PORT is {port!r}: give the number of a port, or leave it unset for 5432")
    options = {
        "sslmode": str(sslmode),
        "application_name": "network-anomalies",
        # A server that does not answer is noticed within seconds, also during a run.
        "connect_timeout": "5",
        "tcp_user_timeout": "10000",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
    }
    address = (str(user), str(password), str(host), int(str(port)), str(database))
    return URL.create("postgresql+psycopg2", *address, query=options).render_as_string(hide_password=False)
