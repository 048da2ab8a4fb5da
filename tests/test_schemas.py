"""The frames that people load have the columns that their schemas say, and a frame that has not is refused."""

import pandas as pd
import pytest
from conftest import DAY
from kedro.validation.exceptions import DataValidationError
from pandera.errors import SchemaErrors

from network_anomalies.datasets import CurrentObjectsDataset
from network_anomalies.detection import CONTEXT_COLUMNS
from network_anomalies.records.schemas import ALERTS, SCORES, SILVER


def test_the_frames_of_a_day_meet_their_schemas(modelled_days):
    for name, schema in {"silver_events": SILVER, "scores": SCORES, "alerts": ALERTS}.items():
        frame = modelled_days.load(name)
        assert set(schema.columns) <= set(frame.columns), name
        pd.testing.assert_frame_equal(schema.validate(frame, lazy=True), frame)
    assert set(CONTEXT_COLUMNS) <= set(SILVER.columns)
    assert ALERTS.validate(frame.iloc[:0]).empty


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("silver_events", {"timestamp_hour": 24}),
        ("silver_events", {"bytes": -1}),
        ("silver_events", {"duration": None}),
        ("scores", {"score": float("inf")}),
        ("scores", {"score": None}),
        ("scores", {"bytes": 0.5}),
        ("alerts", {"severity": "urgent"}),
        ("alerts", {"score": 100.1}),
        ("alerts", {"flows": 0}),
        ("alerts", {"entity": None}),
        ("alerts", {"last_seen": pd.Timestamp("2000-01-01", tz="UTC")}),
        ("alerts", {"kind": "scan", "entity": "10.0.0.1"}),
    ],
)
def test_a_frame_with_other_values_is_refused(modelled_days, name, changes):
    schema = {"silver_events": SILVER, "scores": SCORES, "alerts": ALERTS}[name]
    frame = modelled_days.load(name)
    (column, *_) = changes
    types = {column: frame[column].dtype} if changes[column] == 24 or changes[column] == -1 else {}
    with pytest.raises(SchemaErrors):
        schema.validate(frame.assign(**changes).astype(types), lazy=True)
    with pytest.raises(SchemaErrors):
        schema.validate(frame.drop(columns=column), lazy=True)


@pytest.mark.parametrize("name", ["silver_events", "scores"])
def test_the_catalog_refuses_what_does_not_meet_its_schema_and_a_stage_does_not_pay(modelled_days, monkeypatch, name):
    catalog = modelled_days.session(logical_date=DAY).load_context().catalog
    assert set(catalog.validator_specs) == {"silver_events", "scores"}
    assert catalog.validator_specs[name].on == ("load",)
    frame = catalog.load(name)
    monkeypatch.setattr(CurrentObjectsDataset, "load", lambda _: frame.drop(columns="duration"))
    with pytest.raises(DataValidationError, match="duration"):
        catalog.load(name)
