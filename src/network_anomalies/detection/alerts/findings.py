"""Findings: what a detector says of a host, as rows that can be ranked together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from network_anomalies.detection.limits import ScoreLimits
from network_anomalies.detection.scoring.columns import UNKNOWN
from network_anomalies.detection.scoring.groups import Groups
from network_anomalies.events.contract import TIMESTAMP

TECHNIQUES = {
    "horizontal_scan": "T1046",
    "vertical_scan": "T1046",
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
    "protocol": "str",
    "service": "int64",
    "fact": "str",
    "value": "float64",
    "limit": "float64",
    "score": "float64",
    "sentence": "str",
    "technique": "str",
}
MAIN_SHARE = 0.8
"""Above this share of its flows, a conversation is about one service."""


def to_findings(
    kind: str, table: pd.DataFrame, fact: str, sentences: Sequence[str], limits: ScoreLimits
) -> pd.DataFrame:
    """Return findings of one kind.

    Args:
        kind: one of ``TECHNIQUES``.
        table: ``entity``, ``peer`` ("" for none or several), ``first`` and ``last`` in microseconds since 1970,
            ``flows``, ``protocol`` ("" for several), ``service`` (a port, ``UNKNOWN`` for several or none), ``value``
            and ``limit`` of what was counted, and ``strength``: how many times its limit was reached.
        fact: what was counted, in words.
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
        "protocol": table["protocol"].astype("str"),
        "service": table["service"],
        "fact": [fact] * len(table),
        "value": table["value"],
        "limit": table["limit"],
        "score": np.clip(limits.at_limit + limits.per_doubling * np.log2(table["strength"]), 0.0, 100.0),
        "sentence": list(sentences),
        "technique": [TECHNIQUES[kind]] * len(table),
    }
    return pd.DataFrame(columns).astype(FINDING_COLUMNS).reset_index(drop=True)


def name_pairs(table: pd.DataFrame, entity: str = "src_ip", peer: str = "dst_ip") -> pd.DataFrame:
    """Return what a finding needs of rows that are pairs and have ``value``, ``limit`` and ``strength``."""
    names = table[[entity, peer]].set_axis(["entity", "peer"], axis=1).astype("str")
    kept = ("first", "last", "flows", "protocol", "value", "limit", "strength")
    return names.assign(service=find_main_services(table), **{name: table[name] for name in kept})


def name_groups(table: pd.DataFrame, groups: Groups, entity: str) -> pd.DataFrame:
    """Return what a finding needs of groups of rows that share an entity, but for its strength, value and limit."""
    first = np.full(len(groups), np.iinfo(np.int64).max)
    np.minimum.at(first, groups.codes, table["first"].to_numpy())
    last = np.zeros(len(groups), dtype=np.int64)
    np.maximum.at(last, groups.codes, table["last"].to_numpy())
    flows = np.bincount(groups.codes, table["flows"].to_numpy(), len(groups)).astype(np.int64)
    entities = table[entity].iloc[groups.first].astype("str").to_numpy()
    return pd.DataFrame(
        {
            "entity": entities,
            "peer": "",
            "first": first,
            "last": last,
            "flows": flows,
            "protocol": _find_common(groups, table["protocol"].astype("str").to_numpy(), ""),
            "service": _find_common(groups, find_main_services(table), UNKNOWN),
        }
    )


def find_main_services(table: pd.DataFrame) -> np.ndarray:
    """Return the port of each row that most of its flows go to, ``UNKNOWN`` where none does."""
    main = table["service_flows"].to_numpy() > MAIN_SHARE * table["flows"].to_numpy()
    return np.where(main, table["service"], UNKNOWN)


def say_service(protocol: str, service: int) -> str:
    """Return "on TCP port 22", or "over TCP" where no port is known."""
    return f"on {protocol} port {service}" if service != UNKNOWN else f"over {protocol}"


def _find_common(groups: Groups, values: np.ndarray, otherwise: str | int) -> np.ndarray:
    """Return the value that all rows of a group share, or another one."""
    common = values[groups.first]
    differ = np.bincount(groups.codes, values != common[groups.codes], len(groups)) > 0
    common[differ] = otherwise
    return np.asarray(common)


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
