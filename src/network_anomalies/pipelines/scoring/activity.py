"""The flows behind alerts: what their hosts did in the day, from the day's summary."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from network_anomalies.detection import Summary
from network_anomalies.detection.alerts.findings import to_times
from network_anomalies.records.day_profile import HOURS
from network_anomalies.records.day_report import Activities, Conversation, EntityActivity

MOST_CONVERSATIONS = 5
ENDS = ("src_ip", "dst_ip")


def trace_hosts(alerts: pd.DataFrame, summary: Summary) -> Activities:
    """Return what the hosts of some alerts did in a day.

    Args:
        alerts: with ``entity``, ``peer``, ``first_seen`` and ``last_seen``. Conversations with a peer come first, then
            those in the time of an alert.
        summary: of the day.
    """
    table = summary.conversations
    involved = np.zeros(len(table), dtype=bool)
    for end in ENDS:
        involved |= np.isin(table[end].cat.codes, _find_codes(table[end], alerts["entity"].unique()))
    near = table[involved]
    groups = alerts.groupby("entity", sort=False)
    return {str(host): _trace_host(_take_host(near, str(host)), own) for host, own in groups}


def _find_codes(column: pd.Series, hosts: Iterable[str]) -> np.ndarray:
    codes: np.ndarray = column.cat.categories.get_indexer(list(hosts))
    return codes[codes >= 0]


def _take_host(table: pd.DataFrame, host: str) -> pd.DataFrame:
    """Return the rows of which a host is an end; codes are compared, since texts are slow to."""
    found = [np.isin(table[end].cat.codes, _find_codes(table[end], [host])) for end in ENDS]
    return table[found[0] | found[1]]


def _trace_host(table: pd.DataFrame, alerts: pd.DataFrame) -> EntityActivity:
    hours = np.bincount(table["hour"].to_numpy() % HOURS, table["flows"].to_numpy(), HOURS).astype(np.int64)
    grouped = table.groupby([*ENDS, "protocol"], observed=True, sort=False)
    talks = grouped.agg(flows=("flows", "sum"), bytes=("bytes", "sum"), first=("first", "min"), last=("last", "max"))
    talks = talks.reset_index()
    peers, first, last = alerts["peer"].dropna(), to_times(talks["first"]), to_times(talks["last"])
    is_named = talks["src_ip"].astype("str").isin(peers) | talks["dst_ip"].astype("str").isin(peers)
    is_during = (last >= alerts["first_seen"].min()) & (first <= alerts["last_seen"].max())
    talks = talks.assign(is_named=is_named, is_during=is_during).sort_values(
        ["is_named", "is_during", "flows", "bytes", "first"], ascending=[False] * 4 + [True], kind="stable"
    )
    shown = talks.head(MOST_CONVERSATIONS)
    return EntityActivity(hours.tolist(), _list_conversations(shown), len(talks))


def _list_conversations(talks: pd.DataFrame) -> list[Conversation]:
    moments = zip(to_times(talks["first"]), to_times(talks["last"]), strict=True)
    return [
        Conversation(str(row.src_ip), str(row.dst_ip), str(row.protocol), int(row.flows), int(row.bytes), first, last)
        for row, (first, last) in zip(talks.itertuples(), moments, strict=True)
    ]
