"""Receipts: what a stage saves is what a later stage loads, and what earlier versions stored still loads."""

import doctest
import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pandas as pd
import pytest
import sqlalchemy
from conftest import DAY
from kedro.io import DatasetError
from pydantic import ValidationError
from sqlalchemy import insert

from network_anomalies.datasets import RegistryRecordsDataset, registry_records
from network_anomalies.records.evaluation import (
    AttackResult,
    Drift,
    EvaluationMetrics,
    EvaluationReceipt,
    ModelMeasures,
)
from network_anomalies.records.receipt import LakeObject, StageReceipt
from network_anomalies.records.scoring import DayAlerts, ScoringReceipt
from network_anomalies.records.training import TrainedSlice, TrainingDay, TrainingReceipt
from network_anomalies.records.transformation import RawObject, SilverObject, TransformationReceipt
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.tables import pipeline_runs
from network_anomalies.runs.inputs import digest_facts
from network_anomalies.upkeep import setup_stores

TODAY = date.fromisoformat(DAY)
MOMENT = datetime(2024, 4, 19, 1, 2, 3, 456789, tzinfo=UTC)
ABOUT = {"run_id": "r1", "source": "lab", "logical_date": TODAY, "inputs": {"raw": "a", "method": "1"}}
LAKE = "s3://bucket/lab"
OBJECT = LakeObject(uri="folder/name.parquet", sha256="1" * 64)
SLICE = {"uri": "slice.parquet", "sha256": "2" * 64, "size_bytes": 9, "record_count": 7}
ATTACKS = (
    AttackResult(scenario="fast_scan", kind="horizontal_scan", stealth=0.0, found=True, delay_seconds=1.5),
    AttackResult(scenario="slow_scan", kind="horizontal_scan", stealth=0.9, found=False, delay_seconds=None),
)
LABELLED = ModelMeasures(
    roc_auc=0.9,
    average_precision=0.5,
    alerts=3,
    alerts_by_kind={"ddos": 3},
    precision_at_budget=1 / 3,
    recall_at_budget=0.5,
    recall_of_open_attacks=None,
    false_alerts=2,
    attacks=ATTACKS,
)
METRICS = EvaluationMetrics(
    labelled=True,
    test_flows=10,
    test_slices=("00", "06"),
    attack_flows=2,
    model_sha256="3" * 64,
    drift=Drift(psi=0.1, drifted=False, flows_enough=True),
    champion=None,
    champion_sha256="4" * 64,
    champion_note="it was altered",
    candidate=LABELLED,
)
RECEIPTS = {
    "truth": StageReceipt(outputs=[OBJECT], **ABOUT),
    "scoring": ScoringReceipt(outputs=[OBJECT, OBJECT], limits={"anomaly": {"alert_score": 3.5}}, **ABOUT),
    "transformation": TransformationReceipt(
        revision=2,
        record_count=7,
        size_bytes=12,
        feature_spec_sha256="5" * 64,
        input_objects=[RawObject(uri="s3://raw/a.parquet", sha256="6" * 64, record_count=7)],
        outputs=[
            SilverObject(kind="slice", hour="06", hours=6, **SLICE),
            SilverObject(kind="summary", **SLICE | {"uri": "summary.arrow", "record_count": 0}),
        ],
        **ABOUT,
    ),
    "training": TrainingReceipt(
        size_bytes=5,
        train_start=MOMENT,
        train_end=MOMENT,
        test_end=MOMENT,
        record_count=7,
        input_objects=[
            TrainingDay(
                logical_date=TODAY,
                revision=1,
                transformation_run_id="t1",
                silver=(TrainedSlice(hour="00", uri="a", sha256="7" * 64),),
                raw=(LakeObject(uri="b", sha256="8" * 64),),
            )
        ],
        parameters={"window_days": 14, "row_cap": 2000, "train_share": 0.5},
        reference_scores=[0.0, 0.5, 1.0],
        feature_spec_sha256="5" * 64,
        outputs=[OBJECT],
        **ABOUT,
    ),
    "evaluation": EvaluationReceipt(metrics=METRICS, **ABOUT),
}


@pytest.fixture
def registry(anywhere):
    """The URL of a registry in which run r1 works."""
    list(setup_stores(anywhere.stores))
    run = {"pipeline": "full", "env": "test", "host": "here", "status": "RUNNING", "started_at": MOMENT}
    run |= {"code_version": "1", "params_sha256": "0" * 64}
    with open_registry(anywhere.url).begin() as connection:
        connection.execute(insert(pipeline_runs), run | {name: ABOUT[name] for name in ABOUT if name != "inputs"})
    return anywhere.url


def open_records(url, records, **options):
    about = {"source": "lab", "logical_date": DAY, "object_root": f"{LAKE}/"}
    return RegistryRecordsDataset(records=records, registry={"credentials": {"con": url}}, **about | options)


