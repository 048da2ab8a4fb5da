"""A slice in pieces gives what the whole slice gives, however it is cut."""

import gc
import hashlib
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from unittest.mock import patch

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import DAY, DAY_BEFORE, SMALL_DAY, hold_events
from hypothesis import given, settings
from hypothesis import strategies as st

from network_anomalies.datasets.layers import NamedObject
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.time_slices import DayObjects, cut_slice, find_edges
from network_anomalies.detection import (
    DetectorLimits,
    add_context,
    describe_slice,
    fit,
    judge_pieces_of_slice,
    judge_slice,
    judge_talks,
    merge_packed,
    merge_summaries,
    pack_summary,
    remember,
    score,
    summarise,
    summarise_pieces,
)
from network_anomalies.detection.scoring import cells, storage
from network_anomalies.detection.scoring.piece_scores import average_pieces
from network_anomalies.detection.scoring.pieces import describe_pieces
from network_anomalies.detection.scoring.survey import survey_pieces
from network_anomalies.errors import ProjectError
from network_anomalies.events.parts import encode_part
from network_anomalies.records import silver_day
from network_anomalies.records.silver_day import Slice, join_slices

START = pd.Timestamp("2026-11-18 10:00", tz="UTC")
HOSTS = np.array([f"10.0.0.{number}" for number in range(1, 9)])


