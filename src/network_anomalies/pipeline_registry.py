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

SHARED = {"choose_alerts_policy": ("evaluation", "scoring")}
"""Nodes that two stages share. Such a node has the tags of both."""


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline: the stages, the groups of ``runs.stages``, and pipelines of other tasks.

    Add a pipeline of your own to ``tasks``.
    """
    stages = {
        "ingestion": ingestion.create_pipeline(),
        "log_ingestion": ingestion.create_log_pipeline(),
        "transformation": transformation.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "registration": registration.create_pipeline(),
        "scoring": scoring.create_pipeline(),
    }
    tagged = {name: _tag(pipeline, name) for name, pipeline in stages.items()}
    groups = {name: sum((tagged[stage] for stage in members), Pipeline([])) for name, members in GROUPS.items()}
    tasks = {
        "replay": _tag(ingestion.create_replay_pipeline(), "replay"),
        "realism": _tag(realism.create_pipeline(), "realism"),
    }
    return tagged | groups | tasks | {"__default__": groups[DEFAULT]}


def _tag(pipeline: Pipeline, name: str) -> Pipeline:
    """Tag the nodes of a pipeline with its name, so that `kedro viz` and `--tags` can select a stage."""
    return Pipeline([node.tag(SHARED.get(node.name, (name,))) for node in pipeline.nodes])
