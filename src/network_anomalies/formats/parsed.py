"""Rows of a block told apart: events, lines that hold no flow, lines that cannot be read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from network_anomalies.formats.base import EVENT_COLUMNS, NO_EVENTS, UNPARSABLE, ParsedLines, Rows, dump_header
from network_anomalies.formats.lines import count_lines, quote_lines

NO_TIME = "its time cannot be read"


def to_parsed_lines(
    rows: Rows,
    events: Mapping[str, pa.Array],
    header: Any,
    no_flows: Mapping[str, np.ndarray] | None = None,
    unreadable: Mapping[str, np.ndarray] | None = None,
) -> ParsedLines:
    """Tell rows apart.

    Args:
        rows: the rows of a block.
        events: the event columns that were made of them, as long as the rows.
        header: what the next block is parsed with.
        no_flows: by reason which rows are no flow; the first reason counts.
        unreadable: by reason which of the other rows cannot be read, beside those without a time.
    """
    not_a_flow, kept = Counter(rows.not_a_flow), np.ones(len(rows.numbers), dtype=bool)
    for reason, mask in (no_flows or {}).items():
        not_a_flow[reason] += int(np.count_nonzero(mask & kept))
        kept &= ~mask
    faults = dict(rows.faults)
    timeless = events["timestamp"].is_null().to_numpy(zero_copy_only=False)
    for reason, mask in {**(unreadable or {}), NO_TIME: timeless}.items():
        faults[reason] = rows.numbers[mask & kept]
        kept &= ~mask
    table = pa.table({name: events[name] for name in EVENT_COLUMNS if name in events})
    table = table if kept.all() else table.filter(pa.array(kept))
    return ParsedLines(table, +not_a_flow, to_unparsable(rows.block, faults, header), header)


def to_unparsable(block: bytes, faults: Mapping[str, np.ndarray], header: Any) -> pa.Table:
    """Return lines of a block (from 0, by reason) as ``UNPARSABLE``, in their order."""
    if not any(map(len, faults.values())):
        return UNPARSABLE.empty_table()
    numbers = np.concatenate([np.empty(0, dtype=np.int64), *faults.values()])
    reasons = np.repeat(np.arange(len(faults)), [len(lines) for lines in faults.values()])
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order].astype(np.int64)
    texts = quote_lines(block, numbers)
    named = pa.array(list(faults), pa.string()).take(reasons[order])
    return pa.table([numbers + 1, texts, named, pa.repeat(dump_header(header), len(texts))], schema=UNPARSABLE)


def refuse_lines(block: bytes, reason: str, header: Any) -> ParsedLines:
    """Return a block none of whose lines can be read."""
    lines = np.arange(count_lines(block))
    return ParsedLines(NO_EVENTS, Counter(), to_unparsable(block, {reason: lines}, header), header)


def count_no_flows(block: bytes, reason: str, header: Any) -> ParsedLines:
    """Return a block none of whose lines holds a flow."""
    return ParsedLines(NO_EVENTS, Counter({reason: count_lines(block)}), UNPARSABLE.empty_table(), header)


def merge_parsed(parts: Sequence[ParsedLines]) -> ParsedLines:
    """Return the parts of one block as one; the header is that of the last."""
    if len(parts) == 1:
        return parts[0]
    return ParsedLines(
        pa.concat_tables([part.events for part in parts], promote_options="default"),
        sum((part.not_a_flow for part in parts), Counter()),
        pa.concat_tables([part.unparsable for part in parts]).sort_by("line"),
        parts[-1].header,
    )


def shift_lines(parsed: ParsedLines, lines: int) -> ParsedLines:
    """Return lines that are numbered from ``lines`` later on."""
    if not lines or not parsed.unparsable.num_rows:
        return parsed
    numbers = pa.array(parsed.unparsable["line"].to_numpy() + lines)
    return replace(parsed, unparsable=parsed.unparsable.set_column(0, UNPARSABLE.field(0), numbers))
