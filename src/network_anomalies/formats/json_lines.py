"""Objects of JSON lines, read by Arrow block by block, and by Python where Arrow cannot.

Arrow refuses a whole block for one bad line, or for one value of another kind. Such a block is halved until the bad
lines are few, and those few are read one by one.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from network_anomalies.formats.base import Rows
from network_anomalies.formats.lines import are_blank, find_lines, keep_lines, to_lines, to_utf8

NO_OBJECT = "not one JSON object"
_FEW = 512
_MOST_DIGITS = 400  # more than float64 holds; Python refuses to read whole numbers of thousands
_FIRST_LINES = 20
JsonObject = dict[str, Any]
Fields = Mapping[str, tuple[str, pa.DataType]]
"""Name of a column to the path of its value (``flow/start``: the value ``start`` in the object ``flow``) and type."""


def read_objects(block: bytes, fields: Fields) -> Iterator[Rows]:
    """Yield the rows of a block, in parts.

    Args:
        block: whole lines, each an object.
        fields: the columns to read.

    Yields:
        Columns of those types, or text where the first lines have text, or all of them text; null where a value is
        absent, or neither number nor text.
    """
    text = to_utf8(block)
    whole, blank = _find_objects(text)
    numbers = np.flatnonzero(whole)
    counts = +Counter(blank=int(np.count_nonzero(blank)))
    yield Rows(block, _to_texts([], fields), numbers[:0], counts, {NO_OBJECT: np.flatnonzero(~whole & ~blank)})
    parts = [(keep_lines(text, whole), numbers)] if len(numbers) else []
    kinds = (fields, _find_kinds(text, fields))
    while parts:
        part, numbers = parts.pop()
        columns = _read_by_arrow(part, len(numbers), kinds)
        if columns is not None:
            yield Rows(block, columns, numbers)
        elif len(numbers) <= _FEW:
            yield _read_by_python(part, numbers, fields, block)
        else:
            middle = len(numbers) // 2
            cut = int(find_lines(part)[middle])
            parts += [(part[cut:], numbers[middle:]), (part[:cut], numbers[:middle])]


def find_first_object(block: bytes, keys: Sequence[str]) -> bool:
    """Tell whether one of a block's first lines is an object that has all the keys."""
    for line in _first_lines(block):
        found = _load(line)
        if found is not None and all(key in found for key in keys):
            return True
    return False


def is_whole_object(line: bytes, header: object) -> bool:
    """Tell whether a line without an end is a whole object."""
    return _load(line) is not None


def _find_objects(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Tell which lines begin and end as an object does, so that none can run into the next; and which are blank."""
    lines = to_lines(text)
    whole = pc.and_(pc.starts_with(lines, "{"), pc.or_(pc.ends_with(lines, "}\n"), pc.ends_with(lines, "}")))
    if pc.all(whole).as_py():
        return np.ones(len(lines), dtype=bool), np.zeros(len(lines), dtype=bool)
    trimmed = pc.utf8_trim_whitespace(lines)
    whole = pc.and_(pc.starts_with(trimmed, "{"), pc.ends_with(trimmed, "}"))
    return np.asarray(whole, dtype=bool), are_blank(text)


def _read_by_arrow(text: bytes, lines: int, choices: Sequence[Fields]) -> dict[str, pa.Array] | None:
    """Return the columns if each line is one object and its values are of the types of one choice."""
    for fields in choices:
        try:
            table = arrow_json.read_json(
                pa.BufferReader(text),
                read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=_to_schema(fields), unexpected_field_behavior="ignore"
                ),
            )
        except pa.ArrowInvalid:
            continue
        if table.num_rows == lines:
            return {name: _pick(table, path) for name, (path, _) in fields.items()}
    return None


def _to_schema(fields: Fields) -> pa.Schema:
    tree: JsonObject = {}
    for path, kind in fields.values():
        parent, _, name = path.rpartition("/")
        (tree.setdefault(parent, {}) if parent else tree)[name] = kind
    nested = {name: pa.struct(list(kind.items())) if isinstance(kind, dict) else kind for name, kind in tree.items()}
    return pa.schema(list(nested.items()))


def _pick(table: pa.Table, path: str) -> pa.Array:
    parent, _, name = path.rpartition("/")
    return pc.struct_field(table[parent].combine_chunks(), name) if parent else table[name].combine_chunks()


def _find_kinds(text: bytes, fields: Fields) -> Fields:
    """Return the fields, as text if the first lines have them as text: some shippers write numbers so."""
    objects = [found for line in _first_lines(text) if (found := _load(line)) is not None]
    kinds = {}
    for name, (path, kind) in fields.items():
        value = next((value for found in objects if (value := _find_value(found, path)) is not None), None)
        kinds[name] = (path, pa.string() if isinstance(value, str) else kind)
    return kinds


def _first_lines(block: bytes) -> list[bytes]:
    return block.split(b"\n", _FIRST_LINES)[:_FIRST_LINES]


def _read_by_python(text: bytes, numbers: np.ndarray, fields: Fields, block: bytes) -> Rows:
    objects = [_load(line) for line in text.removesuffix(b"\n").split(b"\n")]
    whole = np.array([found is not None for found in objects])
    columns = _to_texts([found for found in objects if found is not None], fields)
    return Rows(block, columns, numbers[whole], faults={NO_OBJECT: numbers[~whole]})


def _load(line: bytes) -> JsonObject | None:
    try:
        found = json.loads(line.decode("utf-8", "replace"), parse_int=_read_whole_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _read_whole_number(text: str) -> int | float:
    return int(text) if len(text) < _MOST_DIGITS else float(text)


def _to_texts(objects: Sequence[JsonObject], fields: Fields) -> dict[str, pa.Array]:
    return {
        name: pa.array([_find_text(found, path) for found in objects], pa.string())
        for name, (path, _) in fields.items()
    }


def _find_text(found: JsonObject, path: str) -> str | None:
    value = _find_value(found, path)
    if value is None or isinstance(value, str):
        return value and value.encode("utf-8", "replace").decode()
    text = repr(value)
    return np.format_float_positional(value, trim="0") if "e" in text else text  # times have no exponent


def _find_value(found: JsonObject, path: str) -> str | int | float | None:
    parent, _, name = path.rpartition("/")
    inner = found.get(parent) if parent else found
    value = inner.get(name) if isinstance(inner, dict) else None
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None
