"""The few datasets that Kedro lacks."""

from network_anomalies.datasets.alerts import AlertsDataset
from network_anomalies.datasets.batch_commit import BatchCommitDataset
from network_anomalies.datasets.collected import CollectedDataset
from network_anomalies.datasets.current_events import CurrentEventsDataset
from network_anomalies.datasets.fresh_partitions import FreshPartitionsDataset
from network_anomalies.datasets.log_files import LogFilesDataset
from network_anomalies.datasets.mlflow_run import MlflowRunDataset
from network_anomalies.datasets.model import ModelDataset, ModelRegistryDataset
from network_anomalies.datasets.one_frame import OneFrameDataset
from network_anomalies.datasets.raw_slices import RawSlicesDataset
from network_anomalies.datasets.silver import SilverEventsDataset, SilverHistoryDataset
from network_anomalies.datasets.stage_record import StageRecordDataset
from network_anomalies.datasets.write_once import WriteOnceParquetDataset

__all__ = [
    "AlertsDataset",
    "BatchCommitDataset",
    "CollectedDataset",
    "CurrentEventsDataset",
    "FreshPartitionsDataset",
    "LogFilesDataset",
    "MlflowRunDataset",
    "ModelDataset",
    "ModelRegistryDataset",
    "OneFrameDataset",
    "RawSlicesDataset",
    "SilverEventsDataset",
    "SilverHistoryDataset",
    "StageRecordDataset",
    "WriteOnceParquetDataset",
]
