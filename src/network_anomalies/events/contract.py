"""What an event is: the versioned rules that every stored event meets."""

from collections.abc import Callable
from datetime import date, timedelta
from ipaddress import ip_address

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from network_anomalies.errors import ContractError
from network_anomalies.events.protocols import PROTOCOLS

CONTRACT_VERSION = "2.0.0"
COLUMNS = ("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol")
OPTIONAL_COLUMNS = ("src_port", "dst_port", "packets", "src_bytes", "dst_bytes", "flow_id")
TEXT_COLUMNS = ("src_ip", "dst_ip", "protocol")
TIMESTAMP = "datetime64[us, UTC]"
LARGEST_COUNT = 2**53 - 1  # above it float64, a usual road into pandas, rounds whole numbers
LARGEST_PORT = 65_535
LONGEST_ID = 255

_IPV4 = r"^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$"
_WANTED = {
    "timestamp": "a UTC instant within the logical date",
    "src_ip": "an IPv4 or IPv6 address",
    "dst_ip": "an IPv4 or IPv6 address",
    "bytes": "a whole number below 2^53",
    "duration": "finite seconds, 0 or more",
    "protocol": "an upper-case IANA keyword",
    "src_port": "a port from 0 to 65535, or nothing",
    "dst_port": "a port from 0 to 65535, or nothing",
    **dict.fromkeys(("packets", "src_bytes", "dst_bytes"), "a whole number below 2^53, or nothing"),
    "flow_id": f"1 to {LONGEST_ID} characters, or nothing",
}


def coerce_events(events: pd.DataFrame) -> pd.DataFrame:
    """Return the contract's columns with their types; what cannot be read becomes null, and so is rejected.

    Args:
        events: any frame; needs ``COLUMNS``, may have ``OPTIONAL_COLUMNS``, anything else is left out.

    Returns:
        Frame with a fresh row index: ``timestamp`` datetime64[us, UTC] (naive times are UTC), addresses and
        protocol categories, ``flow_id`` text, numbers as they came if numeric, else float64.

    Raises:
        ContractError: not a frame, a column missing, or a column name twice.
    """
    if not isinstance(events, pd.DataFrame):
        raise ContractError(f"events came as {type(events).__name__}: give a pandas DataFrame")
    if missing := [column for column in COLUMNS if column not in events.columns]:
        raise ContractError(f"the events have no column {', '.join(missing)}: an event needs {', '.join(COLUMNS)}")
    columns = [column for column in (*COLUMNS, *OPTIONAL_COLUMNS) if column in events.columns]
    if twice := [column for column in columns if isinstance(events[column], pd.DataFrame)]:
        raise ContractError(f"the events have column {', '.join(twice)} twice: keep one")
    return pd.DataFrame({column: _coerce(events[column].reset_index(drop=True)) for column in columns})


def list_rules() -> list[str]:
    """Return the ids of the rules that an event can break."""
    judged = [name for name, _ in _list_checks(date.min).values()]
    return sorted([*judged, *(f"{column}_missing" for column in COLUMNS)])


def find_violations(events: pd.DataFrame, logical_date: date) -> pd.DataFrame:
    """Return the rules that coerced events break: one row per broken event, by its first column at fault.

    Returns:
        Frame indexed by the row of ``events``: ``rule`` (id), ``reason`` (one sentence).
    """
    checks = _list_checks(logical_date)
    faults = [_find_faults(events[column], *checks[column]) for column in events.columns]
    rows = pd.concat(faults)
    return rows[~rows.index.duplicated()].sort_index().rename_axis("row")


def _list_checks(logical_date: date) -> dict[str, tuple[str, Callable[[pd.Series], pd.Series]]]:
    """Return the rule of each column: its id, and a function that says which values meet it."""
    start = pd.Timestamp(logical_date, tz="UTC")
    return {
        "timestamp": ("timestamp_outside_day", lambda times: (times >= start) & (times - start < timedelta(days=1))),
        "src_ip": ("src_ip_invalid", _are_addresses),
        "dst_ip": ("dst_ip_invalid", _are_addresses),
        "bytes": ("bytes_invalid", _are_counts),
        "duration": ("duration_invalid", lambda seconds: (seconds >= 0) & np.isfinite(seconds)),
        "protocol": ("protocol_unknown", _are_protocols),
        "src_port": ("src_port_invalid", _are_ports),
        "dst_port": ("dst_port_invalid", _are_ports),
        "packets": ("packets_invalid", _are_counts),
        "src_bytes": ("src_bytes_invalid", _are_counts),
        "dst_bytes": ("dst_bytes_invalid", _are_counts),
        "flow_id": ("flow_id_invalid", _are_ids),
    }


