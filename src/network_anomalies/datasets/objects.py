"""Objects of the lake whose sha256 is in the registry."""

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import Any

from network_anomalies.datasets.handles import StoreName
from network_anomalies.errors import ProjectError


class CheckedObjects:
    """Reads objects of a filesystem and checks that their bytes have the registered sha256.

    It keeps the objects that it read last, because two slices of a day are often in one object. Threads read one after
    another, so that no object is fetched twice. Another process gets the name of the filesystem, and opens it there.
    """

    def __init__(self, filesystem: Any, kept: int = 2, store: StoreName | None = None) -> None:
        """Read from ``filesystem``, whose name is ``store``, and keep the bytes of ``kept`` objects."""
        self._fs = filesystem
        self._kept = kept
        self._store = store
        self._bytes: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def read(self, path: str, sha256: str) -> bytes:
        """Return an object's bytes.

        Raises:
            ProjectError: the object is missing, or its bytes have another sha256.
        """
        with self._lock:
            if sha256 not in self._bytes:
                self._bytes[sha256] = self._fetch(path, sha256)
            data = self._bytes[sha256]
            while len(self._bytes) > self._kept:
                self._bytes.popitem(last=False)
        return data

    def __reduce__(self) -> tuple[Any, ...]:
        return open_objects, (self._store, self._kept)

    def _fetch(self, path: str, sha256: str) -> bytes:
        try:
            data: bytes = self._fs.cat_file(path)
        except FileNotFoundError as error:
            raise ProjectError(f"{path} is registered and missing: run the pipeline that wrote it again") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ProjectError(
                f"{path} was altered, its sha256 is not the registered one: "
                "move it away and run the pipeline that wrote it again"
            )
        return data


def open_objects(store: StoreName, kept: int) -> CheckedObjects:
    """Return objects that are read from a filesystem of this process."""
    return CheckedObjects(store.open(), kept, store)
