"""Findings: what a detector says of a host, as rows that can be ranked together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from network_anomalies.detection.limits import ScoreLimits
from network_anomalies.detection.scoring.columns import Groups
from network_anomalies.events.contract import TIMESTAMP

TECHNIQUES = {
    "horizontal_scan": "T1046",
    "brute_force": "T1110",
    "exfiltration": "T1048",
    "ddos": "T1498",
    "beaconing": "T1071",
    "lateral_movement": "T1021",
    "new_service": "T1571",
    "anomaly": "",
}
FINDING_COLUMNS = {
    "kind": "str",
    "entity": "str",
    "peer": "str",
    "first_seen": TIMESTAMP,
    "last_seen": TIMESTAMP,
    "flows": "int64",
    "score": "float64",
    "sentence": "str",
    "technique": "str",
}


def to_findings(kind: str, table: pd.DataFrame, sentences: Sequence[str], limits: ScoreLimits) -> pd.DataFrame:
    """Return findings of one kind.

    Args:
        kind: one of ``TECHNIQUES``.
        table: ``entity``, ``peer`` ("" for none), ``first`` and ``last`` in microseconds since 1970, ``flows``, and
            ``strength``: how many times its limit was reached.
        sentences: one per row.
        limits: points at the limit, and per doubling.

    Returns:
        Frame of ``FINDING_COLUMNS``; ``score`` is ``at_limit`` at the limit, ``per_doubling`` more per doubling, from 0
        to 100.
    """
    columns = {
        "kind": [kind] * len(table),
        "entity": table["entity"].astype("str"),
        "peer": table["peer"].astype("str"),
        "first_seen": to_times(table["first"]),
        "last_seen": to_times(table["last"]),
        "flows": table["flows"],
        "score": np.clip(limits.at_limit + limits.per_doubling * np.log2(table["strength"]), 0.0, 100.0),
        "sentence": list(sentences),
        "technique": [TECHNIQUES[kind]] * len(table),
    }
    return pd.DataFrame(columns).astype(FINDING_COLUMNS).reset_index(drop=True)


def name_pairs(table: pd.DataFrame, entity: str = "src_ip", peer: str = "dst_ip") -> pd.DataFrame:
    """Return what a finding needs of rows that are pairs and have a ``strength``."""
    names = table[[entity, peer]].set_axis(["entity", "peer"], axis=1).astype("str")
    return names.assign(**{name: table[name] for name in ("first", "last", "flows", "strength")})


def name_groups(table: pd.DataFrame, groups: Groups, entity: str) -> pd.DataFrame:
    """Return what a finding needs of groups of rows that share an entity."""
    first = np.full(len(groups), np.iinfo(np.int64).max)
    np.minimum.at(first, groups.codes, table["first"].to_numpy())
    last = np.zeros(len(groups), dtype=np.int64)
    np.maximum.at(last, groups.codes, table["last"].to_numpy())
    flows = np.bincount(groups.codes, table["flows"].to_numpy(), len(groups)).astype(np.int64)
    entities = table[entity].iloc[groups.first].astype("str").to_numpy()
    return pd.DataFrame({"entity": entities, "peer": "", "first": first, "last": last, "flows": flows})


def to_times(micros: pd.Series) -> pd.Series:
    """Return microseconds since 1970 as UTC times."""
    return micros.astype("int64").astype("datetime64[us]").dt.tz_localize("UTC")


def rank_findings(findings: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return all findings, the strongest of each entity and kind, in order of their score."""
    filled = [table for table in findings if len(table)]
    if not filled:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in FINDING_COLUMNS.items()})
    ranked = pd.concat(filled, ignore_index=True).sort_values(
        ["score", "kind", "entity", "peer", "first_seen"], ascending=[False, True, True, True, True], kind="stable"
    )
    return ranked.drop_duplicates(["kind", "entity"]).reset_index(drop=True)
