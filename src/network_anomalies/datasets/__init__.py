"""The datasets that Kedro does not have."""

from network_anomalies.datasets.batch_commit import BatchCommitDataset
from network_anomalies.datasets.collected import CollectedDataset
from network_anomalies.datasets.current import CurrentObjectsDataset
from network_anomalies.datasets.flow_range import FlowsDataset
from network_anomalies.datasets.log_files import LogFilesDataset
from network_anomalies.datasets.mlflow_run import MlflowRunDataset
from network_anomalies.datasets.model_file import ModelDataset
from network_anomalies.datasets.registry_records import RegistryRecordsDataset
from network_anomalies.datasets.write_once import WriteOnceParquetDataset

__all__ = [
    "BatchCommitDataset",
    "CollectedDataset",
    "CurrentObjectsDataset",
    "FlowsDataset",
    "LogFilesDataset",
    "MlflowRunDataset",
    "ModelDataset",
    "RegistryRecordsDataset",
    "WriteOnceParquetDataset",
]
