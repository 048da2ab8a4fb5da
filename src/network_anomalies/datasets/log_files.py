"""Flow log files: one file, a folder, a glob or an s3:// prefix."""

import re
from functools import partial

from kedro.io import AbstractDataset, DatasetError

from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.places import Credentials
from network_anomalies.errors import ProjectError
from network_anomalies.formats import OpenFile

GLOB = re.compile(r"[*?\[]")
HIDDEN = re.compile(r"(^|/)\.")


class LogFilesDataset(AbstractDataset[None, dict[str, OpenFile]]):
    """Loads as ``{path: function that opens the file for reading bytes}``, in order of the paths; read only.

    Hidden files and folders are left out, unless the path itself leads there.

    Example of a catalog entry:

    .. code-block:: yaml

        log_files:
          type: network_anomalies.datasets.LogFilesDataset
          path: s3://sensor-logs/2024-04-19/*.log
          credentials: minio

    >>> from pathlib import Path
    >>> size = Path("conn.log").write_text("#fields ts")
    >>> for open_file in LogFilesDataset(path="*.log").load().values():
    ...     with open_file() as file:
    ...         print(file.read())
    b'#fields ts'
    """

    def __init__(self, *, path: str, credentials: Credentials | None = None, metadata: object = None) -> None:
        """Create the dataset.

        Args:
            path: a file, a folder (searched with its sub-folders), a glob, or an s3:// prefix.
            credentials: arguments of the filesystem of an s3:// prefix.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._given = path
        self._fs, self._path = open_lake(path, credentials if "://" in path else None)
        self.metadata = metadata

    def load(self) -> dict[str, OpenFile]:
        """Return the files found.

        Raises:
            ProjectError: there are none.
        """
        paths = self._find()
        if not paths:
            raise ProjectError(f"no log files at {self._given}: put them there, or set logs.path to where they are")
        return {path: partial(self._fs.open, path, "rb") for path in sorted(paths)}

    def save(self, data: None) -> None:
        """Refuse: logs are the sensors' to write."""
        raise DatasetError("log_files is read only")

    def _find(self) -> list[str]:
        pattern = GLOB.search(self._path)
        folder = self._path[: pattern.start()].rpartition("/")[0] if pattern else self._path
        self._fs.invalidate_cache(folder)
        found = (
            [path for path in self._fs.glob(self._path) if self._fs.isfile(path)] if pattern else self._fs.find(folder)
        )
        return [path for path in found if not HIDDEN.search(path.removeprefix(folder))]

    def _exists(self) -> bool:
        return bool(self._find())

    def _describe(self) -> dict[str, str]:
        return {"path": self._given}
