"""Two flows: the ingestion of a day, and all stages of a day from events to alerts."""

from datetime import UTC, date, timedelta
from typing import Literal, NamedTuple

from prefect import flow
from prefect.runtime import flow_run

from network_anomalies.orchestration.artifacts import publish_report
from network_anomalies.orchestration.flow_project import list_modelling, require_variables
from network_anomalies.orchestration.tasks import PipelineOutcome, run_pipeline
from network_anomalies.runs.session import RuntimeParameters

IngestionPipeline = Literal["ingestion", "log_ingestion"]


class Ingested(NamedTuple):
    """The result of a day's ingestion.

    Attributes:
        source: name of the source.
        logical_date: the UTC day.
        run_id: id of the run in the registry.
        status: ``SUCCESS``, or ``UNCHANGED`` if the same batch was current already.
        accepted: number of events in RAW.
        local_path: path of the local copy, relative to the project's root; for several parts their folder.
        object_uri: URI of the day's object in the lake; for several parts their folder.
    """

    source: str
    logical_date: date
    run_id: str
    status: str
    accepted: int
    local_path: str
    object_uri: str


@flow(name="data-ingestion")
def data_ingestion_flow(
    logical_date: date | None = None,
    env: str | None = None,
    params: RuntimeParameters | None = None,
    pipeline: IngestionPipeline = "ingestion",
) -> Ingested:
    """Ingest a day.

    Args:
        logical_date: the UTC day; None means the day before the scheduled start of the flow.
        env: Kedro's environment; None means `embedded`.
        params: other runtime parameters, nested as in `conf`: ``{"generator": {"n_events": 1000}}``.
        pipeline: `ingestion` for synthetic events, `log_ingestion` for real logs.
    """
    require_variables(env)
    outcome = run_pipeline(pipeline, env, fix_identity(logical_date, params))
    publish_report([outcome], key="data-ingestion")
    return summarise(outcome)


@flow(name="full-mlops")
def full_mlops_flow(
    logical_date: date | None = None,
    env: str | None = None,
    params: RuntimeParameters | None = None,
    pipeline: IngestionPipeline = "ingestion",
) -> Ingested:
    """Ingest a day, then run the modelling pipelines; the arguments are those of ``data_ingestion_flow``."""
    require_variables(env)
    fixed = fix_identity(logical_date, params)
    ingested = data_ingestion_flow(date.fromisoformat(fixed["logical_date"]), env, fixed, pipeline)
    fixed |= {"source": ingested.source}
    outcomes = [run_pipeline(stage, env, fixed) for stage in list_modelling()]
    if outcomes:
        publish_report(outcomes, key="full-mlops")
    return ingested


def fix_identity(logical_date: date | None, params: RuntimeParameters | None) -> RuntimeParameters:
    """Return ``params`` with the logical date, and the id of the outermost flow run as the parent run."""
    given = params or {}
    scheduled = flow_run.scheduled_start_time.astimezone(UTC).date()
    day = logical_date or given.get("logical_date") or scheduled - timedelta(days=1)
    return {"parent_run_id": flow_run.id} | given | {"logical_date": str(day)}


def summarise(outcome: PipelineOutcome) -> Ingested:
    """Return the result of an ingestion, with the paths of its objects."""
    folder, _, name = outcome.uris[0].rpartition("/")
    single = len(outcome.uris) == 1
    return Ingested(
        source=outcome.source,
        logical_date=outcome.logical_date,
        run_id=outcome.run_id,
        status=outcome.status,
        accepted=outcome.accepted or 0,
        local_path=f"{outcome.local_copies}/{name}" if single else outcome.local_copies,
        object_uri=outcome.uris[0] if single else folder,
    )
