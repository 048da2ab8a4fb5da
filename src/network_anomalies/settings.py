"""Kedro's settings of this project."""
# ruff: noqa: E402

from network_anomalies.runs.memory import return_memory

return_memory()  # before NumPy and Arrow are imported, which read their options once

from network_anomalies.hooks import RunHooks
from network_anomalies.runs.catalog import ProjectCatalog, ProjectContext
from network_anomalies.runs.configuration import ProjectConfigLoader
from network_anomalies.terminal.node_progress import ProgressHooks

HOOKS = (RunHooks(), ProgressHooks())
# Kedro uses the first for runs, and the catalog of the second for notebooks and commands.
DATA_CATALOG_CLASS = ProjectCatalog
CONTEXT_CLASS = ProjectContext
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "embedded",
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
# If kedro-mlflow is installed, every run fails without an mlflow.yml.
# kedro-viz keeps one catalog for the process, and removes datasets from the catalogs of runs in other threads.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-viz")
