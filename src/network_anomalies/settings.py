"""What Kedro is told about this project."""

from network_anomalies.config import ProjectConfigLoader
from network_anomalies.hooks import RunHooks
from network_anomalies.session import RunSession

HOOKS = (RunHooks(),)
SESSION_CLASS = RunSession
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "embedded",
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
# kedro-mlflow, if somebody installs it, needs an mlflow.yml or fails every run.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)
