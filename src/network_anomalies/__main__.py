"""The installed command `network-anomalies`: the project's commands, without the rest of Kedro's."""

import signal
import sys
from pathlib import Path
from types import FrameType

from kedro.framework.project import configure_project


def main() -> None:
    """Run a command of the project that the working directory belongs to."""
    # As process 1 of a container a signal without a handler is ignored; a run sets its own while it works.
    signal.signal(signal.SIGTERM, _stop)
    configure_project(Path(__file__).parent.name)
    from network_anomalies.cli import cli

    cli()


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
