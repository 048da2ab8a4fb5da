"""Summary: what a slice, a day or several say of their conversation-hours; small, and mergeable in any order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.columns import SERVICES, UNKNOWN, Coded, encode_events
from network_anomalies.detection.scoring.context import compute_context, group_moments, log_gaps, order_by_group
from network_anomalies.detection.scoring.groups import Groups, group_rows
from network_anomalies.errors import ProjectError

CONVERSATION = ["src_ip", "dst_ip", "protocol", "hour"]
SIZE = ["src_ip", "protocol", "size_bin", "hour"]


@dataclass(frozen=True)
class Summary:
    """Two tables in the order of their keys, whose text columns hold sorted categories, just those in use.

    Attributes:
        conversations: a row per conversation-hour (``src_ip``, ``dst_ip``, ``protocol``, ``hour`` since 1970):
            ``flows``; ``minutes`` with a flow, and ``active``, whose bit m says that minute m of the hour has one;
            ``bytes``, ``largest`` and ``seconds``: total bytes, those of the
            largest flow, total duration; ``first``, ``last`` in microseconds since 1970; count, mean and sum of
            squared deviations of ln(1 + ms) between flows (``gaps``, ``gap_mean``, ``gap_squares``), and mean and sum
            of squared deviations of ln(1 + bytes) (``size_mean``, ``size_squares``). Where the source has ports:
            ``ported``, flows whose port is known, ``ports``, the distinct ones, ``service``, the most frequent one
            (the lowest of several, ``UNKNOWN`` where there is none), and its ``service_flows``. Where the source tells
            bytes by direction: ``sided``, flows whose bytes both ways are known, ``answered``, those with bytes back,
            ``upload`` and ``download``, their bytes from and to the source. Else these are 0.
        sizes: ``flows`` and ``active`` per ``src_ip``, ``protocol``, ``size_bin`` and ``hour``.
    """

    conversations: pd.DataFrame
    sizes: pd.DataFrame

    @property
    def hours(self) -> np.ndarray:
        """The distinct hours, in order."""
        return np.unique(self.conversations["hour"].to_numpy())


def summarise(events: pd.DataFrame) -> Summary:
    """Summarise whole UTC hours of events."""
    return summarise_coded(encode_events(events))


def describe_slice(events: pd.DataFrame) -> tuple[pd.DataFrame, Summary]:
    """Return whole UTC hours of events with their context columns, and their summary: one coding for both."""
    coded = encode_events(events)
    return events.assign(**compute_context(coded)), summarise_coded(coded)


def summarise_coded(coded: Coded) -> Summary:
    """Summarise coded events."""
    return Summary(_summarise_conversations(coded), _summarise_sizes(coded))


def _summarise_conversations(coded: Coded) -> pd.DataFrame:
    talk = _number_by_keys(coded.conversation_hours, coded.source, coded.destination, coded.protocol, coded.hour)
    order = _order_rows(talk, coded)
    codes, micros, sizes = talk.codes[order], coded.micros[order], coded.log_bytes[order]
    count = len(talk)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    gaps, gap_means, gap_squares = group_moments(*log_gaps(codes, micros), count)
    _, size_means, size_squares = group_moments(sizes, codes, count)
    active = mark_minutes(coded, order, starts)
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(coded.source[talk.first], coded.sources),
            "dst_ip": pd.Categorical.from_codes(coded.destination[talk.first], coded.destinations),
            "protocol": pd.Categorical.from_codes(coded.protocol[talk.first], coded.protocols),
            "hour": coded.hour[talk.first],
            "flows": talk.sizes,
            "minutes": np.bitwise_count(active).astype(np.int64),
            "bytes": np.bincount(codes, coded.bytes[order], count).astype(np.float64),
            "largest": np.maximum.reduceat(coded.bytes[order], starts),
            "seconds": np.bincount(codes, coded.duration[order], count).astype(np.float64),
            "first": micros[starts],
            "last": micros[np.append(starts[1:], len(codes)) - 1] if count else micros,
            "gaps": gaps,
            "gap_mean": gap_means,
            "gap_squares": gap_squares,
            "size_mean": size_means,
            "size_squares": size_squares,
            "active": active,
            **_summarise_services(talk, coded),
            **_summarise_sides(codes, order, coded, count),
        }
    )


def _summarise_services(talk: Groups, coded: Coded) -> dict[str, np.ndarray]:
    """Return what is known of the ports of each conversation-hour."""
    services, known = group_services(talk, coded)
    first = known[services.first]
    return choose_services(talk.codes[first], coded.service[first], services.sizes, len(talk))


def group_services(talk: Groups, coded: Coded) -> tuple[Groups, np.ndarray]:
    """Return the flows of a conversation-hour to one port, and the places of the rows with a port that they are of."""
    known = np.flatnonzero(coded.service != UNKNOWN)
    return group_rows(talk.codes[known] * SERVICES + coded.service[known]), known


def choose_services(
    conversation: np.ndarray, service: np.ndarray, flows: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """Return the columns about ports of ``count`` conversation-hours, from the flows of each to each of its ports."""
    columns = {
        "ported": np.bincount(conversation, flows, count).astype(np.int64),
        "ports": np.bincount(conversation, minlength=count),
        "service": np.full(count, UNKNOWN, dtype=np.int64),
        "service_flows": np.zeros(count, dtype=np.int64),
    }
    rising = np.lexsort((-service, flows))  # what is written last stays
    columns["service"][conversation[rising]] = service[rising]
    columns["service_flows"][conversation[rising]] = flows[rising]
    return columns


def _summarise_sides(codes: np.ndarray, order: np.ndarray, coded: Coded, count: int) -> dict[str, np.ndarray]:
    """Return what is known of the directions of each conversation-hour.

    Args:
        codes: the conversation-hour of each row, in order.
        order: places of the rows in that order.
        coded: the events.
        count: conversation-hours.
    """
    upload, download = coded.upload[order], coded.download[order]
    known = upload != UNKNOWN
    return {
        "sided": np.bincount(codes[known], minlength=count),
        "answered": np.bincount(codes[known & (download > 0)], minlength=count),
        "upload": np.bincount(codes[known], upload[known], count).astype(np.float64),
        "download": np.bincount(codes[known], download[known], count).astype(np.float64),
    }


def mark_minutes(coded: Coded, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the minutes of each group of rows as bits of a whole number.

    Args:
        coded: the events.
        order: places of the rows, group after group.
        starts: where each group begins.
    """
    return np.bitwise_or.reduceat(np.left_shift(1, coded.minute_of_hour[order]), starts)


