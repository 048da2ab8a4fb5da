"""Filesystems and folders of the lake that another process can open: they pickle without credentials.

What is pickled is the name of the credentials. The process that unpickles it takes their values from its own
configuration and environment, as the run does.
"""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from network_anomalies.compat import limit_s3, use_resolvers
from network_anomalies.datasets.places import Credentials, LakePlace
from network_anomalies.errors import ProjectError

UNNAMED = "?"
"""Stands for credentials whose catalog entry does not tell their name."""


@dataclass(frozen=True)
class StoreName:
    """A filesystem without its credentials.

    Attributes:
        protocol: its name in fsspec.
        credentials: environment and section of its credentials, such as ``minio/minio``; empty if it needs none.
    """

    protocol: str
    credentials: str = ""

    def open(self) -> Any:
        """Return the filesystem, with this process's values of the credentials.

        Raises:
            ProjectError: this process has no such credentials.
        """
        values = read_credentials(self.credentials) if self.credentials else {}
        filesystem = fsspec.filesystem(self.protocol, **values)
        limit_s3(filesystem)
        return filesystem


@dataclass(frozen=True)
class NamedFile:
    """A file of a filesystem, which another process can read."""

    store: StoreName
    path: str

    def __call__(self) -> BinaryIO:
        """Open it for reading bytes."""
        file: BinaryIO = self.store.open().open(self.path, "rb")
        return file


class OpenableFile:
    """A file of an open filesystem; another process gets it as a ``NamedFile``."""

    def __init__(self, filesystem: Any, named: NamedFile) -> None:
        """Open ``named`` by ``filesystem``."""
        self._fs, self._named = filesystem, named

    def __call__(self) -> BinaryIO:
        """Open it for reading bytes."""
        try:
            file: BinaryIO = self._fs.open(self._named.path, "rb")
        except OSError as error:
            if error.errno == errno.EINVAL:  # such as of a device; the error does not name it
                raise ProjectError(f"{self._named.path} cannot be read: leave it out of the path") from error
            raise
        return file

    def __reduce__(self) -> tuple[Any, ...]:
        return NamedFile, (self._named.store, self._named.path)


def name_store(filesystem: Any, credentials: Credentials | None, store: str | None) -> StoreName:
    """Return the name of a filesystem, from its credentials and the ``store`` of its place in the catalog."""
    protocol = filesystem.protocol if isinstance(filesystem.protocol, str) else filesystem.protocol[0]
    return StoreName(protocol, (store or UNNAMED) if credentials else "")


def name_place(filesystem: Any, place: LakePlace) -> StoreName:
    """Return the name of the filesystem of a place of the lake."""
    return name_store(filesystem, place.get("credentials"), place.get("store"))


def read_credentials(name: str) -> Credentials:
    """Return a section of the credentials of an environment, from the configuration of the working directory.

    Only that section is read: a worker has no credentials of the registry.

    Args:
        name: environment and section, such as ``minio/minio``.

    Raises:
        ProjectError: there is no such section, or a variable that it refers to is not set.
    """
    env, _, section = name.partition("/")
    if name == UNNAMED:
        raise ProjectError("a catalog entry has credentials without a name: give its place a `store`, as in conf/base")
    files = sorted((Path.cwd() / "conf" / env).glob("credentials*.y*ml"))
    try:
        with use_resolvers({"oc.env": oc.env}):
            merged: Any = OmegaConf.merge(*map(OmegaConf.load, files))
            values: Any = OmegaConf.to_container(merged[section], resolve=True)
    except (OmegaConfBaseException, KeyError, IndexError, ValueError) as error:
        raise ProjectError(
            f"a Dask worker cannot read the credentials {section} of environment {env} in {Path.cwd()}: "
            f"{' '.join(str(error).split())}: start workers in the project's folder with its variables"
        ) from error
    return dict(values)
