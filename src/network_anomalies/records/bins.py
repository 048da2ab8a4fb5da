"""Labels of the bins of ``DayProfile``."""

from network_anomalies.records.day_profile import DURATION_BINS, HOURS, SCORE_BINS, SCORE_STEP, SIZE_BINS

BYTE_UNITS = ("B", "KB", "MB", "GB", "TB")
BIN_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
TIME_UNITS = ((3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))


def say_bytes(count: float) -> str:
    """Return a number of bytes with a unit of 1000s, as the sentences of alerts do.

    >>> [say_bytes(count) for count in (40, 2000, 47_700_000)]
    ['40 B', '2 KB', '47.7 MB']
    """
    return _scale(count, 1000, BYTE_UNITS)


def _scale(count: float, base: int, units: tuple[str, ...]) -> str:
    place = 0
    while count >= base and place < len(units) - 1:
        count, place = count / base, place + 1
    return f"{count:.3g} {units[place]}"


def say_milliseconds(count: float) -> str:
    """Return a duration with the largest unit that it reaches.

    >>> [say_milliseconds(count) for count in (4, 65_536)]
    ['4 ms', '1.09 min']
    """
    size, unit = next((unit for unit in TIME_UNITS if count >= unit[0]), TIME_UNITS[-1])
    return f"{count / size:.3g} {unit}"


HOUR_LABELS = tuple(f"{hour:02} h" for hour in range(HOURS))
SIZE_LABELS = (
    "0 B",
    *(
        f"{_scale(2 ** (place - 1), 1024, BIN_UNITS)} to {_scale(2**place, 1024, BIN_UNITS)}"
        for place in range(1, SIZE_BINS - 1)
    ),
    f"{_scale(2 ** (SIZE_BINS - 2), 1024, BIN_UNITS)} or more",
)
DURATION_LABELS = (
    "under 1 ms",
    *(f"{say_milliseconds(2 ** (place - 1))} to {say_milliseconds(2**place)}" for place in range(1, DURATION_BINS - 1)),
    f"{say_milliseconds(2 ** (DURATION_BINS - 2))} or more",
)
SCORE_LABELS = (
    *(f"{place * SCORE_STEP:g} to {(place + 1) * SCORE_STEP:g}" for place in range(SCORE_BINS - 1)),
    f"{(SCORE_BINS - 1) * SCORE_STEP:g} or more",
)
