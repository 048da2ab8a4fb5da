"""The project's own parameters and configuration, for benchmarks that call its functions or its commands."""

import shutil
from pathlib import Path
from typing import Any

from network_anomalies.parameters import GeneratorParameters
from network_anomalies.runs.configuration import ProjectConfigLoader
from network_anomalies.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parent.parent


def read_generator(**changes: Any) -> GeneratorParameters:
    """Return the generator's parameters, some of them changed."""
    loader = ProjectConfigLoader(ROOT / "conf", runtime_params={"generator": changes}, **CONFIG_LOADER_ARGS)
    generator: GeneratorParameters = loader["parameters"]["generator"]
    return generator


def make_project(folder: Path) -> Path:
    """Return a new project in ``folder``, with the configuration of this one and no data."""
    shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "data").mkdir()
    (folder / "src").mkdir()  # Kedro wants one; the package is the installed one
    return folder
