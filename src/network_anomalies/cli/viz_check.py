"""A check before `kedro viz`."""

import os
from argparse import ArgumentParser

from kedro.framework.cli.hooks import cli_hook_impl
from kedro.framework.project import settings

from network_anomalies.errors import ProjectError


class VizCheck:
    """Reads the credentials before ``kedro viz``, which reads them in another process and prints a traceback."""

    @cli_hook_impl
    def before_command_run(self, command_args: list[str]) -> None:
        """End a ``kedro viz`` command with the cause in one line if its environment cannot be used."""
        if command_args[:1] != ["viz"] or {"-h", "--help"} & set(command_args):
            return
        options = ArgumentParser(add_help=False)
        options.add_argument("-e", "--env", default=os.environ.get("KEDRO_ENV"))
        try:
            session = settings.SESSION_CLASS.create(env=options.parse_known_args(command_args)[0].env)
            session.load_context().config_loader["credentials"]
        except ProjectError as error:
            raise SystemExit(f"Error: {error}") from error
