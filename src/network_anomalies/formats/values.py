"""Converts the values of logs to those of events: numbers, text, protocols and UTC times.

All functions take and give Arrow arrays. What cannot be read becomes null.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from network_anomalies.events.protocols import PROTOCOL_NUMBERS

INSTANT = pa.timestamp("us", "UTC")
_MICROS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_LATEST = 10**17  # microseconds: no log is that old or young, and float64 is off by less than ten of them
_YEARS = (1700, 2250)  # what nanoseconds reach, and so every way of reading a date
# What Arrow's cast reads, which the quick way below relies on; tests hold the two together.
_NUMBER = r"^[-+]?((\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|(?i:inf|infinity))$"
_PLAIN_NUMBER = r"^-?(\d+\.?\d*|\.\d+)$"
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?"
_OFFSET = r"(Z|[+-]\d\d(:?\d\d)?)"
_ALIASES = {"ICMP6": "IPV6-ICMP", "ICMPV6": "IPV6-ICMP", "RTP": "UDP", "RTCP": "UDP", "UDT": "UDP"}


def to_numbers(column: pa.Array) -> pa.Array:
    """Return float64; text that is no number, and NaN, is null."""
    try:
        numbers = column.cast(pa.float64(), safe=pa.types.is_string(column.type))
    except pa.ArrowInvalid:
        numbers = _keep_matching(column, _NUMBER).cast(pa.float64())
    nan = pc.is_nan(numbers)
    return pc.if_else(nan, pa.scalar(None, pa.float64()), numbers) if pc.any(nan).as_py() else numbers


def to_ports(column: pa.Array) -> pa.Array:
    """Return ports. Hexadecimal ones are read; values that are not whole (ICMP type and code, 3.13) are null."""
    try:
        numbers = column.cast(pa.float64(), safe=pa.types.is_string(column.type))
    except pa.ArrowInvalid:
        return _map_distinct(column, _read_port, pa.float64())
    whole = pc.equal(pc.subtract(numbers, pc.floor(numbers)), 0.0)  # infinity is not
    return numbers if pc.all(whole).as_py() else pc.if_else(whole, numbers, pa.scalar(None, pa.float64()))


def to_protocols(column: pa.Array) -> pa.Array:
    """Return upper-case IANA keywords, from keywords, numbers, or the names that some sensors use."""
    return _map_distinct(column, _name_protocol, pa.string())


def add_sides(originator: pa.Array, responder: pa.Array) -> pa.Array:
    """Return the sum of both sides; one side that is missing counts as 0, both as missing."""
    if not originator.null_count and not responder.null_count:
        return pc.add(originator, responder)
    total = pc.add(pc.fill_null(originator, 0.0), pc.fill_null(responder, 0.0))
    missing = pc.and_(pc.is_null(originator), pc.is_null(responder))
    return pc.if_else(missing, pa.scalar(None, pa.float64()), total)


def subtract_times(end: pa.Array, start: pa.Array) -> pa.Array:
    """Return the seconds from one instant to another."""
    micros = pc.subtract(end.cast(pa.int64()), start.cast(pa.int64()))
    return pc.divide(micros.cast(pa.float64()), 1e6)


def read_epoch(column: pa.Array, unit: str = "s") -> pa.Array:
    """Return UTC instants from numbers since 1970, as text or numbers; text with an exponent is no time."""
    if pa.types.is_string(column.type):
        column = _keep_plain_numbers(column)
        if unit in ("us", "ns"):  # such numbers have more digits than float64 does
            try:
                whole = column.cast(pa.int64())
                return _to_instants(whole.fill_null(0).to_numpy() // (1000 if unit == "ns" else 1), whole.is_valid())
            except pa.ArrowInvalid:
                pass
    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) * _MICROS[unit]
    micros = np.rint(numbers)
    with np.errstate(invalid="ignore"):
        valid = np.abs(micros) < _LATEST
    return _to_instants(np.where(valid, micros, 0).astype(np.int64), pa.array(valid))


def read_iso(column: pa.Array, timezone: str) -> pa.Array:
    """Return UTC instants from ISO 8601 text; local times without an offset are those of ``timezone``."""
    try:
        return _within_years(column.cast(INSTANT))  # refuses a time without an offset
    except pa.ArrowInvalid:
        pass
    try:
        return localise(_within_years(column.cast(pa.timestamp("us"))), timezone)  # refuses a time with one
    except pa.ArrowInvalid:
        pass
    exact = _read_by_pandas(_keep_matching(column, _ISO + _OFFSET + "$"), "ISO8601", has_offset=True)
    local = _read_by_pandas(_keep_matching(column, _ISO + "$"), "ISO8601", has_offset=False)
    return pc.coalesce(exact.cast(INSTANT), localise(local, timezone))


def read_pattern(column: pa.Array, pattern: str, timezone: str) -> pa.Array:
    """Return UTC instants from text by a pattern of ``strftime``; local times are those of ``timezone``."""
    has_offset = "%z" in pattern
    times = _read_by_pandas(column, pattern, has_offset)
    return times.cast(INSTANT) if has_offset else localise(times, timezone)


def read_times(column: pa.Array, timezone: str) -> pa.Array:
    """Return UTC instants from seconds since 1970 or ISO 8601, each value as it is, or from times of Arrow."""
    if pa.types.is_timestamp(column.type):
        times = _within_years(column.cast(pa.timestamp("us", column.type.tz), safe=False))
        return times.cast(INSTANT) if times.type.tz else localise(times, timezone)
    if not pa.types.is_string(column.type):
        return read_epoch(column)
    epoch = read_epoch(column)
    if epoch.null_count == column.null_count:
        return epoch
    rest = pc.if_else(epoch.is_valid(), pa.scalar(None, pa.string()), column)
    return pc.coalesce(epoch, read_iso(rest, timezone))


def localise(local: pa.Array, timezone: str) -> pa.Array:
    """Return UTC instants of local times.

    When clocks are put back, an hour occurs twice; the first is taken. When clocks are put forward, an hour is left
    out; times in it are null.
    """
    if timezone == "UTC":
        return local.cast(INSTANT)
    times = pd.DatetimeIndex(local.to_numpy(zero_copy_only=False))
    first = np.ones(len(times), dtype=bool)
    exact = times.tz_localize(timezone, ambiguous=first, nonexistent="NaT").tz_convert(None)
    return pa.array(exact.to_numpy(), pa.timestamp("us")).cast(INSTANT)


def _read_by_pandas(column: pa.Array, pattern: str, has_offset: bool) -> pa.Array:
    """Return times without a zone: in UTC if they have an offset, else as they are written."""
    times = pd.DatetimeIndex(
        pd.to_datetime(column.to_pandas(types_mapper=None), format=pattern, errors="coerce", utc=has_offset)
    )
    times = times.tz_convert(None) if has_offset else times
    return _within_years(pa.array(times.as_unit("us").to_numpy(), pa.timestamp("us")))


def _to_instants(micros: np.ndarray, valid: pa.Array) -> pa.Array:
    instants = pa.array(micros).cast(pa.timestamp("us")).cast(INSTANT)
    return instants if pc.all(valid).as_py() else pc.if_else(valid, instants, pa.scalar(None, INSTANT))


def _within_years(times: pa.Array) -> pa.Array:
    years = pc.year(times.cast(pa.timestamp("us")))
    valid = pc.and_(pc.greater_equal(years, _YEARS[0]), pc.less(years, _YEARS[1]))
    return times if pc.all(valid).as_py() else pc.if_else(valid, times, pa.scalar(None, times.type))


def _keep_plain_numbers(column: pa.Array) -> pa.Array:
    """Return text, null where it is not a number in digits. Most columns hold digits only, which is quick to see."""
    offset, values = column.offset, column.buffers()
    edges = np.frombuffer(values[1], np.int32)[offset : offset + len(column) + 1] if len(column) else np.zeros(1, int)
    data = memoryview(values[2])[edges[0] : edges[-1]].tobytes() if values[2] else b""
    if not data.translate(None, b"0123456789.-"):
        try:
            column.cast(pa.float64())
            return column
        except pa.ArrowInvalid:
            pass
    return _keep_matching(column, _PLAIN_NUMBER)


def _keep_matching(column: pa.Array, pattern: str) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(column, pattern), column, pa.scalar(None, pa.string()))


def _map_distinct(column: pa.Array, function: Callable[[str], object], kind: pa.DataType) -> pa.Array:
    coded = column.cast(pa.string()).dictionary_encode()
    return pa.array([function(value) for value in coded.dictionary.to_pylist()], kind).take(coded.indices)


def _name_protocol(text: str) -> str:
    name = text.strip().upper()
    if name.isascii() and name.isdecimal():
        return PROTOCOL_NUMBERS.get(int(name[:9]), name)
    return _ALIASES.get(name, name)


def _read_port(text: str) -> float | None:
    try:
        number = float(int(text, 16)) if text[:2].lower() == "0x" else float(text)
    except (ValueError, OverflowError):
        return None
    return number if number.is_integer() else None
