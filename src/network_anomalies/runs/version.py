"""Which code is running."""

import os
import subprocess
from functools import cache
from pathlib import Path

from network_anomalies import __version__


@cache
def read_code_version() -> str:
    """Return the package's version and, where it can be known, the commit (``CODE_REVISION`` in an image, else Git)."""
    revision = os.environ.get("CODE_REVISION") or _describe_checkout()
    return f"{__version__}+{revision}" if revision else __version__


def _describe_checkout() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
