"""Receipts of stages as rows of the registry, and rows as receipts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping

from network_anomalies.records.evaluation import EvaluationMetrics, EvaluationReceipt
from network_anomalies.records.receipt import LakeObject, StageReceipt
from network_anomalies.records.scoring import ScoringReceipt
from network_anomalies.records.training import TrainingDay, TrainingReceipt
from network_anomalies.records.transformation import RawObject, SilverObject, TransformationReceipt

Row = dict[str, Any]
"""Values by column."""
REFERENCE = "reference_scores"
"""Key of the quantiles of the training's scores in the column ``parameters`` of ``training_events``."""

# Fields of receipts that are columns of the same name.
RUN_COLUMNS = ("run_id", "source", "logical_date")
INPUT_COLUMNS = ("inputs", "inputs_sha256")
SILVER_COLUMNS = (*RUN_COLUMNS, "revision", "record_count", "size_bytes", "feature_spec_sha256")
TRAINING_COLUMNS = (
    *(*RUN_COLUMNS, "size_bytes", "train_start", "train_end", "test_end", "record_count"),
    *("feature_spec_sha256", "library_versions", "code_version"),
)
MODEL_COLUMNS = ("model_sha256", "champion_sha256", "labelled")


def to_transformation_row(receipt: TransformationReceipt) -> Row:
    """Return the row of ``transformation_events`` of silver that becomes current."""
    return _pick(vars(receipt), SILVER_COLUMNS) | {
        "transformed_at": datetime.now(UTC),
        "input_objects": [item.to_json() for item in receipt.input_objects],
        "output_objects": [output.to_json() for output in receipt.outputs],
        "status": "SUCCESS",
    }


def read_transformation_row(row: RowMapping, event: RowMapping | None) -> TransformationReceipt:
    """Return the receipt of a row of ``transformation_events``; the inputs are those of a row of ``stage_events``."""
    return TransformationReceipt(
        **_pick(row, SILVER_COLUMNS),
        inputs=event["inputs"] if event else {},
        inputs_sha256=event["inputs_sha256"] if event else "",
        input_objects=[RawObject.model_validate(item) for item in row["input_objects"]],
        outputs=[SilverObject.model_validate(item) for item in row["output_objects"]],
    )


def to_training_row(receipt: TrainingReceipt) -> Row:
    """Return the row of ``training_events`` of a training."""
    return _pick(vars(receipt), TRAINING_COLUMNS) | {
        "trained_at": datetime.now(UTC),
        "model_uri": receipt.model.uri,
        "model_sha256": receipt.model.sha256,
        "input_objects": [day.to_json() for day in receipt.input_objects],
        "parameters": {**receipt.parameters, REFERENCE: list(receipt.reference_scores)},
    }


def read_training_row(row: RowMapping, event: RowMapping) -> TrainingReceipt:
    """Return the receipt of a row of ``training_events`` and its row of ``stage_events``."""
    return TrainingReceipt(
        **_pick(row, TRAINING_COLUMNS),
        **_pick(event, INPUT_COLUMNS),
        outputs=[LakeObject(uri=row["model_uri"], sha256=row["model_sha256"])],
        input_objects=[TrainingDay.model_validate(day) for day in row["input_objects"]],
        parameters={name: value for name, value in row["parameters"].items() if name != REFERENCE},
        reference_scores=row["parameters"][REFERENCE],
    )


def to_evaluation_row(receipt: EvaluationReceipt) -> Row:
    """Return the row of ``evaluation_events`` of an evaluation."""
    metrics = receipt.metrics
    return _pick(vars(receipt), RUN_COLUMNS) | {
        "evaluated_at": datetime.now(UTC),
        **_pick(vars(metrics), MODEL_COLUMNS),
        "metrics": metrics.to_json(),
    }


def read_evaluation_row(row: RowMapping, event: RowMapping) -> EvaluationReceipt:
    """Return the receipt of a row of ``evaluation_events`` and its row of ``stage_events``."""
    metrics = EvaluationMetrics.model_validate(row["metrics"] | _pick(row, MODEL_COLUMNS))
    return EvaluationReceipt(**vars(read_event_row(event)), metrics=metrics)


def read_event_row(event: RowMapping) -> StageReceipt:
    """Return the receipt of a row of ``stage_events``, for a stage without a table of its own."""
    outputs = [LakeObject.model_validate(output) for output in event["outputs"]]
    return StageReceipt(**_pick(event, (*RUN_COLUMNS, *INPUT_COLUMNS)), outputs=outputs)


def read_scoring_row(event: RowMapping) -> ScoringReceipt:
    """Return the receipt of a scoring's row of ``stage_events``."""
    return ScoringReceipt(**vars(read_event_row(event)), limits=event["limits"])


def _pick(values: Mapping[Any, Any], names: tuple[str, ...]) -> Row:
    return {name: values[name] for name in names}
