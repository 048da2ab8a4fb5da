"""Kedro's hooks: they open a run's row in the registry before the work and close it after it."""

import atexit
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel

from network_anomalies.errors import ProjectError, explain
from network_anomalies.parameters import digest_parameters
from network_anomalies.records.batch import describe_days
from network_anomalies.records.run_start import RunStart
from network_anomalies.runs.signals import raise_on_signals
from network_anomalies.runs.stages import find_kind
from network_anomalies.runs.version import read_code_version

if TYPE_CHECKING:
    from network_anomalies.datasets.registry_records import RegistryRecordsDataset
    from network_anomalies.registry.run_rows import Run
    from network_anomalies.runs.configuration import ProjectConfigLoader

logger = logging.getLogger(__name__)
RunParameters = Mapping[str, Any]
"""The options of `kedro run`, as Kedro gives them to hooks."""
CONTENT = {"ingestion_events", "transformation_events", "champion_model", "alerts"}
"""Datasets that ignore equal content. A run that saves some of them and changes none is ``UNCHANGED``."""
SELECTIONS = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "namespaces")


class RunHooks:
    """Opens and closes runs. A thread has one run at a time."""

    def __init__(self) -> None:
        self._opened: dict[int, tuple[Run, ExitStack]] = {}  # by thread; the stack closes the run
        atexit.register(self._close_all)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Make relative paths of the configuration relative to the project's root, as Kedro does in the catalog."""
        cast("ProjectConfigLoader", context.config_loader).project_path = context.project_path

    @hook_impl(trylast=True)  # if a hook of another plug-in fails, no run is open yet
    def before_pipeline_run(self, run_params: RunParameters, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check the kind of the source, then open the run: take its lock and write its row."""
        from network_anomalies.registry.batches import check_kind
        from network_anomalies.registry.run_rows import record_run

        if "ParallelRunner" in run_params["runner"]:
            raise ProjectError("ParallelRunner cannot run these pipelines: leave --runner out, or use ThreadRunner")
        self._close_left_open(threading.get_ident())
        start = _describe_start(run_params, catalog.load("parameters"))
        registry = cast("RegistryRecordsDataset", catalog["pipeline_runs"]).engine
        if kind := find_kind(pipeline.datasets()):
            check_kind(registry, start.source, kind)
        with ExitStack() as opening:
            opening.callback(raise_on_signals())
            run = opening.enter_context(record_run(registry, start))
            self._opened[threading.get_ident()] = (run, opening.pop_all())

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Remember the node: an error while its inputs are loaded does not name it."""
        self._remember(node)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Remember the node: it may have no inputs, and an error inside a generator does not name it."""
        self._remember(node)

    @hook_impl(tryfirst=True)  # if a hook of another plug-in fails, the run is closed already
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the run, and log its results."""
        run, closing = self._opened.pop(threading.get_ident())
        outputs = pipeline.all_outputs()
        with closing:
            run.status = _find_status(run, outputs)
        try:
            for line in _describe_results(run, outputs, catalog):
                logger.info("%s", line)
        except Exception as error:
            logger.warning("Run %s is %s; its results cannot be shown: %s", run.run_id, run.status, explain(error))

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed, with the node and the cause."""
        self._close(threading.get_ident(), error)

    def _remember(self, node: Node) -> None:
        # Threads of a runner have no run. If the process has only one run, it is theirs.
        only = next(iter(self._opened.values())) if len(self._opened) == 1 else None
        if opened := self._opened.get(threading.get_ident(), only):
            opened[0].node = node.name

    def _close(self, thread: int, error: Exception) -> None:
        if opened := self._opened.pop(thread, None):
            opened[1].__exit__(type(error), error, error.__traceback__)

    def _close_left_open(self, thread: int) -> None:
        """Close a thread's run that ended without a hook, for example by a SystemExit in a node."""
        self._close(thread, ProjectError("the run ended without an error that Kedro reports, such as by sys.exit"))

    def _close_all(self) -> None:
        for thread in list(self._opened):
            self._close_left_open(thread)


def _describe_start(run_params: RunParameters, parameters: Mapping[str, Any]) -> RunStart:
    """Return the columns of the run's row that are known at its start."""
    return RunStart(
        run_id=parameters["run_id"],
        parent_run_id=parameters["parent_run_id"],
        pipeline=",".join(run_params["pipeline_names"] or ["__default__"]),
        source=parameters["source"],
        logical_date=parameters["logical_date"],
        env=run_params["env"] or "embedded",
        code_version=read_code_version(),
        params_sha256=digest_parameters(_to_plain(parameters)),
        selection=describe_selection(run_params),
    )


def describe_selection(run_params: RunParameters) -> str | None:
    """Return the options that select a part of the pipelines, as text; None if they run whole.

    >>> describe_selection({"to_nodes": ["plan_events"], "tags": (), "only_missing_outputs": True})
    'to_nodes=plan_events; only_missing_outputs'
    """
    parts = [f"{name}={','.join(run_params[name])}" for name in SELECTIONS if run_params.get(name)]
    if versions := run_params.get("load_versions"):
        parts.append("load_versions=" + ",".join(f"{name}:{version}" for name, version in versions.items()))
    if run_params.get("only_missing_outputs"):
        parts.append("only_missing_outputs")
    return "; ".join(parts) or None


def _find_status(run: "Run", outputs: set[str]) -> str:
    from network_anomalies.registry.stage_rows import has_made_content

    return "UNCHANGED" if outputs & CONTENT and not has_made_content(run.engine, run.run_id) else "SUCCESS"


def _describe_results(run: "Run", outputs: set[str], catalog: DataCatalog) -> Iterator[str]:
    yield _describe_outcome(run, outputs)
    if "quality_report" in outputs and (days := catalog.load("quality_report").get("other_days")):
        yield f"not stored, since they are of other days: {describe_days(days)}; `kedro backfill` stores them"
    yield from _describe_models(run, outputs, catalog)


def _describe_outcome(run: "Run", outputs: set[str]) -> str:
    from network_anomalies.registry.batches import read_batch, read_current

    source, day = run.start.source, run.start.logical_date
    subject = f"run {run.run_id}, source {source}, date {day}"
    batch = read_batch(run.engine, source, day) if "ingestion_events" in outputs else None
    if batch is None:
        return f"{subject}: {run.status}"
    uris = read_current(run.engine, source, day)["object_uri"]
    where = uris.iloc[0] if len(uris) == 1 else f"{len(uris)} objects in {uris.iloc[0].rpartition('/')[0]}"
    counts = f"{batch['lines_in']} lines in, {batch['accepted']} accepted, {batch['rejected']} rejected"
    counts += f", {batch['unparsable']} unparsable" if batch["unparsable"] else ""
    return f"{subject}: {counts}, {where}: {run.status}"


def _describe_models(run: "Run", outputs: set[str], catalog: DataCatalog) -> Iterator[str]:
    """Say which model is champion and why, how many alerts there are, and where the report is."""
    from network_anomalies.registry.alert_rows import read_alerts
    from network_anomalies.registry.model_rows import read_champion

    source, day = run.start.source, run.start.logical_date
    if outputs & {"champion_model", "alerts"} and (champion := read_champion(run.engine, source, day)):
        yield f"champion of {source}: version {champion.version}, {champion.model_uri}: {champion.reason}"
    if "alerts" in outputs:
        alerts = read_alerts(run.engine, source, day)
        suppressed = int(alerts["suppressed_by"].notna().sum())
        entry = catalog.config_resolver.config["daily_report"]
        where = entry.get("dataset", entry)["filepath"]
        yield f"alerts of {source} on {day}: {len(alerts) - suppressed}, {suppressed} suppressed; report {where}"


def _to_plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters without the ids of runs, with models as dicts."""
    return {
        name: value.model_dump() if isinstance(value, BaseModel) else value
        for name, value in parameters.items()
        if name not in ("run_id", "parent_run_id")
    }
