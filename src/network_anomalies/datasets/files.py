"""Files of the lake that a stage wrote, as outputs of its row: where they lie, and their sha256."""

import hashlib
from typing import Any

from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.places import Credentials
from network_anomalies.records.receipt import LakeObject

FileOutputs = dict[str, dict[str, str]]
"""Name of a file to its ``filepath`` (any fsspec URL) and the ``uri`` that the registry is to name it by."""


def read_files(files: FileOutputs, credentials: Credentials | None) -> list[LakeObject]:
    """Return files as outputs, with the digests of their bytes as stored."""
    opened = [(file["uri"], *open_lake(file["filepath"], credentials)) for file in files.values()]
    return [LakeObject(uri=uri, sha256=digest_file(filesystem, path)) for uri, filesystem, path in opened]


def digest_file(filesystem: Any, path: str) -> str:
    """Return the sha256 of a file's bytes."""
    return hashlib.sha256(filesystem.cat_file(path)).hexdigest()
