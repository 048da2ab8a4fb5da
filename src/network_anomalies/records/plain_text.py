"""Texts of other people, such as log paths and flow ids, made safe to read."""

import unicodedata

HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories of characters that are not seen and change how others are: controls, marks of direction."""


def show_hidden(text: str, most: int = 300) -> str:
    """Return a text in which each hidden character is spelled out, at most ``most`` characters of the text.

    A terminal obeys control characters, and a mark of direction shows letters in another order than they are in.

    >>> print(show_hidden("10.0.0.1" + chr(0x202E) + "gpj"))
    10.0.0.1<U+202E>gpj
    """
    shown = "".join(_spell(letter) if unicodedata.category(letter) in HIDDEN else letter for letter in text[:most])
    return shown + ("..." if len(text) > most else "")


def _spell(letter: str) -> str:
    return f"<U+{ord(letter):04X}>"
