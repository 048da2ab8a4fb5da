"""A day beside the past: conversation-hours and whole-day dialogues, with what the history knows of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import ip_address, ip_network

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import find_main_services
from network_anomalies.detection.limits import (
    DEFAULT_LIMITS,
    BeaconLimits,
    DetectorLimits,
    PastLimits,
)
from network_anomalies.detection.scoring.columns import HOUR, MINUTE, SECOND, UNKNOWN
from network_anomalies.detection.scoring.groups import Groups
from network_anomalies.detection.scoring.history import KEYS, NEVER, History, find_rows, group_by
from network_anomalies.detection.scoring.summary import CONVERSATION, Summary

# RFC 1918, RFC 3927, RFC 4193, RFC 4291. Not all that Python calls private: nobody's own hosts are in 198.18.0.0/15.
PRIVATE_NETWORKS = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"))
)
_GROUP_MAC = r"[0-9a-f][13579bdf](:[0-9a-f]{2}){5}"
_NEVER = np.iinfo(np.int64).max
DIALOGUE = ["src_ip", "dst_ip", "protocol"]
_SIDES = ("source", "destination", "pair")
HOUR_COLUMNS = [
    *(*CONVERSATION, "flows", "minutes", "first", "last", "seconds", "size_mean", "size_squares"),
    *("ported", "ports", "service", "service_flows", "sided", "answered"),
]
"""Columns of a summary that the detectors need of conversation-hours. Those who select rows copy every column."""
HOUR_PAST = (
    *("past_source_flows", "past_source_hours", "past_source_peak_probes", "past_source_day_probes"),
    *("past_source_peak_ports", "young_source"),
    *("past_destination_peak_flows", "past_destination_peak_sources", "past_pair_flows", "past_pair_peak_flows"),
)
"""Columns about the past that the detectors need of conversation-hours, of which a day has many."""
DIALOGUE_PAST = (
    *("past_source_hours", "past_source_day_probes", "past_source_peak_bytes", "past_source_peak_upload"),
    *("past_destination_flows", "past_pair_flows", "past_pair_peak_flows", "past_pair_day_bytes"),
    *("past_pair_day_upload", "young_pair_flows", "young_pair_days", "young_pair_hours", "young_pair_total_bytes"),
    "young_pair_total_upload",
)
"""Columns about the past that the detectors need of dialogues."""
_AGED_WITH = {
    "past_source_peak_probes": "probes",
    "past_source_day_probes": "probes",
    "past_source_peak_ports": "pair",
}
"""What has to be young for a count of a source to be 0; its other counts always stand."""


@dataclass(frozen=True)
class ObservedDay:
    """A day's summary, and the history to judge it by.

    Attributes:
        summary: of the day.
        history: of the past; without one of some hours, the rules that need none are stricter.
        limits: of the detectors.
    """

    summary: Summary
    history: History | None = None
    limits: DetectorLimits = DEFAULT_LIMITS

    @property
    def has_past(self) -> bool:
        """Whether the past is long enough to call something new."""
        return self.history is not None and self.limits.past.is_enough(self.history.total_hours)

    @cached_property
    def conversations(self) -> pd.DataFrame:
        """Conversation-hours, with bytes and seconds per flow, spread of ln(bytes), and their past (``HOUR_PAST``)."""
        return self.add_past(_describe(self.summary.conversations[HOUR_COLUMNS]), HOUR_PAST)

    @cached_property
    def dialogues(self) -> pd.DataFrame:
        """Conversations over the whole day, with ``hours`` and their past (``DIALOGUE_PAST``).

        ``period`` (seconds) and ``gap_spread`` are about all gaps between flows, also those across hours.
        """
        merged = merge_hours(self.summary.conversations)
        gaps = merged.assign(
            period=np.expm1(merged["gap_mean"]) / 1000,
            gap_spread=np.sqrt(merged["gap_squares"] / merged["gaps"].clip(lower=1)),
        )
        described = _describe(gaps).drop(columns=["seconds", "size_squares", "gaps", "gap_mean", "gap_squares"])
        return self.add_past(described, DIALOGUE_PAST)

    @cached_property
    def _first_words(self) -> tuple[np.ndarray, np.ndarray]:
        """Each source and destination of the day as one number, in order, and when the one first spoke to the other."""
        talks = self.summary.conversations
        pairs = talks["src_ip"].cat.codes.to_numpy(np.int64) << 32 | talks["dst_ip"].cat.codes.to_numpy()
        known, places = np.unique(pairs, return_inverse=True)
        first = np.full(len(known), _NEVER)
        np.minimum.at(first, places, talks["first"].to_numpy())
        return known, first

    def find_first(self, calls: pd.DataFrame, source: str, destination: str) -> np.ndarray:
        """Return when the host in one column of some rows first spoke to the one in another, ``_NEVER`` if it did not.

        Args:
            calls: rows with addresses of the day.
            source: column of those who speak.
            destination: column of those who are spoken to.
        """
        known, first = self._first_words
        codes = []
        for name, side in ((source, "src_ip"), (destination, "dst_ip")):
            names = self.summary.conversations[side].cat.categories
            codes.append(names.get_indexer(calls[name].cat.categories)[calls[name].cat.codes].astype(np.int64))
        sought = codes[0] << 32 | codes[1]
        place = np.minimum(np.searchsorted(known, sought), max(len(known) - 1, 0))
        spoke = (codes[0] >= 0) & (codes[1] >= 0) & (np.append(known, 0)[place] == sought)
        return np.where(spoke, np.append(first, _NEVER)[place], _NEVER)

    def add_past(self, table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
        """Add what the history knows of the source, destination and pair of each row; all 0 without a past.

        What began after the first hours of the past (``past.settling_hours``) is no habit: so that an attack does not
        become normal while it goes on, 0 is what a pair did that is as young, a destination that few sources talk to,
        and a source as far as it probes.

        Args:
            table: rows with addresses of the day.
            names: columns to add, since each takes the memory of a column of the day: ``past_<key>_<count>``;
                ``young_pair_<count>``, the counts of pairs that are as young, 0 for others; and ``young_source``,
                which sources are as young.
        """
        if self.history is None:
            types = {name: bool if name == "young_source" else float for name in names}
            return table.assign(**{name: np.zeros(len(table), dtype=kind) for name, kind in types.items()})
        past = _Past(self.history, {name: find_rows(self.history, name, _codes(table, KEYS[name])) for name in _SIDES})
        young = self._find_young(past)
        return table.assign(**{name: _read_past(past, young, name) for name in names})

    def _find_young(self, past: "_Past") -> dict[str, np.ndarray]:
        """Return which rows have a pair, a destination, a source that probes, and a source, that began lately."""
        settled = past.history.first + self.limits.past.settling_hours * HOUR
        few = past.read("destination", "peak_sources") <= self.limits.beaconing.sources.with_past
        probes = past.read("source", "begin_probes")
        return {
            "pair": past.read("pair", "begin") > settled,
            "destination": (past.read("destination", "begin") > settled) & few,
            "probes": (probes > settled) & (probes < NEVER),
            "begin": past.read("source", "begin") > settled,
        }


@dataclass(frozen=True)
class _Past:
    """Places of the rows of a table in the tables of a history, -1 for what it does not know."""

    history: History
    places: Mapping[str, np.ndarray]

    def read(self, name: str, count: str) -> np.ndarray:
        """Return a count of each row, 0 for what the history does not know."""
        known = self.history.tables[name][count].to_numpy(dtype="float64")
        return np.asarray(np.append(known, 0.0)[self.places[name]])


def _read_past(past: _Past, young: Mapping[str, np.ndarray], column: str) -> np.ndarray:
    """Return a column that ``ObservedDay.add_past`` adds."""
    if column == "young_source":
        return young["begin"]
    age, name, count = column.split("_", 2)
    values = past.read(name, count)
    if age == "young":
        return np.where(young[name], values, 0)
    forgotten = young.get(_AGED_WITH.get(column, name))
    return values if forgotten is None else np.where(forgotten, 0, values)


def merge_hours(conversations: pd.DataFrame) -> pd.DataFrame:
    """Return a row per source, destination and protocol from conversation-hours in the order of their keys.

    Means and squared deviations are merged about the joint mean (Chan, Golub and LeVeque, 1979), and the time
    between the last flow of an hour and the first of the next is one more gap. ``own_gaps`` and ``own_squares`` leave
    those out and are about the mean of each hour.
    """
    groups = group_by(conversations, DIALOGUE)
    same = groups.codes[1:] == groups.codes[:-1]
    pauses = (conversations["first"].to_numpy()[1:] - conversations["last"].to_numpy()[:-1])[same]
    log_pauses = np.log1p(pauses * (1000 / SECOND))
    gaps = _merge_moments(
        np.concatenate([groups.codes, groups.codes[1:][same]]),
        np.concatenate([conversations["gaps"], np.ones(len(log_pauses))]),
        np.concatenate([conversations["gap_mean"], log_pauses]),
        np.concatenate([conversations["gap_squares"], np.zeros(len(log_pauses))]),
        len(groups),
    )
    flows, means, squares = (conversations[name] for name in ("flows", "size_mean", "size_squares"))
    sizes = _merge_moments(groups.codes, flows, means, squares, len(groups))
    last = np.zeros(len(groups), dtype=np.int64)
    last[groups.codes] = conversations["last"]
    own = conversations["gaps"].to_numpy() > 0
    own_gaps = np.bincount(groups.codes[own], conversations["gaps"].to_numpy()[own], len(groups))
    own_squares = np.bincount(groups.codes[own], conversations["gap_squares"].to_numpy()[own], len(groups))
    largest = np.zeros(len(groups))
    np.maximum.at(largest, groups.codes, conversations["largest"].to_numpy())
    merged = conversations[DIALOGUE].take(groups.first).reset_index(drop=True)
    return merged.assign(
        hours=groups.sizes,
        first_hour=conversations["hour"].to_numpy()[groups.first],
        **{name: sum_groups(groups, conversations[name]) for name in ("flows", "minutes", "bytes", "seconds")},
        first=conversations["first"].to_numpy()[groups.first],
        last=last,
        largest=largest,
        gaps=gaps[0],
        gap_mean=gaps[1],
        gap_squares=gaps[2],
        own_gaps=own_gaps,
        own_squares=own_squares,
        size_mean=sizes[1],
        size_squares=sizes[2],
        **_merge_services(groups, conversations),
    )


def _merge_services(groups: Groups, conversations: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return sums of what is known of ports and directions, the busiest hour's service, and the most ports of an hour.

    ``service_flows`` are the flows of that service in all hours where it is the most frequent one.
    """
    names = ("ported", "sided", "answered", "upload", "download")
    columns = {name: sum_groups(groups, conversations[name]) for name in names}
    order = np.argsort(conversations["service_flows"].to_numpy(), kind="stable")
    service = np.full(len(groups), UNKNOWN)
    service[groups.codes[order]] = conversations["service"].to_numpy()[order]  # what is written last stays
    same = conversations["service"].to_numpy() == service[groups.codes]
    ports = np.zeros(len(groups), dtype=np.int64)
    np.maximum.at(ports, groups.codes, conversations["ports"].to_numpy())
    served = sum_groups(groups, conversations["service_flows"].where(same, 0))
    return columns | {"service": service, "service_flows": served, "ports": ports}


