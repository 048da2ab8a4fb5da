"""Signals as exceptions: a run that is told to stop has time to say so."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

from network_anomalies.errors import Interrupted


def raise_on_signals() -> Callable[[], None]:
    """Turn SIGTERM and SIGINT into an ``Exception``, the only kind that Kedro's hooks see; return the undoing.

    Python delivers signals to the main thread only, and so only there is there anything to set.
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
