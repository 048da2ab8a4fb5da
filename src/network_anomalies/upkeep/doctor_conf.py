"""The doctor's checks of the configuration: it loads, and the environment variables that it names are set."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from network_anomalies.compat import use_resolvers
from network_anomalies.errors import ProjectError, explain
from network_anomalies.runs.configuration import LOCAL, keep_own_stores
from network_anomalies.upkeep.checks import Finding

Variables = dict[str, dict[str, bool]]
"""From a section of the credentials to the environment variables that it names, and whether each must be set."""

_REFERENCE = re.compile(r"\$\{oc\.env:\s*(\w+)\s*(,)?")


def find_variables(loader: Any) -> Variables:
    """Return the variables that the credentials of a loader's environment refer to."""
    sections = _read_credentials(loader)
    return {
        name: required
        for name, section in sections.items()
        if (required := {variable: not comma for variable, comma in _REFERENCE.findall(str(section))})
    }


def check_variables(variables: Variables) -> Iterator[Finding]:
    """Say of each variable whether it is set. Values are not shown."""
    for variable, required in {name: need for section in variables.values() for name, need in section.items()}.items():
        if os.environ.get(variable):
            yield Finding(variable, "OK", "set")
        elif required:
            yield Finding(variable, "FAIL", "not set: export it, or choose another --env")
        elif variable in os.environ:
            yield Finding(variable, "FAIL", "set to an empty value: unset it for its default, or give it a value")
        else:
            yield Finding(variable, "OK", "not set, its default is used")


def check_configuration(loader: Any) -> Iterator[Finding]:
    """Load globals, parameters and catalog as a run does; loading checks the parameters."""
    faults = []
    for part in ("globals", "parameters", "catalog"):
        try:
            loader[part]
        except Exception as error:
            faults.append(explain(error))
    for fault in dict.fromkeys(faults):
        yield Finding("configuration", "FAIL", fault)
    if not faults:
        yield Finding("configuration", "OK", f"{loader.env or loader.default_run_env}: parameters and catalog load")


def resolve_credentials(loader: Any, section: str, variables: Variables) -> dict[str, Any]:
    """Return one section of the credentials, even if variables of another section are missing.

    Kedro's loader returns no section if any variable is missing.

    Raises:
        ProjectError: variables of the section are not set, or there is no such section.
    """
    missing = [name for name, need in variables.get(section, {}).items() if need and not os.environ.get(name)]
    if missing:
        raise ProjectError(f"not checked: set {', '.join(missing)} first")
    sections = _read_credentials(loader)
    if section not in sections:
        env = loader.env or loader.default_run_env
        raise ProjectError(f"conf/{env}/credentials.yml has no section {section}: copy it from conf/minio")
    with use_resolvers(loader.resolvers | {"oc.env": oc.env}):
        try:
            resolved: Any = OmegaConf.to_container(OmegaConf.create(sections[section]), resolve=True)
        finally:
            OmegaConf.clear_resolver("oc.env")  # Kedro allows it in credentials only
    return dict(resolved)


def _read_credentials(loader: Any) -> dict[str, Any]:
    """Return the sections of a loader's environment and of `conf/local`; references are not resolved."""
    env, root = loader.env or loader.default_run_env, Path(loader.conf_source)
    shared, local = _read_files(root / env), _read_files(root / LOCAL)
    return shared if env == LOCAL else shared | keep_own_stores(local, shared)


def _read_files(folder: Path) -> dict[str, Any]:
    files: list[Any] = [OmegaConf.load(path) for path in sorted(folder.glob("credentials*.yml"))]
    merged: Any = OmegaConf.to_container(OmegaConf.merge({}, *files), resolve=False)
    return dict(merged)
