"""What Kedro is told about this project."""

from network_anomalies.hooks import RunHooks
from network_anomalies.runs.catalog import ProjectCatalog, ProjectContext
from network_anomalies.runs.configuration import ProjectConfigLoader
from network_anomalies.terminal.node_progress import ProgressHooks

HOOKS = (RunHooks(), ProgressHooks())
# Kedro takes the first for runs, and the second's catalog for notebooks and commands.
DATA_CATALOG_CLASS = ProjectCatalog
CONTEXT_CLASS = ProjectContext
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "embedded",
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
# kedro-mlflow, if somebody installs it, needs an mlflow.yml or fails every run.
# kedro-viz keeps one catalog for the process: it takes datasets out of the catalogs of runs in other threads.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-viz")
