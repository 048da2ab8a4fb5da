"""Text from events, made safe to print: a terminal obeys some characters instead of showing them."""

import unicodedata

UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that a terminal obeys, hides or cannot print, such as control characters."""
LAST_BYTE, LAST_SHORT = 0xFF, 0xFFFF


def make_safe(text: str) -> str:
    r"""Return a text on one line in which every character that a terminal would not show is a visible escape.

    >>> print(make_safe("10.0.0.1\x1b[2J\n\u202egnp.exe"))
    10.0.0.1\x1b[2J\x0a\u202egnp.exe
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(letter) if unicodedata.category(letter) in UNSAFE else letter for letter in text)


def measure(text: str) -> int:
    """Return how many columns of a terminal a safe text takes: wide letters take two, combining marks none.

    >>> measure("ab"), measure("\u6771")
    (2, 2)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _escape(letter: str) -> str:
    code = ord(letter)
    if code <= LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= LAST_SHORT else f"\\U{code:08x}"
