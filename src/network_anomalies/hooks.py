"""Kedro's hooks: a run's row is opened before work and closed after it, and nothing else."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from network_anomalies.errors import explain
from network_anomalies.parameters import digest_parameters
from network_anomalies.signals import raise_on_signals
from network_anomalies.version import read_code_version

if TYPE_CHECKING:
    from network_anomalies.registry.runs import Run

logger = logging.getLogger(__name__)
CONTENT = {"ingestion_events", "transformation_events", "champion_model", "alerts"}
"""Datasets that take nothing twice: a run that makes some of them and adds to none is ``UNCHANGED``."""


@dataclass
class _Opened:
    run: "Run"
    restore_signals: Callable[[], None]
    node: str | None = None


class RunHooks:
    """Keeps the rows of ``pipeline_runs`` by run id, so that one process may hold several sessions."""

    def __init__(self) -> None:
        self._registries: dict[str, str] = {}
        self._opened: dict[str, _Opened] = {}

    @hook_impl
    def after_catalog_created(self, conf_creds: dict[str, Any], parameters: dict[str, Any]) -> None:
        """Remember which registry the run belongs to."""
        self._registries[parameters["params:run_id"]] = conf_creds["postgres"]["con"]

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: DataCatalog) -> None:
        """Open the run: the lock, then the row."""
        from network_anomalies.registry.engine import open_registry
        from network_anomalies.registry.runs import open_run

        parameters = catalog.load("parameters")
        run_id = parameters["run_id"]
        engine = open_registry(self._registries.pop(run_id))
        row = {name: parameters[name] for name in ("run_id", "parent_run_id", "source")} | {
            "logical_date": date.fromisoformat(parameters["logical_date"]),
            "pipeline": ",".join(run_params["pipeline_names"] or ["__default__"]),
            "env": run_params["env"] or "embedded",
            "code_version": read_code_version(),
            "params_sha256": digest_parameters(_to_plain(parameters)),
        }
        self._opened[run_id] = _Opened(open_run(engine, row), raise_on_signals())

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Remember the node: an error raised inside a generator names none."""
        if opened := self._opened.get(catalog.load("params:run_id")):
            opened.node = node.name

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the run, and say in one line what it did."""
        from network_anomalies.registry.batches import read_batch
        from network_anomalies.registry.stages import has_made_content

        parameters = catalog.load("parameters")
        opened = self._opened.pop(parameters["run_id"])
        opened.restore_signals()
        day = date.fromisoformat(parameters["logical_date"])
        made = pipeline.all_outputs()
        batch = read_batch(opened.run.engine, parameters["source"], day) if "ingestion_events" in made else None
        unchanged = made & CONTENT and not has_made_content(opened.run.engine, parameters["run_id"])
        status = "UNCHANGED" if unchanged else "SUCCESS"
        opened.run.close(status)
        logger.info("%s", _describe_outcome(opened.run, parameters, status, batch))
        for line in _describe_models(opened.run, parameters, pipeline, catalog):
            logger.info("%s", line)

    @hook_impl
    def on_pipeline_error(self, error: Exception, catalog: DataCatalog) -> None:
        """Close the run as failed, with the node and the cause."""
        opened = self._opened.pop(catalog.load("params:run_id"), None)
        if opened is None:
            return
        opened.restore_signals()
        try:
            opened.run.close("FAILED", failed_node=opened.node, error=explain(error))
        except Exception as failure:
            logger.error("The run's row could not be closed: %s", explain(failure))


def _describe_outcome(run: "Run", parameters: dict[str, Any], status: str, batch: dict[str, Any] | None) -> str:
    from network_anomalies.registry.batches import read_current

    subject = f"run {run.run_id}, source {parameters['source']}, date {parameters['logical_date']}"
    if batch is None:
        return f"{subject}: {status}"
    uris = read_current(run.engine, batch["source"], batch["logical_date"])["object_uri"]
    where = uris.iloc[0] if len(uris) == 1 else f"{len(uris)} objects in {uris.iloc[0].rpartition('/')[0]}"
    counts = f"{batch['lines_in']} lines in, {batch['accepted']} accepted, {batch['rejected']} rejected"
    return f"{subject}: {counts}, {where}: {status}"


def _describe_models(run: "Run", parameters: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> Iterator[str]:
    """Say which model is champion and why, how many alerts there are, and where the report lies."""
    from network_anomalies.registry.models import read_alerts, read_champion

    made = pipeline.all_outputs()
    source, day = parameters["source"], date.fromisoformat(parameters["logical_date"])
    if made & {"champion_model", "alerts"} and (champion := read_champion(run.engine, source)):
        yield f"champion of {source}: version {champion['version']}, {champion['model_uri']}: {champion['reason']}"
    if "alerts" in made:
        alerts = read_alerts(run.engine, source, day)
        suppressed = int(alerts["suppressed_by"].notna().sum())
        report = catalog["daily_report"]._describe()
        where = f"{report['protocol']}://{report['filepath']}".removeprefix("file://")
        yield f"alerts of {source} on {day}: {len(alerts) - suppressed}, {suppressed} suppressed; report {where}"


def _to_plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters without the run's own ids, models as dicts."""
    chosen = {name: value for name, value in parameters.items() if name not in ("run_id", "parent_run_id")}
    return {name: getattr(value, "model_dump", lambda value=value: value)() for name, value in chosen.items()}
