"""The project's pipelines, by name."""

from kedro.pipeline import Pipeline

from network_anomalies.pipelines import (
    evaluation,
    ingestion,
    realism,
    registration,
    scoring,
    training,
    transformation,
)
from network_anomalies.runs.stages import DEFAULT, GROUPS


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline: the stages, those of other tasks, and the groups of ``runs.stages``."""
    stages = {
        "ingestion": ingestion.create_pipeline(),
        "log_ingestion": ingestion.create_log_pipeline(),
        "transformation": transformation.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "registration": registration.create_pipeline(),
        "scoring": scoring.create_pipeline(),
    }
    groups = {name: sum((stages[stage] for stage in members), Pipeline([])) for name, members in GROUPS.items()}
    tasks = {"replay": ingestion.create_replay_pipeline(), "realism": realism.create_pipeline()}
    return stages | groups | tasks | {"__default__": groups[DEFAULT]}
