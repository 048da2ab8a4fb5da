"""The version of the running code."""

import os
import subprocess
from functools import cache
from pathlib import Path

from network_anomalies import __version__


@cache
def read_code_version() -> str:
    """Return the package version and, if known, the commit (``CODE_REVISION`` in an image, otherwise from Git)."""
    revision = os.environ.get("CODE_REVISION") or _describe_checkout()
    return f"{__version__}+{revision}" if revision else __version__


def _describe_checkout() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return git.stdout.strip()
