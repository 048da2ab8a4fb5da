"""A copy of each training in MLflow, if MLflow is used."""

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from kedro.io import AbstractDataset

from network_anomalies.errors import ProjectError, explain
from network_anomalies.records.registration import MlflowRun

logger = logging.getLogger(__name__)

TRACKING = "MLFLOW_TRACKING_URI"
LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


class MlflowRunDataset(AbstractDataset[MlflowRun, None]):
    """Saving logs a training to MLflow; without the ``mlflow`` extra or ``MLFLOW_TRACKING_URI`` it does nothing.

    MLflow holds a copy only. If it does not answer, a warning is logged and the run goes on.

    Example of a catalog entry:

    .. code-block:: yaml

        mlflow_run:
          type: network_anomalies.datasets.MlflowRunDataset
          experiment: network-anomalies

    >>> run = MlflowRunDataset(experiment="network-anomalies")
    >>> run.save({"name": "zeek 2024-04-19", "parameters": {}, "metrics": {}, "tags": {}, "files": {}})
    """

    def __init__(self, *, experiment: str, metadata: object = None) -> None:
        """Log into ``experiment``; ``metadata`` is for plug-ins."""
        self._experiment = experiment
        self.metadata = metadata

    def save(self, data: MlflowRun) -> None:
        """Log the run."""
        if not os.environ.get(TRACKING):
            return
        if find_spec("mlflow") is None:
            logger.warning("%s is set and MLflow is not installed: install the mlflow extra, or unset it", TRACKING)
            return
        try:
            self._log(data)
        except Exception as error:
            logger.warning("This model was not logged to MLflow (%s); the run goes on", explain(error))

    def load(self) -> None:
        """Raise an error: this dataset only writes."""
        raise ProjectError("mlflow_run is write only: look at the run in MLflow")

    def _log(self, data: MlflowRun) -> None:
        os.environ.update({name: os.environ.get(name, value) for name, value in LIMITS.items()})
        import mlflow

        mlflow.set_experiment(self._experiment)
        with mlflow.start_run(run_name=data.name, tags=dict(data.tags)), TemporaryDirectory() as folder:
            mlflow.log_params(dict(data.parameters))
            mlflow.log_metrics(dict(data.metrics))
            for name, read in data.files.items():
                (Path(folder) / name).write_bytes(read())
            mlflow.log_artifacts(folder)

    def _describe(self) -> dict[str, str]:
        return {"experiment": self._experiment}
