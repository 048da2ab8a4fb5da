"""A model as bytes: equal models give equal bytes, and what the code no longer computes is refused."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scenarios import make_day

from network_anomalies.detection import (
    AnomalyDetector,
    Model,
    ModelParameters,
    feature_spec_sha256,
    from_bytes,
    to_bytes,
)
from network_anomalies.detection.scoring import storage
from network_anomalies.errors import ProjectError


def fit(events: pd.DataFrame, parameters: ModelParameters | None = None) -> Model:
    model = AnomalyDetector(parameters).fit(events).model
    assert model is not None
    return model


@pytest.fixture(scope="module")
def day() -> pd.DataFrame:
    return make_day(0)


def test_a_model_comes_back_as_it_was_and_scores_alike(day):
    detector, again = AnomalyDetector().fit(day), AnomalyDetector()
    assert detector.model is not None
    again.model = from_bytes(to_bytes(detector.model))
    assert again.model.parameters == detector.model.parameters
    assert again.model.alert_score == detector.model.alert_score
    tomorrow = make_day(1)
    np.testing.assert_array_equal(again.score_samples(tomorrow), detector.score_samples(tomorrow))


def test_equal_models_have_equal_bytes_whatever_the_order_and_coding_of_the_rows(day):
    data = to_bytes(fit(day))
    assert to_bytes(from_bytes(data)) == data
    assert to_bytes(fit(day)) == data
    coded = day.astype({"src_ip": "category"})
    coded["src_ip"] = coded["src_ip"].cat.add_categories(["unused"])
    assert to_bytes(fit(coded)) == data
    assert to_bytes(fit(day.iloc[1:])) != data


def test_the_order_of_rows_changes_no_count_of_a_model(day):
    one, other = fit(day), fit(day.sample(frac=1, random_state=1))
    for name, masses in one.masses.items():
        np.testing.assert_array_equal(masses, other.masses[name])
    for name, table in one.history.tables.items():
        pd.testing.assert_frame_equal(table, other.history.tables[name], check_exact=True)


def test_an_empty_model_comes_back(day):
    model = fit(day.head(0))
    assert to_bytes(from_bytes(to_bytes(model))) == to_bytes(model)


def test_a_model_of_another_feature_specification_is_refused(day, monkeypatch):
    data = to_bytes(fit(day.head(100)))
    before = feature_spec_sha256()
    monkeypatch.setitem(storage.FEATURE_SPEC, "levels_per_e", 9)
    assert feature_spec_sha256() != before
    with pytest.raises(ProjectError, match=r"feature specification .* train again"):
        from_bytes(data)


def test_the_specification_names_every_constant_that_changes_a_level():
    spec = json.loads(json.dumps(storage.FEATURE_SPEC))
    assert {"context", "features", "history", "levels", "levels_per_e", "size_bins_per_e", "zero"} <= set(spec)


def arrow_without_a_header() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"a": [1]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 something else", arrow_without_a_header()])
def test_bytes_that_are_no_model_are_refused(data):
    with pytest.raises(ProjectError, match="no model"):
        from_bytes(data)


def test_a_truncated_model_is_refused(day):
    data = to_bytes(fit(day.head(100)))
    with pytest.raises(ProjectError, match="no model"):
        from_bytes(data[: len(data) // 2])
