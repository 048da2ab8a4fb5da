"""The flows behind an alert, read from RAW."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

from network_anomalies.records.alerts import Alert
from network_anomalies.upkeep.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

FIRST_FLOWS = 10
COLUMNS = ("timestamp", "src_ip", "src_port", "dst_ip", "dst_port", "protocol", "bytes", "duration")
"""Those of RAW that are shown, as far as a source has them."""


@dataclass(frozen=True)
class FirstFlows:
    """The first flows of an alert.

    Attributes:
        columns: names.
        rows: at most ``FIRST_FLOWS``, by time.
        fault: why they cannot be read, or "".
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    fault: str = ""


def read_first_flows(stores: Stores, alert: Alert) -> FirstFlows:
    """Return the first flows of an alert's host, with its peer if it has one, in the time of the alert.

    They are those of the current revision of the day, object by object until there are enough.
    """
    from network_anomalies.errors import explain, is_expected

    try:
        found = _read(stores, alert)
    except Exception as error:
        if not is_expected(error):
            raise
        return FirstFlows((), (), explain(error))
    names = [name for name in COLUMNS if name in found.columns]
    return FirstFlows(names, found[names].astype("object").to_numpy().tolist())


def write_query(alert: Alert) -> str:
    """Return the SQL query that gives all flows of an alert from the table ``flows``.

    The hosts of events are addresses: the contract lets nothing else pass, so they need no quoting.
    """
    ends = [f"(src_ip = '{alert.entity}' OR dst_ip = '{alert.entity}')"]
    if alert.peer:
        ends.append(f"(src_ip = '{alert.peer}' OR dst_ip = '{alert.peer}')")
    first, last = (f"{moment:%Y-%m-%d %H:%M:%S.%f}+00" for moment in (alert.first_seen, alert.last_seen))
    conditions = " AND ".join([*ends, f"timestamp BETWEEN '{first}' AND '{last}'"])
    return f"SELECT * FROM flows WHERE {conditions}"  # noqa: S608 (addresses and times)


def _read(stores: Stores, alert: Alert) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow.parquet as pq

    from network_anomalies.datasets.objects import CheckedObjects
    from network_anomalies.registry.batches import read_current

    lake = CheckedObjects(stores.lake, kept=0)
    objects = read_current(stores.engine, alert.source, alert.logical_date).sort_values("part")
    after = alert.last_seen + timedelta(microseconds=1)
    tables, count = [], 0
    for row in objects.to_dict("records"):
        if row["min_timestamp"] > alert.last_seen or row["max_timestamp"] < alert.first_seen or count >= FIRST_FLOWS:
            continue
        data = lake.read(stores.locate(row["object_uri"]) or row["object_uri"], row["object_sha256"])
        table = pq.read_table(BytesIO(data), filters=_choose(alert, after)).to_pandas()
        tables.append(table)
        count += len(table)
    if not tables:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(tables, ignore_index=True).sort_values("timestamp", kind="stable").head(FIRST_FLOWS)


def _choose(alert: Alert, after: Any) -> Any:
    """Return the filter of Parquet rows: alternatives, each of which is a list of conditions."""
    within = [("timestamp", ">=", alert.first_seen), ("timestamp", "<", after)]
    if not alert.peer:
        return [[(side, "==", alert.entity), *within] for side in ("src_ip", "dst_ip")]
    directions = ((alert.entity, alert.peer), (alert.peer, alert.entity))
    return [[("src_ip", "==", source), ("dst_ip", "==", target), *within] for source, target in directions]