@pytest.mark.parametrize("stage", RECEIPTS)
def test_a_receipt_is_loaded_as_it_was_saved_with_what_only_the_registry_knows(registry, stage):
    dataset, receipt = open_records(registry, stage), RECEIPTS[stage]
    assert not dataset.exists()
    dataset.save(receipt)
    assert dataset.exists()
    loaded = dataset.load()
    expected = replace(
        receipt,
        inputs_sha256=digest_facts(receipt.inputs),
        outputs=[output.model_copy(update={"uri": f"{LAKE}/{output.uri}"}) for output in receipt.outputs],
    )
    if stage == "training":
        assert set(loaded.library_versions) >= {"numpy", "pandas", "pyarrow"} and loaded.code_version
        expected = replace(expected, library_versions=loaded.library_versions, code_version=loaded.code_version)
    assert loaded == expected
    assert receipt == RECEIPTS[stage] and receipt.inputs_sha256 == ""


def test_silver_of_another_run_that_is_equal_keeps_its_run_and_has_the_latest_inputs(registry):
    dataset, receipt = open_records(registry, "transformation"), RECEIPTS["transformation"]
    dataset.save(receipt)
    with open_registry(registry).begin() as connection:
        row = dict(connection.execute(sqlalchemy.select(pipeline_runs)).mappings().one())
        connection.execute(insert(pipeline_runs), row | {"run_id": "r2"})
    dataset.save(replace(receipt, run_id="r2", inputs={"raw": "b"}))
    loaded = dataset.load()
    assert (loaded.run_id, loaded.inputs, loaded.inputs_sha256) == ("r1", {"raw": "b"}, digest_facts({"raw": "b"}))


def test_what_earlier_versions_stored_still_loads(registry):
    for stage in ("transformation", "evaluation"):
        open_records(registry, stage).save(RECEIPTS[stage])
    metrics = METRICS.to_json()
    for name in ("champion_sha256", "champion_note"):
        metrics.pop(name)
    metrics["candidate"] = {"roc_auc": None, "average_precision": None, "alerts": 1, "alerts_by_kind": {"scan": 1}}
    change = "UPDATE evaluation_events SET metrics = :metrics"
    with open_registry(registry).begin() as connection:
        connection.execute(sqlalchemy.text(change), {"metrics": json.dumps(metrics | {"of_another_version": 1})})
        connection.execute(sqlalchemy.text("UPDATE stage_events SET inputs_sha256 = ''"))
    evaluated = open_records(registry, "evaluation").load()
    assert (evaluated.metrics.champion_sha256, evaluated.metrics.champion_note) == ("4" * 64, "")
    assert evaluated.metrics.candidate.false_alerts is None and evaluated.metrics.candidate.attacks == ()
    assert open_records(registry, "transformation").load().inputs_sha256 == ""
    with open_registry(registry).begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM stage_events WHERE stage = 'transformation'"))
    assert open_records(registry, "transformation").load().inputs == {}


def test_metrics_have_no_key_that_was_not_measured():
    measures = ModelMeasures(roc_auc=None, average_precision=None, alerts=1, alerts_by_kind={"scan": 1})
    expected = {"roc_auc": None, "average_precision": None, "alerts": 1, "alerts_by_kind": {"scan": 1}}
    assert measures.to_json() == expected
    assert METRICS.model_copy(update={"candidate": measures}).to_json()["candidate"] == expected
    assert EvaluationMetrics.model_validate(METRICS.to_json()) == METRICS


@pytest.mark.parametrize("record", [OBJECT, METRICS, RECEIPTS["training"].input_objects[0]])
def test_a_record_does_not_change(record):
    with pytest.raises(ValidationError):
        record.uri = "another"


def test_a_stage_that_has_not_run_is_named(registry):
    for stage in ("transformation", "training", "evaluation", "scoring"):
        with pytest.raises(DatasetError, match=f"source lab has no {stage} on {DAY}: run the {stage} pipeline"):
            open_records(registry, stage).load()
    assert open_records(registry, "truth").load() is None
    for rows in ("current_batch", "source_record"):
        dataset = open_records(registry, rows)
        assert not dataset.exists()
        with pytest.raises(DatasetError, match=r"has no batch on .*: run the ingestion"):
            dataset.load()


def test_alerts_without_rows_replace_and_load_as_a_frame(registry):
    dataset = open_records(registry, "alerts")
    dataset.save(DayAlerts("r1", "lab", TODAY, pd.DataFrame({"kind": [], "entity": []})))
    assert dataset.load().empty and "suppressed_by" in dataset.load() and not dataset.exists()


@pytest.mark.parametrize("rows", ["pipeline_runs", "current_objects", "current_batch"])
def test_rows_that_runs_and_commits_write_cannot_be_saved(registry, rows):
    with pytest.raises(DatasetError, match=f"{rows} is read only"):
        open_records(registry, rows).save(pd.DataFrame({"run_id": ["r9"]}))
    assert open_records(registry, "pipeline_runs").load()["run_id"].tolist() == ["r1"]


def test_the_example_of_the_dataset_runs():
    result = doctest.testmod(registry_records)
    assert result.attempted > 0 and result.failed == 0
