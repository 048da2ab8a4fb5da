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


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline.

    `modelling` goes from committed RAW to alerts. `full` is ingestion and modelling, and what `kedro run` runs;
    `log_full` is the same for real logs.
    """
    stages = {
        "transformation": transformation.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "registration": registration.create_pipeline(),
        "scoring": scoring.create_pipeline(),
    }
    modelling = sum(stages.values(), Pipeline([]))
    synthetic, logs = ingestion.create_pipeline(), ingestion.create_log_pipeline()
    full = synthetic + modelling
    return {
        "ingestion": synthetic,
        "log_ingestion": logs,
        "replay": ingestion.create_replay_pipeline(),
        **stages,
        "modelling": modelling,
        "full": full,
        "log_full": logs + modelling,
        "realism": realism.create_pipeline(),
        "__default__": full,
    }
