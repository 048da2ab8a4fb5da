"""A day's alerts in the registry."""

from datetime import date
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from network_anomalies.registry.alert_rows import read_alerts, replace_alerts
from network_anomalies.registry.engine import open_registry


class AlertsDataset(AbstractDataset[dict[str, Any], pd.DataFrame]):
    """Saving replaces the alerts of a source and date in one transaction; loading gives them, highest score first."""

    def __init__(
        self, *, source: str, logical_date: str, credentials: dict[str, Any], metadata: dict[str, Any] | None = None
    ) -> None:
        """Create the dataset.

        Args:
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            credentials: ``con``, the registry's SQLAlchemy URL.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = credentials["con"]
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Replace the day's alerts by ``rows``, a frame with the columns of ``alerts``; ``run_id`` names the run."""
        rows = data["rows"].astype("object").where(data["rows"].notna(), None).to_dict("records")
        replace_alerts(open_registry(self._url), self._source, self._logical_date, data["run_id"], rows)

    def load(self) -> pd.DataFrame:
        """Return the day's alerts, suppressed ones last; empty if there are none."""
        return read_alerts(open_registry(self._url), self._source, self._logical_date)

    def _exists(self) -> bool:
        return not self.load().empty

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._logical_date)}
