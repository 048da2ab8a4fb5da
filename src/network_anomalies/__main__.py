"""The installed command `network-anomalies`: the project's commands, without the rest of Kedro's."""

from pathlib import Path

from kedro.framework.project import configure_project


def main() -> None:
    """Run a command of the project that the working directory belongs to."""
    configure_project(Path(__file__).parent.name)
    from network_anomalies.cli import cli

    cli()


if __name__ == "__main__":
    main()
