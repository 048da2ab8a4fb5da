"""Rows of the registry, as a frame."""

from datetime import date
from typing import Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset
from sqlalchemy import Engine

from network_anomalies.errors import ProjectError
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.lookups import look_up


class RegistryRowsDataset(AbstractDataset[Any, pd.DataFrame]):
    """Loads rows about a source and date. Runs and their commits write them, and nothing else does.

    Example of a catalog entry:

    .. code-block:: yaml

        current_objects:
          type: network_anomalies.datasets.RegistryRowsDataset
          rows: current_objects
          source: zeek
          logical_date: 2024-04-19
          credentials: postgres
    """

    def __init__(
        self,
        *,
        rows: str,
        source: str,
        logical_date: str,
        credentials: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            rows: which, a name of ``registry.rows.LOOKUPS``.
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            credentials: ``con``, the registry's SQLAlchemy URL.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._rows = rows
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = credentials["con"]
        self.metadata = metadata

    @property
    def engine(self) -> Engine:
        """The registry, its schema in place."""
        return open_registry(self._url)

    def load(self) -> pd.DataFrame:
        """Return the rows.

        Raises:
            ProjectError: there are none, and what asks needs one.
        """
        return look_up(self.engine, self._rows, self._source, self._logical_date)

    def save(self, data: Any) -> NoReturn:
        """Refuse.

        Raises:
            ProjectError: always.
        """
        raise ProjectError(f"{self._rows} is read only: runs and their commits write these rows")

    def _describe(self) -> dict[str, Any]:
        return {"rows": self._rows, "source": self._source, "logical_date": str(self._logical_date)}
