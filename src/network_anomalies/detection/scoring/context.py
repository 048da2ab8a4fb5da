"""Context columns: what else happens around a flow in its own hour and minute."""

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.columns import SECOND, Coded, Keyed, encode_events
from network_anomalies.detection.scoring.groups import Groups

CONTEXT_COLUMNS = {
    "size_bin": "floor(4 ln(1 + bytes))",
    "source_flows_hour": "flows of the source in this hour",
    "source_flows_minute": "flows of the source in this minute",
    "source_destinations_hour": "distinct destinations of the source in this hour",
    "source_destinations_minute": "distinct destinations of the source in this minute",
    "destination_flows_hour": "flows to the destination in this hour",
    "destination_flows_minute": "flows to the destination in this minute",
    "destination_sources_hour": "distinct sources of the destination in this hour",
    "destination_sources_minute": "distinct sources of the destination in this minute",
    "pair_flows_hour": "flows from this source to this destination in this hour",
    "pair_flows_minute": "flows from this source to this destination in this minute",
    "pair_minutes_hour": "minutes of this hour with such a flow",
    "conversation_flows_hour": "flows of the pair over this protocol in this hour",
    "source_protocol_flows_hour": "flows of the source over this protocol in this hour",
    "protocol_size_flows_hour": "flows over this protocol of this size bin in this hour",
    "source_protocol_size_flows_hour": "flows of the source over this protocol of this size bin in this hour",
    "same_size_destinations_hour": "distinct destinations of those flows",
    "same_size_destinations_minute": "distinct destinations of those flows in this minute",
    "pair_gap_spread_hour": "standard deviation of ln(1 + gap in ms) between the pair's flows in this hour; "
    "missing below five flows",
}
_LEAST_FLOWS_FOR_RHYTHM = 5


def add_context(events: pd.DataFrame) -> pd.DataFrame:
    """Return events with ``CONTEXT_COLUMNS``: int32 counts, and one float64 spread.

    Args:
        events: whole UTC hours of events; nothing outside a flow's own hour is looked at.
    """
    context = compute_context(encode_events(events))
    return events.assign(**context)


def compute_context(coded: Coded) -> dict[str, np.ndarray]:
    """Return the context columns of coded events, in row order."""
    pair = coded.pair_hours
    context = {
        "size_bin": coded.size_bin.astype(np.int32),
        **count_hours(coded),
        **count_minutes(coded),
        "pair_minutes_hour": _distinct(coded.pair_minutes, pair),
        "pair_gap_spread_hour": _gap_spread(coded.micros, pair),
    }
    return {name: context[name] for name in CONTEXT_COLUMNS}


def count_hours(rows: Keyed) -> dict[str, np.ndarray]:
    """Return what the rows' keys tell of their hours, in row order."""
    source, destination, pair, same_size = rows.source_hours, rows.destination_hours, rows.pair_hours, rows.size_hours
    return {
        "source_flows_hour": _sizes(source),
        "source_destinations_hour": _distinct(pair, source),
        "destination_flows_hour": _sizes(destination),
        "destination_sources_hour": _distinct(pair, destination),
        "pair_flows_hour": _sizes(pair),
        "conversation_flows_hour": _sizes(rows.conversation_hours),
        "source_protocol_flows_hour": _sizes(source.refine(rows.protocol)),
        "protocol_size_flows_hour": _sizes(rows.hours.refine(rows.shape)),
        "source_protocol_size_flows_hour": _sizes(same_size),
        "same_size_destinations_hour": _distinct(same_size.refine(rows.destination), same_size),
    }


def count_minutes(rows: Keyed) -> dict[str, np.ndarray]:
    """Return what the rows' keys tell of their minutes, in row order."""
    pair = rows.pair_minutes
    source, destination, same_size = (
        groups.refine(rows.minute_of_hour) for groups in (rows.source_hours, rows.destination_hours, rows.size_hours)
    )
    return {
        "source_flows_minute": _sizes(source),
        "source_destinations_minute": _distinct(pair, source),
        "destination_flows_minute": _sizes(destination),
        "destination_sources_minute": _distinct(pair, destination),
        "pair_flows_minute": _sizes(pair),
        "same_size_destinations_minute": _distinct(same_size.refine(rows.destination), same_size),
    }


def order_by_group(groups: Groups, micros: np.ndarray) -> np.ndarray:
    """Return the places of rows in order of their groups, and of time within each."""
    if (micros[1:] >= micros[:-1]).all():  # as silver and RAW are
        return np.argsort(groups.codes, kind="stable")
    return np.lexsort((micros, groups.codes))


def log_gaps(codes: np.ndarray, micros: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ln(1 + ms) between consecutive rows of a group, and the group of each gap.

    Args:
        codes: groups of rows, in order.
        micros: times, in order within each group.
    """
    same = codes[1:] == codes[:-1]
    return np.log1p(np.diff(micros)[same] * (1000 / SECOND)), codes[1:][same]


def group_moments(values: np.ndarray, codes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count, mean and sum of squared deviations from that mean per group."""
    counts = np.bincount(codes, minlength=size)
    means = np.bincount(codes, weights=values, minlength=size) / np.maximum(counts, 1)
    squares = np.bincount(codes, weights=(values - means[codes]) ** 2, minlength=size)
    return counts, means, squares.astype(np.float64)  # of no values numpy makes whole numbers


def measure_spread(flows: np.ndarray, gaps: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return the standard deviation of gaps, from their number and squared deviations; missing for too few flows."""
    return np.where(flows < _LEAST_FLOWS_FOR_RHYTHM, np.nan, np.sqrt(squares / np.maximum(gaps, 1)))


def _sizes(groups: Groups) -> np.ndarray:
    sizes: np.ndarray = groups.sizes.astype(np.int32)[groups.codes]
    return sizes


def _distinct(finer: Groups, groups: Groups) -> np.ndarray:
    distinct: np.ndarray = finer.count_within(groups).astype(np.int32)[groups.codes]
    return distinct


def _gap_spread(micros: np.ndarray, pair: Groups) -> np.ndarray:
    order = order_by_group(pair, micros)
    counts, _, squares = group_moments(*log_gaps(pair.codes[order], micros[order]), len(pair))
    spread: np.ndarray = measure_spread(pair.sizes, counts, squares)[pair.codes]
    return spread
