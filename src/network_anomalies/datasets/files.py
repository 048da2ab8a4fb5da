"""Files of the lake that a stage wrote: their URIs and sha256, for the stage's row in the registry."""

import hashlib
from typing import Any

from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.places import Credentials
from network_anomalies.errors import ProjectError
from network_anomalies.records.receipt import LakeObject

FileOutputs = dict[str, dict[str, str]]
"""From the name of a file to its ``filepath`` (any fsspec URL) and its ``uri`` in the registry."""


def read_files(files: FileOutputs, credentials: Credentials | None) -> list[LakeObject]:
    """Return the URI of each file, and the sha256 of its stored bytes.

    Raises:
        ProjectError: a file is not there, since its own entry of the catalog stores it elsewhere.
    """
    objects = []
    for name, file in files.items():
        try:
            digest = digest_file(*open_lake(file["filepath"], credentials))
        except FileNotFoundError as error:
            raise ProjectError(
                f"{name} was not stored at {file['uri']}, where the entry that registers it looks for it: "
                "give both entries of the catalog the same place, or remove the one from conf/local"
            ) from error
        objects.append(LakeObject(uri=file["uri"], sha256=digest))
    return objects


def digest_file(filesystem: Any, path: str) -> str:
    """Return the sha256 of a file's bytes."""
    return hashlib.sha256(filesystem.cat_file(path)).hexdigest()
