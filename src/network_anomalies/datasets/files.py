"""Files of the lake that a stage wrote: their URIs and sha256, for the stage's row in the registry."""

import hashlib
from typing import Any

from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.places import Credentials
from network_anomalies.records.receipt import LakeObject

FileOutputs = dict[str, dict[str, str]]
"""From the name of a file to its ``filepath`` (any fsspec URL) and its ``uri`` in the registry."""


def read_files(files: FileOutputs, credentials: Credentials | None) -> list[LakeObject]:
    """Return the URI of each file, and the sha256 of its stored bytes."""
    opened = [(file["uri"], *open_lake(file["filepath"], credentials)) for file in files.values()]
    return [LakeObject(uri=uri, sha256=digest_file(filesystem, path)) for uri, filesystem, path in opened]


def digest_file(filesystem: Any, path: str) -> str:
    """Return the sha256 of a file's bytes."""
    return hashlib.sha256(filesystem.cat_file(path)).hexdigest()
