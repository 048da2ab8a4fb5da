"""The lake's filesystem."""

from copy import deepcopy
from typing import Any

import fsspec

from network_anomalies.compat import limit_s3
from network_anomalies.datasets.places import Credentials


def open_lake(url: str, credentials: Credentials | None) -> tuple[Any, str]:
    """Return the filesystem of an fsspec URL, and the path on it.

    fsspec returns the same filesystem for equal credentials, so Kedro's own datasets share it and its time limits.
    """
    filesystem, path = fsspec.core.url_to_fs(url, **deepcopy(credentials or {}))
    limit_s3(filesystem)
    return filesystem, path
