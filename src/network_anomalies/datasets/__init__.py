"""The few datasets that Kedro lacks."""

from network_anomalies.datasets.batch_commit import BatchCommitDataset
from network_anomalies.datasets.current import CurrentObjectsDataset
from network_anomalies.datasets.log_files import LogFilesDataset
from network_anomalies.datasets.mlflow_run import MlflowRunDataset
from network_anomalies.datasets.model_file import ChampionDataset, ModelDataset
from network_anomalies.datasets.raw_slices import RawSlicesDataset
from network_anomalies.datasets.registry_records import RegistryRecordsDataset
from network_anomalies.datasets.silver_history import HistorySlicesDataset
from network_anomalies.datasets.stage_file import StageFileDataset
from network_anomalies.datasets.stored_parts import StoredPartsDataset
from network_anomalies.datasets.transient import TransientDataset
from network_anomalies.datasets.write_once import WriteOnceParquetDataset

__all__ = [
    "BatchCommitDataset",
    "ChampionDataset",
    "CurrentObjectsDataset",
    "HistorySlicesDataset",
    "LogFilesDataset",
    "MlflowRunDataset",
    "ModelDataset",
    "RawSlicesDataset",
    "RegistryRecordsDataset",
    "StageFileDataset",
    "StoredPartsDataset",
    "TransientDataset",
    "WriteOnceParquetDataset",
]