def _summarise_sizes(coded: Coded) -> pd.DataFrame:
    same = _number_by_keys(coded.size_hours, coded.source, coded.protocol, coded.size_bin, coded.hour)
    order = np.argsort(same.codes, kind="stable")
    starts = np.cumsum(same.sizes) - same.sizes
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(coded.source[same.first], coded.sources),
            "protocol": pd.Categorical.from_codes(coded.protocol[same.first], coded.protocols),
            "size_bin": coded.size_bin[same.first],
            "hour": coded.hour[same.first],
            "flows": same.sizes,
            "active": mark_minutes(coded, order, starts),
        }
    )


def _number_by_keys(groups: Groups, *keys: np.ndarray) -> Groups:
    """Return the groups numbered in the order of the keys that make them."""
    order = np.lexsort([key[groups.first] for key in reversed(keys)])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return Groups(place[groups.codes], groups.first[order])


def _order_rows(talk: Groups, coded: Coded) -> np.ndarray:
    """Return the places of rows in order of conversation and time; then of bytes and duration.

    So moments come out the same to the last bit whatever order the rows stood in.
    """
    order = order_by_group(talk, coded.micros)
    codes, micros = talk.codes[order], coded.micros[order]
    if ((codes[1:] == codes[:-1]) & (micros[1:] == micros[:-1])).any():
        return np.lexsort((coded.duration, coded.bytes, coded.micros, talk.codes))
    return order


def merge_summaries(summaries: Iterable[Summary]) -> Summary:
    """Merge summaries of different hours; any order and any grouping give the same tables.

    Raises:
        ProjectError: nothing to merge, or two summaries share an hour.
    """
    parts = list(summaries)
    require_apart([part.hours for part in parts])
    return Summary(
        _stack_in_order([part.conversations for part in parts], CONVERSATION),
        _stack_in_order([part.sizes for part in parts], SIZE),
    )


def require_apart(hours: Sequence[np.ndarray]) -> None:
    """Refuse to merge summaries of given hours (of their rows) if there is none, or if two have an hour in common."""
    if not hours:
        raise ProjectError("no summary to merge: summarise at least one slice, if only of zero rows")
    each_once = np.concatenate([np.unique(of_part) for of_part in hours])
    if len(np.unique(each_once)) < len(each_once):
        raise ProjectError("two slices share an hour: summarise whole hours, each once")


def stack(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables whose text columns are categories, keeping them so, with sorted categories."""
    columns: dict[str, Any] = {}
    for name in tables[0].columns:
        values = [table[name] for table in tables]
        if isinstance(values[0].dtype, pd.CategoricalDtype):
            columns[name] = stack_categories(values)
        else:
            columns[name] = np.concatenate([value.to_numpy() for value in values])
    return pd.DataFrame(columns)


def _stack_in_order(tables: Sequence[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """Concatenate tables in the order of their keys, column by column: a day's tables are large."""
    stacked = stack([table[keys] for table in tables])
    order = order_by_keys(stacked, keys)
    columns = {key: stacked[key].array.take(order) for key in keys}
    for name in tables[0].columns.drop(keys):
        columns[name] = np.concatenate([table[name].to_numpy() for table in tables])[order]
    return pd.DataFrame({name: columns[name] for name in tables[0].columns}, copy=False)


def stack_categories(values: Sequence[pd.Series]) -> pd.Categorical:
    """Concatenate categorical columns over the sorted union of their categories."""
    names = values[0].cat.categories.append([value.cat.categories for value in values[1:]]).unique().sort_values()
    codes = [names.get_indexer(value.cat.categories)[value.cat.codes] for value in values]
    return pd.Categorical.from_codes(np.concatenate(codes), names)


def sort_by_keys(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the rows in order of their keys, with a fresh index."""
    return table.take(order_by_keys(table, keys)).reset_index(drop=True)


def order_by_keys(table: pd.DataFrame, keys: list[str]) -> np.ndarray:
    """Return the places of rows in order of their keys."""
    codes = [table[key].cat.codes if hasattr(table[key], "cat") else table[key] for key in keys]
    return np.lexsort([np.asarray(code) for code in reversed(codes)])
