"""Objects of the lake that the registry vouches for."""

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import Any

from network_anomalies.errors import ProjectError


class CheckedObjects:
    """Reads objects of a filesystem, each only if its bytes have the sha256 that was registered.

    The last few are kept: neighbouring slices of a day often lie in the same object. Threads read one after another, so
    that they do not fetch the same object twice.
    """

    def __init__(self, filesystem: Any, kept: int = 2) -> None:
        """Read from ``filesystem`` and keep the bytes of ``kept`` objects."""
        self._fs = filesystem
        self._kept = kept
        self._bytes: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def read(self, path: str, sha256: str) -> bytes:
        """Return an object's bytes.

        Raises:
            ProjectError: the object is missing, or its bytes are not those that were registered.
        """
        with self._lock:
            if sha256 not in self._bytes:
                self._bytes[sha256] = self._fetch(path, sha256)
            data = self._bytes[sha256]
            while len(self._bytes) > self._kept:
                self._bytes.popitem(last=False)
        return data

    def _fetch(self, path: str, sha256: str) -> bytes:
        try:
            data: bytes = self._fs.cat_file(path)
        except FileNotFoundError as error:
            raise ProjectError(f"{path} is registered and missing: run again the pipeline that wrote it") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ProjectError(
                f"{path} was altered, it does not have the registered sha256: "
                "move it away and run again the pipeline that wrote it"
            )
        return data
