"""How the process of a command keeps memory that is freed."""

import ctypes
import os
import sys

_M_ARENA_MAX = -8
"""The option of glibc's mallopt (mallopt(3)): how many arenas there are at most, which threads share."""


def return_memory() -> None:
    """Let memory that is freed go back to the system: a stage works on piece after piece, and what is kept adds up.

    Arrow's own allocator keeps what it freed, and so does glibc, once for each thread. With one arena, and glibc for
    Arrow too, scoring a day of 16 million events peaked at 1.28 GB instead of 1.85 GB, in equal time.

    Both read the option once: call this before NumPy, which starts threads, and Arrow are imported.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries than glibc have none
        if set_option:
            set_option(_M_ARENA_MAX, 1)
