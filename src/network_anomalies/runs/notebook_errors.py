"""Errors in a notebook: what a person can correct is one line there too."""

import sys
from typing import Any

from network_anomalies.errors import ProjectError


def shorten_errors() -> None:
    """Let IPython, if this process runs in it, show a ``ProjectError`` as one line instead of a traceback.

    The cell still fails, so "run all cells" stops there.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        shell.set_custom_exc((ProjectError,), show_error)


def show_error(
    _shell: Any, _kind: type, error: ProjectError, _traceback: Any, tb_offset: int | None = None
) -> list[str]:
    """Print the one line, and return it as IPython's handlers do."""
    del tb_offset
    line = f"Error: {error.format_message()}"
    print(line, file=sys.stderr)  # noqa: T201 (IPython shows nothing itself)
    return [line]
