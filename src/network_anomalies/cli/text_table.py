"""Tables for a terminal, of any width."""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from network_anomalies.errors import show_hidden

GAP = "  "
LEAST = 20
"""A column is not cut below this width; a table that then does not fit is shown row by row."""
LARGE = 1e6


def format_table(names: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> Iterator[str]:
    """Yield the lines of a table that is at most ``width`` columns wide.

    Long cells are cut and end with "…", those of the widest columns first. Where that is not enough, each row is shown
    as a block of lines "name  value". Numbers stand on the right. Hidden characters are spelled out.
    """
    heads = [show_hidden(name) for name in names]
    cells = [[format_value(value) for value in row] for row in rows]
    natural = [max(measure(cell) for cell in column) for column in zip(heads, *cells, strict=True)]
    widths = _fit(natural, width - len(GAP) * (len(heads) - 1))
    if widths is None:
        yield from _list_rows(heads, cells, width)
        return
    numeric = [
        all(value is None or isinstance(value, int | float) for value in column)
        for column in (zip(*rows, strict=True) if rows else [()] * len(heads))
    ]
    for line in (heads, ["-" * size for size in widths], *cells):
        padded = [_pad(*cell) for cell in zip(line, widths, numeric, strict=True)]
        yield GAP.join(padded).rstrip()


def format_value(value: object) -> str:
    """Return a value as safe text; times are in UTC.

    >>> format_value(datetime(2024, 4, 19, 1, 2, 3, tzinfo=UTC)), format_value(0.1 + 0.2), format_value(None)
    ('2024-04-19 01:02:03', '0.3', 'NULL')
    """
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat(sep=" ")
    if isinstance(value, float):
        return f"{value:.0f}" if LARGE <= abs(value) < float("inf") else f"{value:.6g}"
    return show_hidden(str(value))


def _fit(natural: Sequence[int], room: int) -> list[int] | None:
    """Return the widths of columns that fit into ``room``, None if even the least widths do not."""
    least = [min(size, LEAST) for size in natural]
    if sum(least) > room:
        return None
    widths = list(natural)
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    return widths


def _list_rows(heads: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    longest = max(measure(head) for head in heads)
    for row in cells:
        for head, cell in zip(heads, row, strict=True):
            yield f"{_pad(head, longest, False)}{GAP}{_cut(cell, max(width - longest - len(GAP), LEAST))}"
        yield "-" * width


def _pad(cell: str, width: int, to_the_right: bool) -> str:
    cut = _cut(cell, width)
    room = " " * (width - measure(cut))
    return room + cut if to_the_right else cut + room


def _cut(cell: str, width: int) -> str:
    if measure(cell) <= width:
        return cell
    while measure(cell) > width - 1:
        cell = cell[:-1]
    return f"{cell}…"


def measure(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide letters take two, combining marks none.

    >>> measure("ab"), measure(chr(0x6771))
    (2, 2)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
