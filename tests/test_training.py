"""Training: split in time, of exactly the objects it names, and the same bytes every time."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from conftest import DAY, DAY_BEFORE, SMALL_DAY
from hypothesis import given
from hypothesis import strategies as st
from test_transformation import fails

from network_anomalies import detection
from network_anomalies.detection.scoring import storage
from network_anomalies.errors import ContractError
from network_anomalies.generator.truth import find_keys
from network_anomalies.parameters import TrainingParameters
from network_anomalies.pipelines.training.nodes import split_window
from network_anomalies.records.silver_day import SilverDay
from network_anomalies.records.transformation import SilverObject

TODAY = date.fromisoformat(DAY)


def make_history(days, hours):
    """Return silver of the last days up to DAY, each a list of rows per slice."""
    history = []
    for back, rows in zip(range(len(days) - 1, -1, -1), days, strict=True):
        about = {"uri": "u", "sha256": "s", "size_bytes": 1}
        objects = [
            SilverObject(kind="slice", hour=f"{place * hours:02d}", hours=hours, record_count=count, **about)
            for place, count in enumerate(rows)
        ]
        reads = {item.hour: lambda: None for item in objects}
        summary = SilverObject(kind="summary", record_count=0, **about)
        names = {"revision": 1, "run_id": "t1", "inputs_sha256": f"{back:064d}", "raw_objects": []}
        day = TODAY - timedelta(days=back)
        history.append(SilverDay(day, objects=[*objects, summary], slices=reads, read_summary=bytes, **names))
    return history


DAYS = st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=4), min_size=1, max_size=4)


@given(days=DAYS, hours=st.sampled_from([1, 3, 6]), cap=st.integers(1, 5000), share=st.floats(0.01, 0.99))
def test_what_is_trained_on_is_earlier_than_what_is_tested(days, hours, cap, share):
    history = make_history(days, hours)
    training = TrainingParameters(window_days=14, row_cap=cap, train_share=share)
    split = split_window(history, training, TODAY, None)
    trained = [(entry.logical_date, entry.hour) for entry in split.slices]
    tested = [hour for hour in history[-1].slices if (TODAY, hour) not in trained]
    assert len(set(trained)) == len(trained) > 0
    assert all(entry.end <= split.train_end for entry in split.slices)
    starts = [datetime(TODAY.year, TODAY.month, TODAY.day, int(hour), tzinfo=UTC) for hour in tested]
    assert all(start >= split.train_end for start in starts)
    assert tested or len(days) == len(days[0]) == 1
    if len(days) > 1:
        assert {day for day, _ in trained}.isdisjoint({TODAY})
        assert len(trained) == 1 or sum(entry.record_count for entry in split.slices) <= cap
        every = [(one.logical_date, hour) for one in history[:-1] for hour in one.slices]
        assert trained == every[-len(trained) :]


def test_a_date_without_silver_is_named():
    history = make_history([[5]], 6)
    with pytest.raises(ContractError, match="no silver of 2024-04-20 to test on"):
        split_window(
            history, TrainingParameters(window_days=1, row_cap=9, train_share=0.5), TODAY + timedelta(days=1), None
        )


def test_no_flow_that_was_trained_on_is_tested(modelled_days):
    runs = {str(row["logical_date"])[:10]: row for row in modelled_days.records("training_events")}
    for day in (DAY_BEFORE, DAY):
        metrics = modelled_days.load("evaluation_metrics", logical_date=day)
        read = {each: modelled_days.load("silver_slices", logical_date=each) for each in (DAY_BEFORE, DAY)}
        trained = [
            read[one["logical_date"]][item["hour"]]() for one in runs[day]["input_objects"] for item in one["silver"]
        ]
        tested = [read[day][hour]() for hour in metrics["test_slices"]]
        keys = [np.concatenate([find_keys(events) for events in each]) for each in (trained, tested)]
        assert not np.isin(*keys).any()
        latest, earliest = (max(e["timestamp"].max() for e in trained), min(e["timestamp"].min() for e in tested))
        assert latest < earliest
        assert len(keys[0]) == runs[day]["record_count"] and len(keys[1]) == metrics["test_flows"]


def test_the_first_day_is_split_and_the_second_is_tested_whole(modelled_days):
    first, second = modelled_days.records("training_events")
    assert [one["logical_date"] for one in first["input_objects"]] == [DAY_BEFORE]
    assert [one["logical_date"] for one in second["input_objects"]] == [DAY_BEFORE]
    assert first["record_count"] < second["record_count"] == SMALL_DAY["generator__n_events"]
    assert modelled_days.load("evaluation_metrics")["test_flows"] == SMALL_DAY["generator__n_events"]


def test_the_row_names_the_exact_bytes_the_libraries_and_the_code(modelled_days):
    ingested = {row["object_uri"]: row["object_sha256"] for row in modelled_days.records("ingestion_events")}
    for row in modelled_days.records("training_events"):
        assert hashlib.sha256(modelled_days.stored(row["model_uri"])).hexdigest() == row["model_sha256"]
        for one in row["input_objects"]:
            assert one["silver"] and one["raw"]
            for item in (*one["silver"], *one["raw"]):
                assert hashlib.sha256(modelled_days.stored(item["uri"])).hexdigest() == item["sha256"]
            assert all(ingested[item["uri"]] == item["sha256"] for item in one["raw"])
        assert set(row["library_versions"]) >= {"numpy", "pandas", "pyarrow"}
        assert row["code_version"] == modelled_days.rows("pipeline_runs")["code_version"][0]
        assert row["feature_spec_sha256"] == storage.feature_spec_sha256()
        assert row["parameters"]["row_cap"] == 2_000_000


def test_the_same_silver_gives_the_same_model_and_another_window_another(modelled):
    stored = modelled.objects("models")
    assert modelled.run("training") == "SUCCESS"
    assert modelled.objects("models") == stored
    modelled.run("training", training__row_cap=1000)
    digests = [row["model_sha256"] for row in modelled.records("training_events")]
    assert digests[1] == digests[2] != digests[3]
    capped = modelled.records("training_events")[-1]
    (day,) = capped["input_objects"]
    assert capped["record_count"] <= 1000 and [item["hour"] for item in day["silver"]] == ["18"]
    modelled.run("training", training__window_days=0)
    (day,) = modelled.records("training_events")[-1]["input_objects"]
    assert day["logical_date"] == DAY and len(day["silver"]) < 4


def test_a_model_that_was_altered_is_refused_before_it_is_read_and_the_way_out_works(modelled, monkeypatch):
    uri = modelled.records("training_events")[-1]["model_uri"]
    modelled.damage(uri)
    with monkeypatch.context() as patch:
        patch.setattr(detection, "from_bytes", None)  # would fail differently, were the bytes taken for a model
        assert "was altered" in fails(modelled, "evaluation")
    modelled.remove(uri)
    assert "is registered and missing: run the pipeline that wrote it again" in fails(modelled, "evaluation")
    modelled.run("training")
    assert modelled.run("evaluation") == "SUCCESS"


def test_after_a_change_of_the_features_nothing_old_is_used_in_silence(modelled, monkeypatch):
    monkeypatch.setitem(storage.FEATURE_SPEC, "version", 99)
    advice = "has the columns of another feature specification: run `kedro backfill --stale"
    for stage in ("training", "scoring"):
        assert advice in fails(modelled, stage)
    assert modelled.run("transformation", **SMALL_DAY) == "SUCCESS"
    assert f"on {DAY_BEFORE} {advice}" in fails(modelled, "training")
    assert "the model was trained on feature specification" in fails(modelled, "scoring")
    modelled.run("transformation", **SMALL_DAY | {"logical_date": DAY_BEFORE})
    modelled.run("training", "evaluation", "registration", "scoring")
    (champion,) = [row for row in modelled.records("models") if row["status"] == "CHAMPION"]
    assert champion["reason"].startswith("the champion cannot score: the model was trained on feature specification")
