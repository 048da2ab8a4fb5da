"""Silver: its columns, its slices, and that it is made of exactly the committed bytes."""

import hashlib
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from conftest import DAY, IN_THREADS, hold_events
from hypothesis import given
from hypothesis import strategies as st

from network_anomalies.errors import explain
from network_anomalies.pipelines.transformation.nodes import add_silver_columns, transform_slices
from network_anomalies.records.silver_day import FEW_EVENTS, Slice

DURATIONS = st.sampled_from([0.0, 5e-324, 1e-300, 1e300]) | st.floats(0, 1e308)
SMALL = {"generator__n_events": 60, "transformation__slice_hours": 6}


def fails(project, pipeline, **params):
    with pytest.raises(Exception) as error:
        project.run(pipeline, **params)
    said = explain(error.value)
    assert "\n" not in said
    run = project.rows("pipeline_runs").sort_values("started_at").iloc[-1]
    assert (run["status"], run["error"]) == ("FAILED", said)
    return said


@given(st.lists(st.tuples(st.integers(0, 2**62), DURATIONS), min_size=1, max_size=8))
def test_a_rate_is_null_or_finite_and_null_where_no_time_passed(flows):
    sizes, durations = zip(*flows, strict=True)
    count = len(flows)
    events = pd.DataFrame(
        {
            "timestamp": pd.date_range(DAY, periods=count, freq="min", tz="UTC"),
            "src_ip": "10.0.0.1",
            "dst_ip": "10.0.0.2",
            "bytes": np.array(sizes, dtype="int64"),
            "duration": np.array(durations, dtype="float64"),
            "protocol": "TCP",
        }
    )
    rate = add_silver_columns(events)["bytes_per_second"]
    assert np.isfinite(rate.dropna()).all()
    assert rate[events["duration"] == 0].isna().all()
    ordinary = events["duration"].between(1e-6, 1e6)
    assert rate[ordinary].tolist() == (events["bytes"] / events["duration"])[ordinary].tolist()


@pytest.mark.parametrize(
    ("size", "category"),
    [(0, "small"), (499, "small"), (500, "medium"), (1499, "medium"), (1500, "large"), (2**62, "large")],
)
def test_a_size_falls_in_one_category_edges_included(make_events, size, category):
    silver = add_silver_columns(make_events(2, bytes=size))
    assert silver["flow_size_category"].tolist() == [category] * 2
    assert silver["flow_size_category"].cat.categories.tolist() == ["small", "medium", "large"]


def test_the_hour_is_that_of_the_utc_day(make_events):
    times = pd.to_datetime([f"{DAY}T{time}Z" for time in ("00:00:00.000000", "00:59:59.999999", "23:59:59.999999")])
    assert add_silver_columns(make_events(3, timestamp=times))["timestamp_hour"].tolist() == [0, 0, 23]


def test_a_slice_without_events_leaves_no_object(make_events, embedded):
    embedded.run()
    empty = Slice.of(hold_events(make_events(0)))
    reads = {"00": Slice.of(hold_events(make_events())), "01": empty, "02": empty}
    receipt = embedded.load("ingestion_events")
    parameters = embedded.load("params:transformation")
    made = transform_slices(reads, receipt, parameters, IN_THREADS, [])
    objects = [name for silver, _, _ in made for name in silver]
    assert [name.rpartition("_")[0] for name in objects] == ["silver_events_00"]


@pytest.mark.parametrize(("part_events", "hours"), [(7, 1), (60, 7), (25, 24)])
def test_silver_of_a_day_with_few_events_is_made_at_once_and_equal(embedded, part_events, hours):
    chosen = {"generator__n_events": 60, "generator__part_events": part_events, "transformation__slice_hours": hours}
    embedded.run(**chosen)
    slices, receipt = embedded.load("raw_slices", **chosen), embedded.load("ingestion_events", **chosen)
    parameters = embedded.load("params:transformation", **chosen)

    def make(record_count):
        objects = {}
        for silver, summary, record in transform_slices(
            slices, receipt.assign(record_count=record_count), parameters, IN_THREADS, []
        ):
            for name, read in (silver | summary).items():
                objects[record.kind, record.hour, record.hours] = read() if name in summary else to_rows(read())
        return objects

    def to_rows(data):
        return pd.read_parquet(BytesIO(data)).astype({"src_ip": "str", "dst_ip": "str", "protocol": "str"})

    few, many = make(1), make(FEW_EVENTS + 1)
    assert few.keys() == many.keys() and len(few) > 1
    assert few.pop(("summary", "", 0)) == many.pop(("summary", "", 0))
    for key, rows in few.items():
        pd.testing.assert_frame_equal(rows, many[key])