def sum_groups(groups: Groups, values: pd.Series) -> np.ndarray:
    """Return the sum per group, of the values' type."""
    return np.bincount(groups.codes, values.to_numpy(), len(groups)).astype(values.dtype)


def are_private(addresses: pd.Series) -> np.ndarray:
    """Return which addresses are in ``PRIVATE_NETWORKS``; what is no address is not."""
    private = np.array([_is_private(text) for text in addresses.cat.categories], dtype=bool)
    return np.asarray(np.append(private, False)[addresses.cat.codes])


def are_groups(addresses: pd.Series) -> np.ndarray:
    """Return which addresses are those of groups of hosts: multicast and broadcast.

    These are 224.0.0.0/4 (RFC 5771), ff00::/8 (RFC 4291), 255.255.255.255, private IPv4 addresses that end in 255, the
    broadcast addresses of most local networks (RFC 919), and MAC addresses with the group bit (IEEE 802).
    """
    names = addresses.cat.categories
    group = names.str.fullmatch(
        rf"(22[4-9]|23\d)(\.\d+){{3}}|ff[0-9a-f]{{2}}:.*|255\.255\.255\.255|{_GROUP_MAC}", case=False
    )
    private = np.array([_is_private(text) for text in names], dtype=bool)
    local = np.asarray(names.str.fullmatch(r"(\d+\.){3}255"), dtype=bool) & private
    return np.asarray(np.append(np.asarray(group, dtype=bool) | local, False)[addresses.cat.codes])


