"""Receipts of stages as rows of the registry, and back."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping

from network_anomalies.records.evaluation import EvaluationMetrics, EvaluationReceipt
from network_anomalies.records.receipt import LakeObject, StageReceipt
from network_anomalies.records.scoring import ScoringReceipt
from network_anomalies.records.training import TrainingDay, TrainingReceipt
from network_anomalies.records.transformation import RawObject, SilverObject, TransformationReceipt

Row = dict[str, Any]
"""A row to be written, by column."""
REFERENCE = "reference_scores"
"""Where the column ``parameters`` of ``training_events`` holds the quantiles of the training's scores."""


def to_transformation_row(receipt: TransformationReceipt) -> Row:
    """Return the row of ``transformation_events`` of silver that becomes the current one."""
    return _name_run(receipt) | {
        "revision": receipt.revision,
        "transformed_at": datetime.now(UTC),
        "record_count": receipt.record_count,
        "size_bytes": receipt.size_bytes,
        "feature_spec_sha256": receipt.feature_spec_sha256,
        "input_objects": [item.to_json() for item in receipt.input_objects],
        "output_objects": [output.to_json() for output in receipt.outputs],
        "status": "SUCCESS",
    }


def read_transformation_row(row: RowMapping, event: RowMapping | None) -> TransformationReceipt:
    """Return the receipt of a row of ``transformation_events``; the inputs are those of a row of ``stage_events``."""
    return TransformationReceipt(
        run_id=row["run_id"],
        source=row["source"],
        logical_date=row["logical_date"],
        inputs=event["inputs"] if event else {},
        inputs_sha256=event["inputs_sha256"] if event else "",
        revision=row["revision"],
        record_count=row["record_count"],
        size_bytes=row["size_bytes"],
        feature_spec_sha256=row["feature_spec_sha256"],
        input_objects=[RawObject.model_validate(item) for item in row["input_objects"]],
        outputs=[SilverObject.model_validate(item) for item in row["output_objects"]],
    )


def to_training_row(receipt: TrainingReceipt) -> Row:
    """Return the row of ``training_events`` of a training."""
    return _name_run(receipt) | {
        "trained_at": datetime.now(UTC),
        "model_uri": receipt.model.uri,
        "model_sha256": receipt.model.sha256,
        "size_bytes": receipt.size_bytes,
        "train_start": receipt.train_start,
        "train_end": receipt.train_end,
        "test_end": receipt.test_end,
        "record_count": receipt.record_count,
        "input_objects": [day.to_json() for day in receipt.input_objects],
        "parameters": {**receipt.parameters, REFERENCE: list(receipt.reference_scores)},
        "feature_spec_sha256": receipt.feature_spec_sha256,
        "library_versions": dict(receipt.library_versions),
        "code_version": receipt.code_version,
    }


def read_training_row(row: RowMapping, event: RowMapping) -> TrainingReceipt:
    """Return the receipt of a row of ``training_events`` and its row of ``stage_events``."""
    return TrainingReceipt(
        run_id=row["run_id"],
        source=row["source"],
        logical_date=row["logical_date"],
        inputs=event["inputs"],
        inputs_sha256=event["inputs_sha256"],
        outputs=[LakeObject(uri=row["model_uri"], sha256=row["model_sha256"])],
        size_bytes=row["size_bytes"],
        train_start=row["train_start"],
        train_end=row["train_end"],
        test_end=row["test_end"],
        record_count=row["record_count"],
        input_objects=[TrainingDay.model_validate(day) for day in row["input_objects"]],
        parameters={name: value for name, value in row["parameters"].items() if name != REFERENCE},
        reference_scores=row["parameters"][REFERENCE],
        feature_spec_sha256=row["feature_spec_sha256"],
        library_versions=row["library_versions"],
        code_version=row["code_version"],
    )


def to_evaluation_row(receipt: EvaluationReceipt) -> Row:
    """Return the row of ``evaluation_events`` of an evaluation."""
    metrics = receipt.metrics
    return _name_run(receipt) | {
        "evaluated_at": datetime.now(UTC),
        "model_sha256": metrics.model_sha256,
        "champion_sha256": metrics.champion_sha256,
        "labelled": metrics.labelled,
        "metrics": metrics.to_json(),
    }


def read_evaluation_row(row: RowMapping, event: RowMapping) -> EvaluationReceipt:
    """Return the receipt of a row of ``evaluation_events`` and its row of ``stage_events``."""
    columns = {name: row[name] for name in ("model_sha256", "champion_sha256", "labelled")}
    return EvaluationReceipt(
        run_id=row["run_id"],
        source=row["source"],
        logical_date=row["logical_date"],
        inputs=event["inputs"],
        inputs_sha256=event["inputs_sha256"],
        outputs=_list_outputs(event),
        metrics=EvaluationMetrics.model_validate(row["metrics"] | columns),
    )


def read_event_row(event: RowMapping) -> StageReceipt:
    """Return the receipt of a row of ``stage_events`` that has no other row beside it."""
    return StageReceipt(
        run_id=event["run_id"],
        source=event["source"],
        logical_date=event["logical_date"],
        inputs=event["inputs"],
        inputs_sha256=event["inputs_sha256"],
        outputs=_list_outputs(event),
    )


def read_scoring_row(event: RowMapping) -> ScoringReceipt:
    """Return the receipt of a scoring's row of ``stage_events``."""
    return ScoringReceipt(**vars(read_event_row(event)), limits=event["limits"])


def _name_run(receipt: StageReceipt) -> Row:
    return {"run_id": receipt.run_id, "source": receipt.source, "logical_date": receipt.logical_date}


def _list_outputs(event: RowMapping) -> list[LakeObject]:
    return [LakeObject.model_validate(output) for output in event["outputs"]]