@pytest.mark.parametrize("part_events", [1, 7, 60])
def test_slices_hold_every_event_once_and_none_of_another_hour(embedded, part_events):
    embedded.run(**SMALL, generator__part_events=part_events)
    whole = embedded.load("raw_network_events")
    for hours in (1, 2, 5, 6, 7, 12, 24):
        slices = embedded.load("raw_slices", transformation__slice_hours=hours)
        read = {int(hour): events() for hour, events in slices.items()}
        assert sum(map(len, read.values())) == 60
        for hour, events in read.items():
            assert hour % hours == 0
            assert events["timestamp"].dt.hour.between(hour, min(hour + hours, 24) - 1).all()
        together = pd.concat([events.astype(whole.dtypes) for events in read.values()], ignore_index=True)
        pd.testing.assert_frame_equal(together, whole)


def test_silver_of_many_small_parts_is_one_frame(embedded):
    """The slices have few addresses each, so pandas writes codes of one byte; all together do not fit into one."""
    size = {"generator__n_events": 1_000, "generator__part_events": 50}
    embedded.run(**size)
    embedded.run("transformation", **size)
    assert len(embedded.load("silver_events", **size)) == 1_000


def test_silver_has_the_rows_that_were_accepted_and_its_row_the_hashes_of_the_bytes(ready):
    ready.run(**SMALL, generator__part_events=25)
    assert ready.run("transformation", **SMALL) == "SUCCESS"
    (row,) = ready.records("transformation_events")
    slices = ready.load("silver_slices")
    assert sum(len(read()) for read in slices.values()) == row["record_count"] == 60
    silver = ready.load("silver_events")
    assert len(silver) == 60 and silver["timestamp"].is_monotonic_increasing
    for item in (*row["output_objects"], *row["input_objects"]):
        assert hashlib.sha256(ready.stored(item["uri"])).hexdigest() == item["sha256"]
    current = ready.rows("current_objects")
    assert {item["uri"] for item in row["input_objects"]} == set(current["object_uri"])
    assert [item["kind"] for item in row["output_objects"]] == ["slice"] * len(slices) + ["summary"]
    assert row["size_bytes"] == sum(len(ready.stored(item["uri"])) for item in row["output_objects"])


def test_a_rerun_commits_nothing_new_and_a_correction_supersedes(embedded):
    assert embedded.run("ingestion", "transformation", **SMALL) == "SUCCESS"
    before, stored = embedded.rows("transformation_events"), embedded.objects("silver")
    assert embedded.run("transformation", **SMALL) == "UNCHANGED"
    assert embedded.rows("transformation_events").equals(before)
    assert embedded.objects("silver") == stored
    assert embedded.run("ingestion", "transformation", **SMALL, generator__seed=8) == "SUCCESS"
    rows = embedded.rows("transformation_events").sort_values("transformed_at")
    assert rows[["revision", "status"]].to_dict("split")["data"] == [[1, "SUPERSEDED"], [2, "SUCCESS"]]
    assert set(stored) < set(embedded.objects("silver"))
    rate = embedded.load("raw_network_events")["bytes"].sum()
    assert embedded.load("silver_events")["bytes"].sum() == rate


def test_another_cut_of_the_day_supersedes_and_is_what_readers_see(embedded):
    embedded.run("ingestion", "transformation", **SMALL)
    assert embedded.run("transformation", transformation__slice_hours=12) == "SUCCESS"
    assert set(embedded.load("silver_slices")) <= {"00", "12"}
    assert len(embedded.load("silver_events")) == 60


def test_what_no_batch_names_is_never_read(ready):
    ready.run(**SMALL)
    ready.run(**SMALL, generator__seed=8)
    lake, (current,) = ready.stores.lake, ready.records("current_objects")
    superseded = next(key for key in ready.objects() if not key.endswith(current["file_name"]))
    lake.pipe_file(superseded.replace("_0001_", "_0002_"), lake.cat_file(superseded))
    ready.run("transformation", **SMALL)
    (row,) = ready.records("transformation_events")
    assert row["record_count"] == 60
    assert [item["sha256"] for item in row["input_objects"]] == [current["object_sha256"]]


def test_a_raw_object_that_was_altered_is_named_and_nothing_committed(anywhere):
    anywhere.run(**SMALL)
    (uri,) = anywhere.rows("current_objects")["object_uri"]
    anywhere.damage(uri)
    said = fails(anywhere, "transformation", **SMALL)
    assert uri.rpartition("/")[2] in said and "was altered" in said
    assert anywhere.rows("transformation_events").empty
    assert anywhere.objects("silver") == []


@pytest.mark.parametrize(("harm", "said"), [("damage", "was altered"), ("remove", "is registered and missing")])
def test_silver_that_was_harmed_is_named_and_the_way_out_works(embedded, harm, said):
    embedded.run("ingestion", "transformation", **SMALL)
    (row,) = embedded.records("transformation_events")
    for item in row["output_objects"]:
        getattr(embedded, harm)(item["uri"])
    assert said in fails(embedded, "training", **SMALL)
    if harm == "damage":
        for item in row["output_objects"]:
            embedded.remove(item["uri"])
    assert embedded.run("transformation", **SMALL) == "UNCHANGED"
    assert embedded.run("training", **SMALL) == "SUCCESS"


def test_without_committed_events_the_run_fails_by_name(anywhere):
    assert "run the ingestion" in fails(anywhere, "transformation")
    assert anywhere.objects("silver") == []
