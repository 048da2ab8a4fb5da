"""A check before `kedro viz`."""

import os
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path

from kedro.framework.cli.hooks import cli_hook_impl
from kedro.framework.project import settings

from network_anomalies.errors import ProjectError


class VizCheck:
    """Reads the credentials before ``kedro viz``, which reads them in another process and prints a traceback.

    It also counts the rows of the last run, which ``kedro viz`` shows beside the datasets.
    """

    @cli_hook_impl
    def before_command_run(self, command_args: list[str]) -> None:
        """End a ``kedro viz`` command with the cause in one line if its environment cannot be used."""
        if command_args[:1] != ["viz"] or {"-h", "--help"} & set(command_args):
            return
        options = ArgumentParser(add_help=False)
        options.add_argument("-e", "--env", default=os.environ.get("KEDRO_ENV"))
        try:
            session = settings.SESSION_CLASS.create(env=options.parse_known_args(command_args)[0].env)
            context = session.load_context()
            url = context.config_loader["credentials"]["postgres"]["con"]
        except ProjectError as error:
            raise SystemExit(f"Error: {error}") from error
        _show_row_counts(url, context.project_path)


def _show_row_counts(url: str, project_path: Path) -> None:
    """Give kedro-viz the row counts of the last run; without a registry, or a folder to write, it shows none."""
    from sqlalchemy.exc import SQLAlchemyError

    from network_anomalies.registry.engine import connect
    from network_anomalies.upkeep.row_counts import write_row_counts

    with suppress(SQLAlchemyError, OSError):
        write_row_counts(connect(url), project_path)
