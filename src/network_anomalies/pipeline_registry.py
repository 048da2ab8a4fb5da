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

SHARED = {"choose_alerts_policy": ("evaluation", "scoring")}
"""Nodes that two stages have. Such a node has no namespace, since it must be the same node in both."""


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline.

    `modelling` goes from committed RAW to alerts. `full` is ingestion and modelling, and what `kedro run` runs;
    `log_full` is the same for real logs. A pipeline of your own is one more line of the dict.
    """
    stages = {
        "transformation": _group("transformation", transformation.create_pipeline()),
        "training": _group("training", training.create_pipeline()),
        "evaluation": _group("evaluation", evaluation.create_pipeline()),
        "registration": _group("registration", registration.create_pipeline()),
        "scoring": _group("scoring", scoring.create_pipeline()),
    }
    modelling = sum(stages.values(), Pipeline([]))
    synthetic = _group("ingestion", ingestion.create_pipeline())
    logs = _group("ingestion", ingestion.create_log_pipeline())
    full = synthetic + modelling
    return {
        "ingestion": synthetic,
        "log_ingestion": logs,
        "replay": _group("ingestion", ingestion.create_replay_pipeline()),
        **stages,
        "modelling": modelling,
        "full": full,
        "log_full": logs + modelling,
        "realism": _group("realism", realism.create_pipeline()),
        "__default__": full,
    }


def _group(stage: str, nodes: Pipeline) -> Pipeline:
    """Give nodes their stage as namespace and tag: `kedro viz` draws a box per stage; datasets keep their names."""
    own = [node for node in nodes.nodes if node.name not in SHARED]
    shared = [node.tag(SHARED[node.name]) for node in nodes.nodes if node.name in SHARED]
    return Pipeline([Pipeline(own, namespace=stage, prefix_datasets_with_namespace=False, tags=stage), *shared])