def _find_faults(values: pd.Series, rule: str, meet: Callable[[pd.Series], pd.Series]) -> pd.DataFrame:
    """Return rule and reason of the values of a column that are missing and may not be, or do not meet its rule."""
    unmet = values[~meet(values).to_numpy()]  # no null meets a rule
    found = unmet.dropna() if values.name in OPTIONAL_COLUMNS else unmet
    text = found.astype("object").astype("str").where(found.notna(), "missing or unreadable")
    rules = np.where(found.notna(), rule, f"{values.name}_missing")
    return pd.DataFrame(
        {
            "rule": pd.Series(rules, found.index, dtype="str"),
            "reason": f"{values.name} is " + text + f": must be {_WANTED[str(values.name)]}",
        }
    )


def to_text(values: pd.Series) -> pd.Series:
    """Return values as text, null where they are null; what is no Unicode is escaped."""
    try:
        return values.astype("string")
    except (UnicodeError, pyarrow.ArrowException):
        return values.map(_escape, na_action="ignore").astype("string")


def _escape(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _coerce(values: pd.Series) -> pd.Series:
    if values.name == "timestamp":
        return _coerce_timestamps(values)
    if values.name in TEXT_COLUMNS:
        if isinstance(values.dtype, pd.CategoricalDtype) and isinstance(values.cat.categories.dtype, pd.StringDtype):
            return values
        return to_text(values).astype("str").astype("category")
    if values.name == "flow_id":
        return values if values.dtype == "str" else to_text(values).astype("str")
    return _coerce_numbers(values)


def _coerce_timestamps(values: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        times = values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
        if times.dt.unit in ("s", "ms"):  # these reach further than microseconds do
            times = times.where(times.dt.year.between(1, 9999))
        return times.astype(TIMESTAMP)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return pd.Series(pd.NaT, index=values.index, name=values.name, dtype=TIMESTAMP)
    return pd.to_datetime(to_text(values).astype("object"), errors="coerce", utc=True, format="ISO8601").astype(
        TIMESTAMP
    )


def _coerce_numbers(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        return values.astype("int64" if np.can_cast(values.dtype, "int64") else "float64")
    if not (pd.api.types.is_integer_dtype(values.dtype) or pd.api.types.is_float_dtype(values.dtype)):
        values = pd.to_numeric(to_text(values).astype("object"), errors="coerce")
    return values.astype("float64")


def _are_addresses(values: pd.Series) -> pd.Series:
    """Judge each distinct address once: IPv4 by pattern, the few others by Python's own parser."""
    distinct = values.cat.categories
    valid = np.asarray(pc.match_substring_regex(pyarrow.array(distinct, pyarrow.string()), _IPV4), dtype=bool)
    for position in np.flatnonzero(~valid):
        valid[position] = _is_address(distinct[position])
    return _by_category(values, valid)


def _is_address(text: str) -> bool:
    """Judge as Python does, but for zones (``fe80::1%eth0``): they mean something on one host only."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _are_protocols(values: pd.Series) -> pd.Series:
    return _by_category(values, values.cat.categories.isin(PROTOCOLS))


def _by_category(values: pd.Series, valid: np.ndarray) -> pd.Series:
    # A null has code -1 and takes the last place; the schema has counted it as missing already.
    return pd.Series(np.append(valid, False)[values.cat.codes], index=values.index)


def _are_counts(values: pd.Series) -> pd.Series:
    within = (values >= 0) & (values <= LARGEST_COUNT)
    return within if values.dtype.kind in "iu" else within & (np.floor(values) == values)


def _are_ports(values: pd.Series) -> pd.Series:
    return _are_counts(values) & (values <= LARGEST_PORT)


def _are_ids(values: pd.Series) -> pd.Series:
    return values.str.len().between(1, LONGEST_ID)