def draw_events(seed, count, seconds, ports=True):
    """Return flows among few hosts within some time from ``START`` on, in order; many share an instant."""
    draw = np.random.default_rng(seed)
    step = draw.choice([1, 1_000, 1_000_000, 7_000_000])
    micros = np.sort(draw.integers(0, max(seconds * 1_000_000 // step, 1), count)) * step
    events = pd.DataFrame(
        {
            "timestamp": START + pd.to_timedelta(micros, unit="us").as_unit("us"),
            "src_ip": pd.Categorical(draw.choice(HOSTS[: draw.integers(1, 5)], count)),
            "dst_ip": pd.Categorical(draw.choice(HOSTS[: draw.integers(1, 9)], count)),
            "bytes": np.exp(draw.normal(5, draw.choice([0.0, 1.0, 3.0]), count)).astype("int64"),
            "duration": np.round(draw.exponential(2, count), 3),
            "protocol": pd.Categorical(draw.choice(["TCP", "UDP", "ICMP"], count)),
        }
    )
    if ports:
        events = events.assign(
            src_port=draw.integers(1_024, 65_536, count).astype("int32"),
            dst_port=draw.choice([22, 53, 443, 8_080], count).astype("int32"),
            src_bytes=events["bytes"] // 3,
            dst_bytes=events["bytes"] - events["bytes"] // 3,
        )
    return events


def cut(events, edges):
    """Return the events between edges, places of rows from 0; they may be equal."""
    return [hold_events(events.iloc[first:end]) for first, end in pairwise([0, *sorted(edges), len(events)])]


@st.composite
def cut_slices(draw):
    count = draw(st.integers(1, 80))
    events = draw_events(
        draw(st.integers(0, 2**31)), count, draw(st.sampled_from([30, 600, 7_200])), draw(st.booleans())
    )
    return events, draw(st.lists(st.integers(0, count), max_size=6))


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-9, check_categorical=False)


def assert_same_summaries(found, expected):
    for name in ("conversations", "sizes"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtypes.map(str).tolist() == other.dtypes.map(str).tolist()
        pd.testing.assert_frame_equal(one, other, rtol=1e-9, atol=1e-9)


@given(cut_slices(), st.sampled_from([0, 20, 100_000]))
@settings(max_examples=25, deadline=None)
def test_silver_and_summary_are_those_of_whole_hours_however_a_slice_is_cut(case, pending):
    events, edges = case
    silver, summary = describe_slice(events)
    with patch.object(cells, "LEAST_PENDING", pending):
        pieces, merged = describe_pieces(cut(events, edges))
    assert_same(pd.concat(list(pieces), ignore_index=True), silver)
    assert_same_summaries(merged, summary)


@given(cut_slices(), st.integers(0, 2**31), st.sampled_from([120, 7_200, 30_000]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_scores_and_models_are_those_of_whole_hours(case, seed, past_seconds, inside):
    """The past is short, too: then blocks of time are of ten minutes, or of one."""
    events, edges = case
    past = draw_events(seed, 60, past_seconds)
    silver = add_context(events)
    known = silver if inside else add_context(past)
    history = remember(summarise(known))
    pieces = cut(silver, edges)
    model = fit([[lambda: known]], history)
    scores = score(silver, model, inside)["score"].to_numpy()
    survey = survey_pieces(pieces, history, inside)
    seen = []
    found = average_pieces(survey, model, inside, lambda judged, _: seen.append(judged))
    at = np.concatenate([judged.cells for judged in seen])
    np.testing.assert_allclose(found[at], scores, rtol=1e-9, atol=1e-9)
    if inside:
        same = fit([pieces], history)
        for name, masses in model.masses.items():
            assert np.array_equal(same.masses[name], masses), name
        assert same.alert_score == pytest.approx(model.alert_score, rel=1e-9)


@given(cut_slices(), st.integers(0, 2**31), st.booleans(), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_flows_and_conversations_are_judged_as_in_whole_hours(case, seed, has_past, share):
    """Findings of any kind may touch the flows; the alert score is low enough for some to be flagged."""
    events, edges = case
    silver = add_context(events)
    past = add_context(draw_events(seed, 60, 30_000))
    model = fit([[lambda: past]], remember(summarise(past)))
    level = float(np.quantile(score(silver, model)["score"], share))
    model = replace(model, alert_score=level + 1e-6)  # not the score of a conversation: its last digits may differ
    named = make_findings(events, seed)
    limits = DetectorLimits()
    scores, flagged = judge_slice(silver, model, named, has_past, limits)
    pieces = cut(silver, edges)
    found, same = judge_pieces_of_slice(pieces, model, named, has_past, limits, lambda frame: lambda: frame)
    read, judged = zip(*found, strict=True)
    assert_same(pd.concat(read, ignore_index=True), silver)
    judged = pd.concat([each.astype({"finding": "str"}) for each in judged], ignore_index=True)
    assert_same_scores(judged, scores.astype({"finding": "str"}))
    text = {"facet": "str"}  # of no rows pandas makes objects
    pd.testing.assert_frame_equal(same.astype(text), flagged.astype(text), rtol=1e-9, atol=1e-9)


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=24), st.sets(st.integers(0, 23)), st.sampled_from([1, 40, 200])
)
@settings(max_examples=60, deadline=None)
def test_joined_slices_are_their_neighbours_in_order_and_have_few_events(counts, cut_hours, few):
    """Slices in pieces stay alone, and so does one with many events."""
    hours = [f"{hour:02d}" for hour in range(len(counts))]
    frames = [draw_events(hour, count, 600).assign(hour=hour) for hour, count in enumerate(counts)]
    pieces = [cut(frame, [len(frame) // 2] if hour in cut_hours else []) for hour, frame in enumerate(frames)]
    slices = {hour: Slice.of(*reads) for hour, reads in zip(hours, pieces, strict=True)}
    with patch.object(silver_day, "FEW_EVENTS", few):
        joined = join_slices(slices, dict(zip(hours, counts, strict=True)))
    read = [each() for each in joined.values()]
    text = dict.fromkeys(("src_ip", "dst_ip", "protocol"), "str")
    found, expected = (pd.concat([each.astype(text) for each in some], ignore_index=True) for some in (read, frames))
    assert_same(found, expected)
    assert all(isinstance(frame["src_ip"].dtype, pd.CategoricalDtype) for frame in read)
    for hour, each in joined.items():
        following = next(other for other in [*joined, "24"] if other > hour)
        members = range(int(hour), min(int(following), len(counts)))
        assert len(members) == 1 or (sum(counts[place] for place in members) <= few and not cut_hours & set(members))
        if len(members) == 1 and int(hour) in cut_hours:
            assert each is slices[hour]


@given(st.integers(0, 2**31), st.lists(st.integers(1, 60), min_size=2, max_size=5))
@settings(max_examples=20, deadline=None)
def test_a_model_of_joined_slices_is_that_of_each(seed, counts):
    hours = [draw_events(seed + place, count, 3_000) for place, count in enumerate(counts)]
    parts = [
        add_context(part.assign(timestamp=part["timestamp"] + timedelta(hours=place)))
        for place, part in enumerate(hours)
    ]
    slices = {f"{place:02d}": Slice.of(hold_events(part)) for place, part in enumerate(parts)}
    history = remember(summarise(pd.concat([part.astype({"src_ip": "str", "dst_ip": "str"}) for part in parts])))
    (joined,) = join_slices(slices, dict(zip(slices, counts, strict=True))).values()
    one = fit([joined.find_pieces()], history)
    each = fit([some.find_pieces() for some in slices.values()], history)
    for name, masses in each.masses.items():
        assert np.array_equal(one.masses[name], masses), name
    assert one.alert_score == pytest.approx(each.alert_score, rel=1e-9)


def make_findings(events, seed):
    """Return findings about some of the flows, as the named detectors give them."""
    draw = np.random.default_rng(seed)
    rows = events.iloc[draw.integers(0, len(events), 4)]
    kinds = ["horizontal_scan", "ddos", "beaconing", "lateral_movement"]
    ends = rows["src_ip"].astype("str"), rows["dst_ip"].astype("str")
    at_destination = np.array(kinds) == "ddos"
    return pd.DataFrame(
        {
            "kind": kinds,
            "entity": np.where(at_destination, ends[1], ends[0]),
            "peer": np.where(draw.random(4) < 0.5, "", np.where(at_destination, ends[0], ends[1])),
            "protocol": np.where(draw.random(4) < 0.5, "", rows["protocol"].astype("str")),
            "service": draw.choice([-1, 53, 443], 4),
            "first_seen": rows["timestamp"].to_numpy(),
            "last_seen": rows["timestamp"].to_numpy(),
            "score": draw.uniform(50, 90, 4),
        }
    )


def assert_same_scores(found, expected):
    """Facets that are all but equal may change places."""
    numbers = ["score", "surprise_1", "surprise_2", "surprise_3"]
    np.testing.assert_allclose(found[numbers], expected[numbers], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-9, atol=1e-9)
    assert list(found["finding"]) == list(expected["finding"])
    assert list(found.columns) == list(expected.columns)
    apart = expected["surprise_1"] > expected["surprise_2"] + 1e-6
    assert found["facet_1"].astype("str")[apart].tolist() == expected["facet_1"].astype("str")[apart].tolist()


def test_gaps_that_are_all_but_equal_keep_their_spread_to_the_last_digits():
    """Sums of squares would lose it: of gaps of an hour that differ by a millisecond, all digits cancel."""
    micros = np.cumsum(np.tile([9_000_000, 9_001_000], 300))
    events = draw_events(1, 600, 3_600).assign(
        timestamp=START + pd.to_timedelta(micros, unit="us").as_unit("us"), src_ip=HOSTS[0], dst_ip=HOSTS[1]
    )
    silver, summary = describe_slice(events)
    pieces, merged = describe_pieces(cut(events, range(7, 600, 7)))
    found = pd.concat(list(pieces))["pair_gap_spread_hour"].to_numpy()
    assert 0 < found.min() < 1e-3
    np.testing.assert_allclose(found, silver["pair_gap_spread_hour"], rtol=1e-9)
    np.testing.assert_allclose(merged.conversations["gap_squares"], summary.conversations["gap_squares"], rtol=1e-9)


@given(st.lists(st.integers(0, 3_599_999_999), min_size=1, max_size=60), st.integers(1, 9), st.booleans())
@settings(max_examples=80, deadline=None)
def test_pieces_hold_no_more_events_than_asked_for_unless_these_share_an_instant(micros, rows, crowded):
    times = np.sort(np.array(micros) // 10**8 * 7 if crowded else micros)
    start = START.to_pydatetime()

    def count(span, width):
        first, end, step = ((time - start) // timedelta(microseconds=1) for time in (*span, start + width))
        inside = times[(times >= first) & (times < end)]
        return np.bincount((inside - first) // step, minlength=(end - first) // step)

    edges = find_edges(count, (start, start + timedelta(hours=1)), rows)
    begins = [(edge - start) // timedelta(microseconds=1) for edge in edges]
    assert begins == sorted(set(begins)) and begins[0] <= times[0]
    held = np.bincount(np.searchsorted(begins, times, side="right") - 1, minlength=len(begins))
    assert held.min() > 0
    for place, events in enumerate(held):
        inside = times[np.searchsorted(begins, times, side="right") - 1 == place]
        assert events <= rows or len(set(inside)) == 1


def test_stored_silver_in_pieces_is_that_of_whole_hours(embedded):
    embedded.run("ingestion", "transformation", generator__n_events=1_500)
    whole = {name: embedded.load(name) for name in ("silver_events", "silver_slices", "day_summary")}
    assert embedded.run("transformation", transformation__slice_rows=40) == "SUCCESS"
    former, row = sorted(embedded.records("transformation_events"), key=lambda row: row["transformed_at"])
    assert not any("piece" in item for item in former["output_objects"])
    pieces = {}
    for item in row["output_objects"][:-1]:
        assert 0 < item["record_count"] <= 40
        pieces.setdefault(item["hour"], []).append(item.get("piece"))
    assert max(map(len, pieces.values())) > 2
    assert all(numbers in ([None], list(range(1, len(numbers) + 1))) for numbers in pieces.values())
    silver = embedded.load("silver_events")
    assert_same(silver, whole["silver_events"])
    assert list(embedded.load("silver_slices")) == list(whole["silver_slices"])
    read = [each() for each in embedded.load("silver_slices").values()]
    assert_same(pd.concat([each.astype(silver.dtypes) for each in read], ignore_index=True), silver)
    assert_same_summaries(embedded.load("day_summary"), whole["day_summary"])
    assert embedded.invoke("verify").returncode == 0
    span = {"hunting__start": f"{DAY}T10:20", "hunting__end": f"{DAY}T11:50"}
    flows = embedded.load("flows", hunting__layer="silver", **span)
    within = silver["timestamp"].between(f"{DAY} 10:20Z", f"{DAY} 11:50Z", inclusive="left")
    assert len(flows.df()) == within.sum() > 40


def test_a_minute_that_is_larger_than_a_piece_is_cut_and_counted_as_one(embedded):
    chosen = {"generator__n_events": 120, "transformation__slice_hours": 24}
    embedded.run("ingestion", "transformation", **chosen)
    silver, summary = embedded.load("silver_events"), embedded.load("day_summary")
    embedded.run("transformation", transformation__slice_hours=24, transformation__slice_rows=1)
    (row,) = [row for row in embedded.records("transformation_events") if row["status"] == "SUCCESS"]
    assert [item.get("piece") for item in row["output_objects"]] == [*range(1, 121), None]
    assert_same(embedded.load("silver_events"), silver)
    assert_same_summaries(embedded.load("day_summary"), summary)


def test_raw_parts_that_are_not_in_order_of_time_give_equal_silver(tmp_path):
    events = draw_events(3, 4_000, 3_600)
    end, objects = START + pd.Timedelta(hours=1), []
    for part, rows in enumerate(np.array_split(np.random.default_rng(4).permutation(4_000), 3)):
        data = encode_part(pa.Table.from_pandas(events.iloc[rows], preserve_index=False), {})
        (tmp_path / f"{part}.parquet").write_bytes(data)
        objects.append(
            NamedObject(f"{part}.parquet", hashlib.sha256(data).hexdigest(), first=START, last=end, rows=1_400)
        )
    stored = DayObjects(CheckedObjects(fsspec.filesystem("file")), str(tmp_path), objects)
    pieces = cut_slice(stored, (START.to_pydatetime(), end.to_pydatetime()), 150)
    assert len(pieces) > 20
    found, merged = describe_pieces(pieces)
    silver, summary = describe_slice(events)
    keys = list(events.columns)
    found = pd.concat([piece.astype(silver.dtypes) for piece in found]).sort_values(keys, ignore_index=True)
    assert_same(found, silver.sort_values(keys, ignore_index=True))
    assert_same_summaries(merged, summary)


def test_models_measures_scores_and_alerts_of_days_in_pieces_are_those_of_whole_hours(modelled):
    names = ("evaluation_metrics", "scores", "alerts", "score_distribution", "day_profiles")
    whole = {name: modelled.load(name) for name in names}
    days = {day: read() for day, read in whole.pop("day_profiles").items()}
    plot = whole.pop("score_distribution").to_dict()
    trained = modelled.records("training_events")[-1]
    for day in (DAY_BEFORE, DAY):
        modelled.run("modelling", logical_date=day, transformation__slice_rows=150, **SMALL_DAY)
    latest = [row for row in modelled.records("transformation_events") if row["status"] == "SUCCESS"]
    assert all(max(item.get("piece", 0) for item in row["output_objects"]) > 2 for row in latest)
    again = modelled.records("training_events")[-1]
    assert len(again["input_objects"][0]["silver"]) > len(trained["input_objects"][0]["silver"])
    sketch = "reference_scores"
    assert again["parameters"][sketch] == pytest.approx(trained["parameters"][sketch], rel=1e-9)
    metrics = modelled.load("evaluation_metrics")
    assert_alike(metrics, whole["evaluation_metrics"])
    scores = modelled.load("scores")
    assert len(scores) == metrics["test_flows"] == len(whole["scores"])
    left_out = ["model_sha256"]
    assert_same_scores(scores.drop(columns=left_out), whole["scores"].drop(columns=left_out))
    about = ["kind", "entity", "peer", "flows", "severity", "sentence", "first_seen", "last_seen"]
    pd.testing.assert_frame_equal(modelled.load("alerts")[about], whole["alerts"][about])
    assert {day: read() for day, read in modelled.load("day_profiles").items()}.keys() == days.keys()
    assert_alike(modelled.load("score_distribution").to_dict()["data"], plot["data"])
    assert modelled.invoke("verify").returncode == 0


def assert_alike(found, expected):
    """Compare JSON; numbers may differ in their last digits, and digests of models are left out."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            if not name.endswith(("_sha256", "champion", "champion_note")):
                assert_alike(found[name], expected[name])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9)
    else:
        assert found == expected


@given(st.lists(cut_slices(), min_size=1, max_size=4), st.sampled_from([0, storage.FEW_BYTES]))
@settings(max_examples=25, deadline=None)
def test_packed_summaries_merge_to_the_bytes_of_the_merged_summary(cases, few_bytes):
    shift = pd.Timedelta(hours=3)
    days = [case[0].assign(timestamp=case[0]["timestamp"] + place * shift) for place, case in enumerate(cases)]
    parts = [summarise(events) for events in [days[0].iloc[:0], *days]]
    with patch.object(storage, "FEW_BYTES", few_bytes):
        assert merge_packed([pack_summary(part) for part in parts]) == pack_summary(merge_summaries(parts))
        with pytest.raises(ProjectError, match="share an hour"):
            merge_packed([pack_summary(part) for part in [*parts, parts[1]]])


def measure_peak(work):
    """Return the most memory that Python and numpy held during some work."""
    gc.collect()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def make_slice_of(count, rows):
    """Return functions that give a new copy of ``rows`` flows each, pieces of an hour; what they copy is drawn here."""
    width = 3_600 // count
    events = add_context(draw_events(7, rows, width, ports=False))
    later = [events["timestamp"] + pd.Timedelta(seconds=place * width) for place in range(count)]
    return [partial(events.assign(timestamp=times).copy) for times in later]


def test_memory_follows_the_rows_of_a_piece_and_not_those_of_the_slice():
    rows, past = 8_000, make_slice_of(16, 8_000)
    model = fit([past], remember(summarise_pieces(past)))
    named, limits = make_findings(past[0](), 1).iloc[:0], DetectorLimits()

    def describe(pieces):
        for _ in describe_pieces(pieces)[0]:
            pass

    def join(pieces):
        describe_slice(pd.concat([piece() for piece in pieces], ignore_index=True))

    works = {
        "silver": describe,
        "training": lambda pieces: fit([pieces], model.history),
        "evaluation": lambda pieces: judge_talks(pieces, model, named, True, limits),
    }
    for name, work in works.items():
        few, many = (measure_peak(partial(work, make_slice_of(count, rows))) for count in (2, 16))
        assert many < 1.15 * few, name
    few, many = (measure_peak(partial(join, make_slice_of(count, rows))) for count in (2, 16))
    assert many > 4 * few  # that is what whole hours take
