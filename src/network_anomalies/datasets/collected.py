"""What a generator node yields, kept in order."""

from copy import copy
from typing import Any

from kedro.io import AbstractDataset


class CollectedDataset(AbstractDataset[Any, list[Any]]):
    """Keeps in memory everything that is saved to it; loads as a list, in the order of the saves.

    A ``MemoryDataset`` would keep the last item only of a node that yields part by part.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        """Create an empty collection; ``metadata`` is for plug-ins."""
        self._items: list[Any] = []
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Append a shallow copy of an item, which its maker may empty later."""
        self._items.append(copy(data))

    def load(self) -> list[Any]:
        """Return what was saved."""
        return list(self._items)

    def _exists(self) -> bool:
        return bool(self._items)

    def _release(self) -> None:
        self._items = []

    def _describe(self) -> dict[str, Any]:
        return {"items": len(self._items)}
