"""The project's own parameters, for benchmarks that call its functions."""

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
