"""How far a run is: a bar on a terminal, a line for each stage where the output goes elsewhere."""

import logging
import sys
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from network_anomalies.terminal.run_log import SHOWN

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(SHOWN)


class ProgressHooks:
    """Shows which node is at work, and how many are done. It shows nothing where INFO lines are switched off."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._named: set[str] = set()
        self._total = 0
        self._pieces = 0

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Remember how many nodes there are."""
        self._total = len(pipeline.nodes)
        self._named = set()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Show the node on a terminal, else the stage that it is the first node of."""
        if not logger.isEnabledFor(logging.INFO):
            return
        if sys.stdout.isatty():
            self._pieces = 0
            self._show(node.name)
            return
        if len(node.tags) == 1 and not node.tags <= self._named:  # a node of two stages begins neither
            logger.info("%s ...", *node.tags)
            self._named |= node.tags

    @hook_impl
    def after_dataset_saved(self, node: Node) -> None:
        """Count the pieces that a node yields: a node that works on a day slice by slice is long at work."""
        if self._progress:
            self._pieces += 1
            self._show(f"{node.name}, {self._pieces} pieces" if self._pieces > len(node.outputs) else node.name)

    @hook_impl
    def after_node_run(self) -> None:
        """Move the bar."""
        if self._progress:
            self._progress.advance(self._progress.task_ids[0])

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Take the bar away."""
        self._stop()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Take the bar away."""
        self._stop()

    def _show(self, text: str) -> None:
        if self._progress is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
            self._progress = Progress(*columns, transient=True)
            self._progress.add_task(text, total=self._total)
            self._progress.start()
        # At once: a node may be done before the bar is drawn again on its own, ten times a second.
        self._progress.update(self._progress.task_ids[0], description=text, refresh=self._pieces == 0)

    def _stop(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None
