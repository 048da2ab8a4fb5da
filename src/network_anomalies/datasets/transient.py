"""What exists only while a run works."""

from copy import copy
from typing import Any

from kedro.io import AbstractDataset

from network_anomalies.errors import ProjectError


class TransientDataset(AbstractDataset[Any, Any]):
    """Keeps in memory what is saved to it, without a copy.

    With ``collect`` it keeps everything that is saved, in order, and loads as a list: a ``MemoryDataset`` would keep
    the last item only of a node that yields part by part.

    Example of a catalog entry:

    .. code-block:: yaml

        part_reports:
          type: network_anomalies.datasets.TransientDataset
          collect: true
    """

    def __init__(self, *, collect: bool = False, metadata: dict[str, Any] | None = None) -> None:
        """Create a dataset without content; ``metadata`` is for plug-ins."""
        self._collect = collect
        self._items: list[Any] = []
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Keep an item; when collecting, a shallow copy of it, which its maker may empty later."""
        self._items = [*self._items, copy(data)] if self._collect else [data]

    def load(self) -> Any:
        """Return the item, or when collecting the list of all.

        Raises:
            ProjectError: nothing was saved.
        """
        if not self._items:
            raise ProjectError(
                "this dataset has content only while a run works: load one that is stored, such as "
                "raw_network_events, silver_events, scores or alerts"
            )
        return list(self._items) if self._collect else self._items[0]

    def _exists(self) -> bool:
        return bool(self._items)

    def _release(self) -> None:
        self._items = []

    def _describe(self) -> dict[str, Any]:
        return {"collect": self._collect, "items": len(self._items)}
