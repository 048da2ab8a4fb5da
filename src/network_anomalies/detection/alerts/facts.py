"""Facts behind an alert: what was measured, which limit it passed, what is normal for the host, and how rare it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from network_anomalies.detection.limits import DetectorLimits
from network_anomalies.detection.scoring.history import History, remember
from network_anomalies.detection.scoring.summary import Summary

FACTS = 3
"""How many an alert has, at most."""
NORMAL = 0.975
"""What this share of the past stays up to is called normal."""
_UNITS = ("bytes", "KB", "MB", "GB", "TB")


class Fact(BaseModel):
    """A measured value of an alert, and what it is compared with. What is not known is None.

    Attributes:
        name: what was measured, in words that follow the value.
        value: how much.
        is_bytes: whether the value is a number of bytes.
        limit: the limit of the detector that the value passed.
        before: the most that the same host or pair ever had in the past; 0 if it was never seen.
        normal_to: what 97.5 % of all hosts or pairs of the past stay up to.
        known: how many hosts or pairs the past has.
        as_many: how many of them reached the value.
        hosts: how many hosts do the same on the day, this one included.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    value: float
    is_bytes: bool = False
    limit: float | None = None
    before: float | None = None
    normal_to: float | None = None
    known: int | None = None
    as_many: int | None = None
    hosts: int | None = None


@dataclass(frozen=True)
class _Measure:
    """A column of a history's table that facts are made of, and its name in words; ``{peer}`` is filled in."""

    table: str
    column: str
    words: str
    is_bytes: bool = False


_MEASURES = (
    _Measure("source", "peak_probes", "destinations probed in an hour"),
    _Measure("source", "day_probes", "destinations probed in the day"),
    _Measure("source", "peak_bytes", "exchanged with one host in the day", is_bytes=True),
    _Measure("destination", "peak_sources", "sources that reached it in an hour"),
    _Measure("destination", "peak_flows", "flows that reached it in an hour"),
    _Measure("pair", "peak_flows", "flows with {peer} in an hour"),
    _Measure("pair", "day_bytes", "exchanged with {peer} in the day", is_bytes=True),
)


def find_facts(
    findings: pd.DataFrame, summary: Summary, history: History | None, limits: DetectorLimits
) -> list[list[Fact]]:
    """Return the strongest facts of each finding, at most ``FACTS``: the limit, then what is furthest from normal.

    What is not above normal is left out, unless nothing is.

    Args:
        findings: rows of ``FINDING_COLUMNS``.
        summary: of the day.
        history: of the past; None if there is no past to compare with.
        limits: of the detectors.
    """
    if findings.empty:
        return []
    near = take_hosts(summary, {*findings["entity"], *findings["peer"].dropna()})
    today = remember(near)
    alike = findings["kind"].map(findings["kind"].value_counts())
    normal = {} if history is None else {measure: _find_normal(history, measure) for measure in _MEASURES}
    found = []
    for row, hosts in zip(findings.to_dict("records"), alike, strict=True):
        measured = [
            fact for measure in _MEASURES if (fact := _measure(row, measure, near, today, history, normal.get(measure)))
        ]
        # An hour that has all of the day's gives the same number twice.
        distinct = {fact.value: fact for fact in sorted(measured, key=_judge)}
        strongest = sorted(distinct.values(), key=_judge, reverse=True)
        telling = [fact for fact in strongest if _judge(fact) > 0] or strongest[:1]
        found.append([_state_limit(row, int(hosts), limits), *telling][:FACTS])
    return found


def say_fact(fact: Fact) -> str:
    """Return a fact as a sentence: the same words in the terminal, the report, notebooks and JSON.

    >>> say_fact(Fact(name="exchanged with 10.0.0.9 in the day", value=7.2e8, is_bytes=True, before=0, normal_to=5e6))
    '720 MB exchanged with 10.0.0.9 in the day: none before, normal is up to 5 MB'
    >>> say_fact(Fact(name="sessions in an hour", value=719, limit=60, known=3400, as_many=0, hosts=1))
    '719 sessions in an hour: the limit is 60, rarer than 1 in 3,400, no other host does so that day'
    """
    parts = []
    if fact.limit is not None:
        parts.append(f"the limit is {_say(fact.limit, fact.is_bytes)}")
    if fact.before is not None:
        parts.append(f"at most {_say(fact.before, fact.is_bytes)} before" if fact.before else "none before")
    if fact.normal_to is not None:
        parts.append(f"normal is up to {_say(fact.normal_to, fact.is_bytes)}")
    if fact.known and fact.as_many is not None:
        parts.append(_say_rarity(fact.known, fact.as_many))
    if fact.hosts is not None:
        parts.append(f"{fact.hosts:,} hosts do so that day" if fact.hosts > 1 else "no other host does so that day")
    return f"{_say(fact.value, fact.is_bytes)} {fact.name}" + (f": {', '.join(parts)}" if parts else "")


