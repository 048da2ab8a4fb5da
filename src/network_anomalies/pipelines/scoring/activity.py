"""The flows behind alerts: what their hosts did in the day, from the day's summary."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from network_anomalies.detection import Summary
from network_anomalies.detection.alerts.findings import to_times
from network_anomalies.detection.scoring.history import group_by
from network_anomalies.records.day_profile import HOURS
from network_anomalies.records.day_report import Activities, Conversation, EntityActivity

MOST_CONVERSATIONS = 5
ENDS = ["src_ip", "dst_ip"]
KEYS = [*ENDS, "protocol"]
NUMBERS = ["hour", "flows", "bytes", "first", "last"]
Names = Mapping[str, pd.Index]
"""The names behind the codes of each of ``KEYS``."""


def trace_hosts(alerts: pd.DataFrame, summary: Summary) -> Activities:
    """Return what the hosts of some alerts did in a day.

    Args:
        alerts: with ``entity``, ``peer``, ``first_seen`` and ``last_seen``. Conversations with a peer come first, then
            those in the time of an alert.
        summary: of the day.
    """
    table = summary.conversations
    names = {key: table[key].cat.categories for key in KEYS}
    hosts = alerts["entity"].unique()
    involved = np.zeros(len(table), dtype=bool)
    for end in ENDS:
        involved |= np.isin(table[end].cat.codes.to_numpy(), _find_codes(names[end], hosts))
    near = table[involved]
    coded = near[NUMBERS].assign(**{key: near[key].cat.codes for key in KEYS})
    return {
        str(host): _trace_host(coded[_has_end(coded, names, [host])], own, names)
        for host, own in alerts.groupby("entity", sort=False)
    }


def _find_codes(names: pd.Index, hosts: Sequence[object] | np.ndarray) -> np.ndarray:
    codes = names.get_indexer(np.asarray(hosts, dtype=object))
    return np.asarray(codes[codes >= 0])


def _has_end(coded: pd.DataFrame, names: Names, hosts: Sequence[object]) -> np.ndarray:
    """Tell which rows have one of a few hosts at an end; codes are compared, since texts are slow to."""
    found = np.zeros(len(coded), dtype=bool)
    for end in ENDS:
        column = coded[end].to_numpy()
        for code in _find_codes(names[end], hosts):
            found |= column == code
    return found


def _trace_host(coded: pd.DataFrame, alerts: pd.DataFrame, names: Names) -> EntityActivity:
    """Add up the conversation-hours of a host."""
    hour, flows_in_hour = coded["hour"].to_numpy() % HOURS, coded["flows"].to_numpy()
    groups = group_by(coded, KEYS)
    flows, size = (np.bincount(groups.codes, coded[name].to_numpy(), len(groups)) for name in ("flows", "bytes"))
    first = np.full(len(groups), np.iinfo(np.int64).max)
    np.minimum.at(first, groups.codes, coded["first"].to_numpy())
    last = np.zeros(len(groups), dtype=np.int64)
    np.maximum.at(last, groups.codes, coded["last"].to_numpy())
    talks = coded.iloc[groups.first]
    is_named = _has_end(talks, names, alerts["peer"].dropna().tolist())
    start, end = (time.as_unit("us").value for time in (alerts["first_seen"].min(), alerts["last_seen"].max()))
    is_during = (last >= start) & (first <= end)
    order = np.lexsort((first, -size, -flows, ~is_during, ~is_named))[:MOST_CONVERSATIONS]
    shown = zip(
        *(names[key][talks[key].to_numpy()[order]] for key in KEYS),
        *(values[order].astype(np.int64).tolist() for values in (flows, size)),
        *(to_times(pd.Series(times[order])) for times in (first, last)),
        strict=True,
    )
    hours = np.bincount(hour, flows_in_hour, HOURS).astype(np.int64).tolist()
    return EntityActivity(hours, [Conversation(*row) for row in shown], len(groups))
