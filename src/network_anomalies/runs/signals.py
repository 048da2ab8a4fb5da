"""Signals as exceptions, so that a run that is stopped can close its row."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

from network_anomalies.errors import Interrupted


def raise_on_signals() -> Callable[[], None]:
    """Raise ``Interrupted`` on SIGTERM and SIGINT, since Kedro's hooks see no other exceptions than ``Exception``.

    Python delivers signals to the main thread only, so in other threads this does nothing.

    Returns:
        A function that restores the handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(f"interrupted by {signal.Signals(number).name}: run again, nothing is stored twice")