def are_answers(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return in which rows the destination spoke first of the two on the day, over any protocol.

    Sensors of one-way flows log both directions, and an ICMP error is a flow of its own: neither was begun by its
    source.
    """
    answers: np.ndarray = day.find_first(calls, "dst_ip", "src_ip") < day.find_first(calls, "src_ip", "dst_ip")
    return answers


def ask_time(calls: pd.DataFrame, limits: BeaconLimits) -> np.ndarray:
    """Return which rows are small UDP flows at the port of time servers."""
    small = np.expm1(calls["size_mean"]) <= limits.clock_bytes
    return np.asarray(small & (calls["protocol"] == "UDP") & np.isin(find_main_services(calls), limits.clock_ports))


def have_service(calls: pd.DataFrame, services: Sequence[int]) -> np.ndarray:
    """Return which rows may be about one of some services: most flows are, or no port is known."""
    return np.asarray((calls["ported"] == 0) | np.isin(find_main_services(calls), services))


@lru_cache(maxsize=65_536)  # every detector asks about the same hosts
def _is_private(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in PRIVATE_NETWORKS)


def _merge_moments(
    codes: np.ndarray, counts: np.ndarray, means: np.ndarray, squares: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts, means, squares = (np.asarray(values, dtype=np.float64) for values in (counts, means, squares))
    joint = np.bincount(codes, counts, size)
    mean = np.bincount(codes, counts * means, size) / np.maximum(joint, 1)
    about = np.bincount(codes, squares + counts * (means - mean[codes]) ** 2, size)
    return joint, mean, about


def _describe(table: pd.DataFrame) -> pd.DataFrame:
    flows = table["flows"]
    return table.assign(
        flow_bytes=np.expm1(table["size_mean"]),
        size_spread=np.sqrt(table["size_squares"] / flows),
        flow_seconds=table["seconds"] / flows,
        pace=flows / table["minutes"],
    )


def _codes(table: pd.DataFrame, keys: list[str]) -> list[tuple[np.ndarray, pd.Index | None]]:
    return [(table[key].cat.codes.to_numpy(), table[key].cat.categories) for key in keys]


def count_hours(conversations: pd.DataFrame, keys: list[str]) -> np.ndarray:
    """Return in how many hours of the table each row's key occurs."""
    groups = group_by(conversations, keys)
    hours: np.ndarray = group_by(conversations, [*keys, "hour"]).count_within(groups)[groups.codes]
    return hours


def count_sources(calls: pd.DataFrame) -> np.ndarray:
    """Return how many sources the destination of each row has in the day."""
    groups = group_by(calls, ["dst_ip"])
    sources: np.ndarray = group_by(calls, ["dst_ip", "src_ip"]).count_within(groups)[groups.codes]
    return sources


def count_destinations(calls: pd.DataFrame) -> np.ndarray:
    """Return how many destinations the source of each row has in the day."""
    groups = group_by(calls, ["src_ip"])
    destinations: np.ndarray = group_by(calls, ["src_ip", "dst_ip"]).count_within(groups)[groups.codes]
    return destinations


def are_exceptions(calls: pd.DataFrame, limits: PastLimits) -> np.ndarray:
    """Return which destinations only one source of the day talks to, although it shares most of its others.

    Where a source has few others, the whole day's share counts with it, as ``day_weight`` of them.
    """
    shared = count_sources(calls) > 1
    source = group_by(calls, ["src_ip"])
    shared_by_source = sum_groups(source, pd.Series(shared).astype("float64"))[source.codes]
    others = source.sizes[source.codes] - 1
    shared_by_day = limits.day_weight * shared.sum() / max(len(calls), 1)
    share = (shared_by_source + shared_by_day) / (others + limits.day_weight)
    return np.asarray(~shared & (share >= limits.shared_share))


def are_short(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which rows, without a past, pause for a minute between the first and the last flow of the day.

    What never pauses may be a habit, and a capture of an hour has too few hours to tell.
    """
    talks = day.summary.conversations
    span = (talks["last"].max() - talks["first"].min()) // MINUTE if len(talks) else 0
    return np.asarray((calls["minutes"] < span) | day.has_past)


def describe_past(words: str, day: ObservedDay) -> str:
    """Return what is known of the past, in words, or that there is none."""
    return words if day.has_past else "there is no past to compare with"
