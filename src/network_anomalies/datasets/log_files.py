"""Flow log files: one file, a folder, a glob or an s3:// prefix."""

import logging
import os
import re
from datetime import date, timedelta

from fsspec.implementations.local import LocalFileSystem
from kedro.io import AbstractDataset, DatasetError

from network_anomalies.datasets.handles import NamedFile, OpenableFile, name_store
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.places import Credentials
from network_anomalies.errors import ProjectError, show_hidden
from network_anomalies.formats import OpenFile

logger = logging.getLogger(__name__)

GLOB = re.compile(r"[*?\[]")
HIDDEN = re.compile(r"(^|/)\.")


class LogFilesDataset(AbstractDataset[None, dict[str, OpenFile]]):
    """Loads ``{path: function that opens the file for reading bytes}``, sorted by path; read only.

    Hidden files and folders are left out, unless ``path`` itself names one. If several symbolic links lead to one file,
    it is loaded once. Links to folders, and broken links, are left out and named in a warning.

    ``{date}`` in the path means the logical date, the day before and the day after, because their files may hold flows
    of the logical date. ``{date:%Y%m%d}`` is the date in another form.

    Example of a catalog entry:

    .. code-block:: yaml

        log_files:
          type: network_anomalies.datasets.LogFilesDataset
          path: s3://sensor-logs/{date}/*.log
          logical_date: 2024-04-19
          credentials: minio

    >>> from pathlib import Path
    >>> size = Path("conn.log").write_text("#fields ts")
    >>> for open_file in LogFilesDataset(path="*.log").load().values():
    ...     with open_file() as file:
    ...         print(file.read())
    b'#fields ts'
    """

    def __init__(
        self,
        *,
        path: str,
        logical_date: str | None = None,
        credentials: Credentials | None = None,
        store: str | None = None,
        metadata: object = None,
    ) -> None:
        """Create the dataset.

        Args:
            path: a file, a folder (searched with its sub-folders), a glob, or an s3:// prefix; may hold ``{date}``.
            logical_date: the day, as YYYY-MM-DD, for a path with ``{date}``.
            credentials: arguments of the filesystem of an s3:// prefix.
            store: environment and name of these credentials, which Dask workers take from their own configuration.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._given = path
        used = credentials if "://" in path else None
        self._fs, root = open_lake(path, used)
        self._store = name_store(self._fs, used, store)
        self._paths = expand_dates(root, date.fromisoformat(str(logical_date)) if logical_date else None)
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self.metadata = metadata

    def load(self) -> dict[str, OpenFile]:
        """Return the files.

        Raises:
            ProjectError: there are no files.
        """
        paths = self._find()
        if not paths:
            hint = " (a pattern names files, not their folder)" if GLOB.search(self._given) else ""
            raise ProjectError(
                f"no log files at {self._given}: put them there, or set logs.path to where they are{hint}"
            )
        return {path: OpenableFile(self._fs, NamedFile(self._store, path)) for path in paths}

    def save(self, data: None) -> None:
        """Raise an error: only sensors write logs."""
        raise DatasetError("log_files is read only")

    def _find(self) -> list[str]:
        by_target: dict[str, str] = {}
        for path in sorted(path for given in self._paths for path in self._list(given)):
            by_target.setdefault(os.path.realpath(path) if self._is_local else path, path)
        return list(by_target.values())

    def _list(self, given: str) -> list[str]:
        pattern = GLOB.search(given)
        folder = given[: pattern.start()].rpartition("/")[0] if pattern else given
        self._fs.invalidate_cache(folder)
        matches = self._fs.glob(given) if pattern else self._fs.find(folder)
        shown = [path for path in matches if not HIDDEN.search(path.removeprefix(folder))]
        files = [path for path in shown if self._fs.isfile(path)] if pattern or self._is_local else shown
        if not pattern and len(files) < len(shown):
            left_out = show_hidden(", ".join(sorted({*shown} - {*files})))
            logger.warning("links to folders, and broken links, are left out: %s", left_out)
        return files

    def _exists(self) -> bool:
        return bool(self._find())

    def _describe(self) -> dict[str, str]:
        return {"path": self._given}


def widen_dates(path: str) -> str:
    """Return a path that matches the files of all days.

    >>> widen_dates("logs/{date:%Y/%m}/conn.{date}.log")
    'logs/*/conn.*.log'
    """
    return re.sub(r"\{date[^}]*\}", "*", path)


def expand_dates(path: str, day: date | None) -> list[str]:
    """Return a path for a day, the day before and the day after; the path itself if it holds no ``{date}``.

    >>> expand_dates("logs/{date:%Y/%m}/conn.{date}.log", date(2024, 4, 1))[:2]
    ['logs/2024/04/conn.2024-04-01.log', 'logs/2024/03/conn.2024-03-31.log']

    Raises:
        ProjectError: there is something else in braces.
    """
    if "{date" not in path:
        return [path]
    if day is None:
        raise ProjectError(f"logs.path is {path}: {{date}} needs a logical date")
    try:
        return list(dict.fromkeys(path.format(date=day + timedelta(days=offset)) for offset in (0, -1, 1)))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ProjectError(
            f"logs.path is {path}: only {{date}} or a form such as {{date:%Y%m%d}} may be in braces"
        ) from error
