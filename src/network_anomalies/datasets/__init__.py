"""The few datasets that Kedro lacks."""

from network_anomalies.datasets.batch_commit import BatchCommitDataset
from network_anomalies.datasets.collected import CollectedDataset
from network_anomalies.datasets.current_events import CurrentEventsDataset
from network_anomalies.datasets.log_files import LogFilesDataset
from network_anomalies.datasets.one_frame import OneFrameDataset
from network_anomalies.datasets.write_once import WriteOnceParquetDataset

__all__ = [
    "BatchCommitDataset",
    "CollectedDataset",
    "CurrentEventsDataset",
    "LogFilesDataset",
    "OneFrameDataset",
    "WriteOnceParquetDataset",
]
