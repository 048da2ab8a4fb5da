"""Objects that are written once and never changed."""

import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from network_anomalies.datasets.handles import StoreName
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.places import Credentials
from network_anomalies.errors import ProjectError


class WriteOnceParquetDataset(AbstractDataset[bytes, pd.DataFrame]):
    """Saves finished Parquet bytes once, and loads them as a DataFrame.

    An object that exists is never written again. If the bytes are equal, a save does nothing; if they differ, it is an
    error. With ``compare: false`` a save does nothing in both cases, for names that contain a digest of the content.
    Other processes see the whole object or none: it is written by a conditional PUT on S3, and by a temporary file and
    a hard link on a local disk.

    Example of a catalog entry:

    .. code-block:: yaml

        raw_parts:
          type: partitions.PartitionedDataset
          path: s3://cybersec-ml-raw/zeek/2024-04-19
          credentials: minio
          dataset:
            type: network_anomalies.datasets.WriteOnceParquetDataset
          filename_suffix: .parquet

    >>> part = WriteOnceParquetDataset(filepath="raw/part.parquet")
    >>> part.save(pd.DataFrame({"bytes": [10, 20]}).to_parquet())
    >>> part.load()["bytes"].tolist()
    [10, 20]
    >>> part.save(b"other bytes")
    Traceback (most recent call last):
    kedro.io.core.DatasetError: ... exists with other bytes and is never overwritten: ...
    """

    def __init__(
        self,
        *,
        filepath: str,
        compare: bool = True,
        credentials: Credentials | None = None,
        metadata: object = None,
    ) -> None:
        """Create the dataset.

        Args:
            filepath: URL of the object; any fsspec URL can be read, local paths and S3 can be written.
            compare: whether an existing object is read and compared.
            credentials: arguments of the fsspec filesystem.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._fs, self._path = open_lake(filepath, credentials)
        self._filepath = filepath
        self._compare = compare
        self.metadata = metadata

    def save(self, data: bytes) -> None:
        """Write the object, unless it exists.

        Raises:
            ProjectError: it exists with other bytes.
        """
        keep_object(self._fs, self._path, data, self._compare)

    def load(self) -> pd.DataFrame:
        """Return the object's rows."""
        return pd.read_parquet(BytesIO(self._fs.cat_file(self._path)))

    def _exists(self) -> bool:
        return bool(self._fs.exists(self._path))

    def _describe(self) -> dict[str, object]:
        return {"filepath": self._filepath, "compare": self._compare}


@dataclass(frozen=True)
class LakeFolder:
    """A folder of the lake that Dask workers write to.

    Attributes:
        store: its filesystem.
        path: on the filesystem.
        suffix: end of the names of objects.
        compare: whether an object that exists is read and compared.
    """

    store: StoreName
    path: str
    suffix: str
    compare: bool

    def save(self, name: str, data: bytes) -> None:
        """Write an object, unless it exists; ``name`` is without the suffix.

        Raises:
            ProjectError: it exists with other bytes.
        """
        keep_object(self.store.open(), self._locate(name), data, self.compare)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return some bytes of an object."""
        data: bytes = self.store.open().cat_file(self._locate(name), start=offset, end=offset + length)
        return data

    def remove(self, names: Collection[str]) -> None:
        """Delete objects."""
        filesystem = self.store.open()
        for name in names:
            filesystem.rm_file(self._locate(name))

    def _locate(self, name: str) -> str:
        return f"{self.path}/{name}{self.suffix}"


def keep_object(fs: Any, path: str, data: bytes, compare: bool) -> None:
    """Create an object, unless it exists.

    Raises:
        ProjectError: it exists with other bytes, and ``compare`` is set.
    """
    try:
        create_object(fs, path, data)
    except FileExistsError:
        if compare and fs.cat_file(path) != data:
            raise ProjectError(
                f"{fs.unstrip_protocol(path)} exists with other bytes and is never overwritten: "
                "run `kedro verify`, and move the altered object away"
            ) from None


def create_object(fs: Any, path: str, data: bytes) -> None:
    """Create an object. Other processes see the whole object or none.

    Raises:
        FileExistsError: the object exists.
        DatasetError: the filesystem is neither local nor S3.
    """
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    if "file" in protocols:
        _create_file(Path(path), data)
    elif "s3" in protocols:
        _create_on_s3(fs, path, data)
    else:
        raise DatasetError(f"{path}: write-once objects need a local path or s3://")


def _create_on_s3(fs: Any, path: str, data: bytes) -> None:
    try:
        # With a smaller chunksize s3fs would upload in several parts; one PUT may have up to 5 GB.
        fs.pipe_file(path, data, mode="create", chunksize=len(data) + 1)
    except OSError as error:
        response = getattr(error.__cause__, "response", {})
        if response.get("Error", {}).get("Code") != "PreconditionFailed":
            raise
        raise FileExistsError(path) from error


def _create_file(path: Path, data: bytes) -> None:
    """Write a temporary file, then link it under its name: the link fails if the name exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