def _say_rarity(known: int, as_many: int) -> str:
    return f"about 1 in {known / as_many:,.0f}" if as_many else f"rarer than 1 in {known:,}"


def _say(value: float, is_bytes: bool) -> str:
    if not is_bytes:
        return f"{value:.2g}" if abs(value) < 10 and value != round(value) else f"{value:,.0f}"  # noqa: PLR2004
    place = int(np.clip(np.log10(max(value, 1)) // 3, 0, len(_UNITS) - 1))
    return f"{value / 1000**place:.3g} {_UNITS[place]}"


def _state_limit(row: dict[Any, Any], hosts: int, limits: DetectorLimits) -> Fact:
    """Return the value and the limit that raised a finding, or how many times its limit was reached."""
    if {"fact", "value", "limit"} <= row.keys():
        name, is_bytes = str(row["fact"]), str(row["fact"]).startswith("bytes ")
        about = {"name": name.removeprefix("bytes "), "is_bytes": is_bytes, "value": row["value"]}
        return Fact(**about, limit=row["limit"], hosts=hosts)
    times = 2 ** ((row["score"] - limits.score.at_limit) / limits.score.per_doubling)
    return Fact(name=f"times the limit of {row['kind']}", value=times, hosts=hosts)


def _measure(
    row: dict[Any, Any],
    measure: _Measure,
    near: Summary,
    today: History,
    history: History | None,
    normal: tuple[np.ndarray, float] | None,
) -> Fact | None:
    """Return a fact of a finding, None if the host has no such value or it is none that stands out."""
    keys = list(_list_keys(row, measure.table))
    value = max((_look_up(today, measure, key) for key in keys), default=0.0)
    if not value:
        return None
    fact = Fact(name=measure.words.format(peer=row["peer"]), value=value, is_bytes=measure.is_bytes)
    if measure.table == "pair":
        fact = fact.model_copy(update={"hosts": _count_partners(near, row["peer"])})
    if history is None or normal is None:
        return fact
    past, normal_to = normal
    before = max(_look_up(history, measure, key) for key in keys)
    rarity = {"known": len(past), "as_many": len(past) - int(np.searchsorted(past, value))}
    return fact.model_copy(update={"before": before, "normal_to": normal_to, **rarity})


def _judge(fact: Fact) -> float:
    """Return how far a value is from what is normal for its host, in doublings."""
    usual = max(fact.before or 0.0, fact.normal_to or 0.0)
    return float(np.log2((fact.value + 1) / (usual + 1)))


def _list_keys(row: dict[Any, Any], table: str) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a table that are about a finding: of a pair both directions."""
    if table != "pair":
        yield (row["entity"],)
    elif isinstance(row["peer"], str) and row["peer"]:
        yield row["entity"], row["peer"]
        yield row["peer"], row["entity"]


_SIDES = {"source": ["src_ip"], "destination": ["dst_ip"], "pair": ["src_ip", "dst_ip"]}


def _look_up(history: History, measure: _Measure, key: tuple[str, ...]) -> float:
    table = history.tables[measure.table]
    chosen = np.logical_and.reduce(
        [(table[side] == host).to_numpy() for side, host in zip(_SIDES[measure.table], key, strict=True)]
    )
    return float(table[measure.column].to_numpy()[chosen].max(initial=0))


def _find_normal(history: History, measure: _Measure) -> tuple[np.ndarray, float] | None:
    """Return the values of the past in order, and what nearly all of them stay up to; None without a past."""
    values = np.sort(history.tables[measure.table][measure.column].to_numpy(dtype="float64"))
    return (values, float(np.quantile(values, NORMAL, method="higher"))) if len(values) else None


def take_hosts(summary: Summary, hosts: set[str]) -> Summary:
    """Return what a summary tells of some hosts: their conversations, in either direction, and their sizes."""
    talks, sizes = summary.conversations, summary.sizes
    near = talks["src_ip"].isin(hosts) | talks["dst_ip"].isin(hosts)
    return Summary(conversations=_tidy(talks[near]), sizes=_tidy(sizes[sizes["src_ip"].isin(hosts)]))


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as summaries have them: a fresh index, and of the categories those in use."""
    text = table.select_dtypes("category")
    return table.assign(**{name: text[name].cat.remove_unused_categories() for name in text}).reset_index(drop=True)


def _count_partners(near: Summary, host: str) -> int:
    """Return how many hosts talk with a host on the day, in either direction."""
    talks = near.conversations
    sides = (talks.loc[talks["dst_ip"] == host, "src_ip"], talks.loc[talks["src_ip"] == host, "dst_ip"])
    return len({*sides[0].unique(), *sides[1].unique()})
