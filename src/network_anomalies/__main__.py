"""The installed command `network-anomalies`: the project's commands, without Kedro's other commands."""

import signal
import sys
from pathlib import Path
from types import FrameType

from kedro.framework.project import configure_project


def main() -> None:
    """Run a command of the project of the working directory."""
    # Process 1 of a container ignores signals without a handler. A run replaces this handler until it ends.
    signal.signal(signal.SIGTERM, _stop)
    configure_project(Path(__file__).parent.name)
    from network_anomalies.cli import cli

    cli()


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
