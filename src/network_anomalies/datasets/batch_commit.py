"""The commit of a batch, as a dataset."""

import re
from datetime import date

import pandas as pd
from kedro.io import AbstractDataset

from network_anomalies.datasets.files import FileOutputs, read_files
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.places import LakePlace, RegistryPlace
from network_anomalies.datasets.write_once import WriteOnceParquetDataset
from network_anomalies.records.batch import Batch
from network_anomalies.registry.batches import BucketUrls, commit_batch, find_manifest, read_batch, read_current
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.manifests import FOLDER
from network_anomalies.registry.stage_log import StageEvent
from network_anomalies.runs.inputs import list_ingestion_facts

_REVISION = re.compile(r"/batch_(\d+)_[0-9a-f]{12}\.json$")


class BatchCommitDataset(AbstractDataset[Batch, pd.DataFrame]):
    """Saving commits a batch in one transaction; loading gives the receipt, its rows of ``ingestion_events``.

    After the commit, ``save`` writes the batch's manifest beside the objects. If the process crashes before that, the
    next commit of the source and date, or ``kedro verify``, writes the manifest from the registry's rows.

    Example of a catalog entry:

    .. code-block:: yaml

        ingestion_events:
          type: network_anomalies.datasets.BatchCommitDataset
          source: zeek
          logical_date: 2024-04-19
          raw_root: s3://cybersec-ml-raw
          quarantine_root: s3://cybersec-ml-quarantine
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-raw, credentials: minio}
          files:
            quality_report:
              filepath: s3://cybersec-ml-eval/reports/zeek/2024-04-19/quality_report.json
              uri: s3://cybersec-ml-eval/reports/zeek/2024-04-19/quality_report.json

    Before the first commit there is no receipt:

    >>> events = BatchCommitDataset(
    ...     source="zeek",
    ...     logical_date="2024-04-19",
    ...     raw_root="raw",
    ...     quarantine_root="quarantine",
    ...     registry={"credentials": {"con": "sqlite:///registry.db"}},
    ...     lake={"path": "raw", "credentials": None},
    ...     files={},
    ... )
    >>> events.exists(), len(events.load())
    (False, 0)
    """

    def __init__(
        self,
        *,
        source: str,
        logical_date: str,
        raw_root: str,
        quarantine_root: str,
        registry: RegistryPlace,
        lake: LakePlace,
        files: FileOutputs,
        metadata: object = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: name of the source.
            logical_date: the day, as YYYY-MM-DD.
            raw_root: URL of the RAW bucket, as it is written into the registry.
            quarantine_root: URL of the quarantine bucket.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the RAW bucket, and the ``credentials`` of its filesystem.
            files: other files that the stage writes, see ``datasets.files``.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._urls = BucketUrls(raw_root.rstrip("/"), quarantine_root.rstrip("/"))
        self._url = registry["credentials"]["con"]
        self._raw_path, self._credentials = lake["path"].rstrip("/"), lake["credentials"]
        self._files = files
        self.metadata = metadata

    def save(self, data: Batch) -> None:
        """Commit a batch of the node ``assemble_batch``. If an equal batch is current already, nothing changes."""
        facts = list_ingestion_facts(data.origin.params_sha256, data.contract_version)
        outputs = read_files(self._files, self._credentials)
        event = StageEvent(data.run_id, "ingestion", self._source, self._logical_date, facts, outputs)
        engine = open_registry(self._url)
        lake_revision = self._find_lake_revision()
        current = read_batch(engine, self._source, self._logical_date)
        if current and lake_revision < current["revision"]:
            self._write_manifest()  # an earlier run crashed after its commit
        commit_batch(engine, data, event, self._urls, lake_revision)
        self._write_manifest()

    def load(self) -> pd.DataFrame:
        """Return the current revision's objects, one row each."""
        return read_current(open_registry(self._url), self._source, self._logical_date)

    def _find_lake_revision(self) -> int:
        """Return the latest revision that has a manifest in the lake, 0 if none has."""
        filesystem, root = open_lake(self._raw_path, self._credentials)
        folder = f"{root}/{FOLDER}/{self._source}/{self._logical_date}"
        filesystem.invalidate_cache(folder)
        matches = (_REVISION.search(path) for path in filesystem.find(folder))
        return max((int(match[1]) for match in matches if match), default=0)

    def _write_manifest(self) -> None:
        manifest = find_manifest(open_registry(self._url), self._source, self._logical_date, self._urls.raw)
        if manifest is not None:
            path = f"{self._raw_path}/{manifest.path}"
            WriteOnceParquetDataset(filepath=path, compare=False, credentials=self._credentials).save(manifest.data)

    def _exists(self) -> bool:
        return not self.load().empty

    def _describe(self) -> dict[str, str]:
        return {"source": self._source, "logical_date": str(self._logical_date), "raw_root": self._urls.raw}
