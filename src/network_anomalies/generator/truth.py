"""What the synthetic events really were: labels by event key, for evaluation only."""

import numpy as np
import pandas as pd

from network_anomalies.events.contract import COLUMNS
from network_anomalies.generator.scenarios import Instance

TRUTH_COLUMNS = {
    "event_key": "uint64",
    "scenario": "str",
    "instance": "int64",
    "kind": "str",
    "attack": "bool",
    "stealth": "float64",
    "src_ip": "str",
    "dst_ip": "str",
    "first_seen": "datetime64[us, UTC]",
    "last_seen": "datetime64[us, UTC]",
}


def find_keys(events: pd.DataFrame) -> np.ndarray:
    """Return the key of each event: 64 bits that its six columns decide, and that stand nowhere in RAW.

    Args:
        events: the contract's columns with their types.

    Returns:
        uint64, shape (events,).
    """
    keys: np.ndarray = pd.util.hash_pandas_object(events[list(COLUMNS)], index=False).to_numpy()
    return keys


def label_flows(
    flows: pd.DataFrame, instances: list[Instance], counts: list[int], midnight: pd.Timestamp
) -> pd.DataFrame:
    """Return the truth about staged flows, one row each, with ``TRUTH_COLUMNS``.

    Args:
        flows: the contract's columns; the flows of the first instance, then those of the second, and so on.
        instances: what was staged.
        counts: how many flows each instance has.
        midnight: when the day begins.
    """
    edges = [instance.interval for instance in instances]
    facts = {
        "scenario": [instance.name for instance in instances],
        "instance": [instance.number for instance in instances],
        "kind": [instance.kind for instance in instances],
        "attack": [instance.attack for instance in instances],
        "stealth": [instance.stealth for instance in instances],
        "first_seen": midnight + pd.to_timedelta([first for first, _ in edges], unit="us"),
        "last_seen": midnight + pd.to_timedelta([last for _, last in edges], unit="us"),
    }
    rows = pd.DataFrame(facts).loc[np.repeat(np.arange(len(instances)), counts)].reset_index(drop=True)
    ends = {name: flows[name].astype("str") for name in ("src_ip", "dst_ip")}
    return rows.assign(event_key=find_keys(flows.assign(**ends)), **ends)[list(TRUTH_COLUMNS)].astype(TRUTH_COLUMNS)
