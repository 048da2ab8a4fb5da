"""The gate: every row has one fate, nothing that breaks the contract is accepted, and the batch is accounted for."""

import hashlib
import io
import logging
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import DAY, IN_THREADS, generator_parameters
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from network_anomalies.datasets import CollectedDataset
from network_anomalies.errors import ContractError
from network_anomalies.events.contract import (
    COLUMNS,
    CONTRACT_VERSION,
    OPTIONAL_COLUMNS,
    coerce_events,
    find_violations,
)
from network_anomalies.events.parts import digest_content, find_duplicates, to_canonical_table
from network_anomalies.parameters import GateParameters
from network_anomalies.pipelines.ingestion import create_pipeline
from network_anomalies.pipelines.ingestion.account import (
    assemble_batch,
    check_quality,
    preview_batch,
    summarise_quality,
)
from network_anomalies.pipelines.ingestion.gate import judge_events, validate_events
from network_anomalies.records.batch import (
    FATES,
    EventPart,
    LineCounts,
    QualityReport,
    RejectsObject,
    SourceFile,
    SourceReport,
    add_counts,
)

TODAY = date.fromisoformat(DAY)
GATE = GateParameters(max_rejected_share=0.5, drop_duplicates=False, preview_rows=2)
SYNTHETIC = SourceReport("synthetic", None, "0" * 64)
NOTHING_STORED = pd.DataFrame(
    columns=["part", "content_sha256", "contract_version", "object_sha256", "file_name", "size_bytes"]
)
WHO = {"source": "synthetic", "logical_date": TODAY}
WORK = {"workers": IN_THREADS, "part_folders": []}

START = datetime(2024, 4, 19, tzinfo=UTC)
ALIKE = [st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.datetimes(), st.none()]
DECIMALS = st.decimals().filter(lambda number: not number.is_snan())
MIXED = st.one_of(*ALIKE, DECIMALS)
TYPICAL = {
    "timestamp": st.sampled_from([START, DAY, "2024-04-18T23:59:59Z", pd.Timestamp("2024-04-20", tz="UTC")]),
    "src_ip": st.sampled_from(["10.0.0.1", "::1"]),
    "dst_ip": st.just("10.0.0.2"),
    "bytes": st.sampled_from([0, 1.0, "2", -1]),
    "duration": st.sampled_from([0, 0.5, "0.5"]),
    "protocol": st.sampled_from(["TCP", "UDP"]),
    "src_port": st.sampled_from([None, 1, 65_536]),
    "packets": st.sampled_from([None, 1]),
}


@st.composite
def frames(draw: Callable) -> pd.DataFrame:
    rows = draw(st.integers(0, 8))
    odd = draw(st.dictionaries(st.sampled_from(list(TYPICAL)), st.sampled_from([MIXED, *ALIKE]), max_size=2))
    names = set(TYPICAL) - draw(st.sets(st.sampled_from([*OPTIONAL_COLUMNS, "bytes"]), max_size=1))
    columns = {name: draw(st.lists(odd.get(name, TYPICAL[name]), min_size=rows, max_size=rows)) for name in names}
    return pd.DataFrame(
        {name: pd.Series(each, dtype=draw(st.sampled_from([object, None]))) for name, each in columns.items()}
    )


def fetch(part: tuple) -> tuple:
    """Return what a yield gives with the bytes that its functions return, as datasets save them."""
    *objects, report = part
    return *({name: read() for name, read in saved.items()} for saved in objects), report


def number(reads: dict[str, Callable[[], pd.DataFrame]]) -> dict[str, EventPart]:
    return {str(part): EventPart(read) for part, read in enumerate(reads.values(), start=1)}


def validate(*parts: pd.DataFrame, stored: pd.DataFrame = NOTHING_STORED, gate: GateParameters = GATE) -> list:
    reads = {str(place): (lambda part=part: part) for place, part in enumerate(parts)}
    return [fetch(part) for part in validate_events(number(reads), SYNTHETIC, stored, gate, **WHO, **WORK)]


def measure_held(events: pd.DataFrame, parts: int, keep: Callable) -> int:
    """Return the bytes that are held after parts that hold the same events, of which ``keep`` keeps something."""
    reads = {str(place): (lambda: events) for place in range(parts)}
    kept = []
    tracemalloc.start()
    for part in validate_events(number(reads), SYNTHETIC, NOTHING_STORED, GATE, **WHO, **WORK):
        kept.append(keep(part))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == parts
    return held


def test_what_was_saved_is_let_go_and_nothing_that_was_yielded_changes(make_events):
    reads = {str(place): partial(make_events, bytes=[1, -1, place]) for place in range(3)}
    parts = []
    for part in validate_events(number(reads), SYNTHETIC, NOTHING_STORED, GATE, **WHO, **WORK):
        parts.append((part, [list(saved) for saved in part[:3]], fetch(part)))
    for part, names, (*contents, _) in parts:
        assert [list(saved) for saved in part[:3]] == names
        assert all(len(saved) == 1 for saved in (*part[:3], *contents))
        for read in (read for saved in part[:3] for read in saved.values()):
            with pytest.raises(KeyError):
                read()


def test_what_is_held_does_not_grow_with_the_parts_though_all_yields_are(make_events):
    """As Kedro does: its streams hold up to 57 yields."""
    events = make_events(
        50_000, duration=np.random.default_rng(7).random(50_000), src_ip="::1", timestamp=f"{DAY}T08:00Z"
    )
    ((_, raw, *_),) = validate(events)
    size = sum(map(len, raw.values()))
    assert size > 300_000
    assert measure_held(events, 12, keep=lambda part: part) < 3 * size
    assert measure_held(events, 12, keep=fetch) > 12 * size


def summarise(*parts: pd.DataFrame, source_report: SourceReport = SYNTHETIC) -> tuple[list, QualityReport]:
    reports = [report for *_, report in validate(*parts)]
    return reports, summarise_quality(reports, source_report, **WHO, run_id="run-1")


@given(events=frames(), drop=st.booleans())
def test_every_row_of_any_frame_has_one_fate(events, drop):
    before = events.copy(deep=True)
    try:
        judged = judge_events(events, TODAY, drop)
    except ContractError:
        assert not set(COLUMNS) <= set(events.columns)
        return
    assert judged.counts.lines_in == len(events) == sum(getattr(judged.counts, fate) for fate in FATES)
    assert (judged.accepted.num_rows, len(judged.rejects)) == (judged.counts.accepted, judged.counts.rejected)
    assert find_violations(coerce_events(judged.accepted.to_pandas()), TODAY).empty
    assert judged.rejects["row"].is_unique
    pd.testing.assert_frame_equal(events, before)


def test_a_rejected_row_keeps_its_text_and_says_why(make_events):
    part = make_events(src_ip=["10.0.0.1", "nowhere", "10.0.0.3"], bytes=["1", "2", "-3"], timestamp=f"{DAY} 08:00:00")
    ((quarantine, *_, report),) = validate(part)
    (name, data), *_ = quarantine.items()
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    assert name.startswith("quarantined_events_0001_")
    kept = {"timestamp": f"{DAY} 08:00:00", "dst_ip": "192.0.2.1", "duration": "0.5", "protocol": "TCP"}
    kept |= {"part": 1}
    reasons = [row.pop("reason") for row in rows]
    assert rows == [
        kept | {"src_ip": "nowhere", "bytes": "2", "row": 1, "rule": "src_ip_invalid"},
        kept | {"src_ip": "10.0.0.3", "bytes": "-3", "row": 2, "rule": "bytes_invalid"},
    ]
    assert reasons[0] == "src_ip is nowhere: must be an IPv4 or IPv6 address"
    assert report.rules == {"src_ip_invalid": 1, "bytes_invalid": 1}
    assert report.object.rejected_count == 2


def test_the_same_rejects_are_the_same_object_and_others_another(make_events):
    first, again, other = (validate(make_events(src_ip=text))[0] for text in ("x", "x", "y"))
    assert first[0] == again[0]
    assert len(first[0]) == 1 and not set(first[0]) & set(other[0])
    assert first[-1].rejects == again[-1].rejects


def test_the_row_of_rejects_says_which_bytes_they_are(make_events):
    ((quarantine, *_, report),) = validate(make_events(src_ip=["x", "10.0.0.1", "y"]))
    ((name, data),) = quarantine.items()
    digest = hashlib.sha256(data).hexdigest()
    assert report.rejects == RejectsObject(1, f"{name}.parquet", 2, len(data), digest)
    assert name.endswith(digest[:12])


@pytest.mark.parametrize(("drop", "dropped", "accepted"), [(False, 0, 5), (True, 2, 3)])
def test_exact_duplicates_are_counted_and_dropped_only_if_asked(make_events, drop, dropped, accepted):
    events = pd.concat([make_events(), make_events(2)])
    judged = judge_events(events, TODAY, drop)
    counts = judged.counts
    assert (counts.duplicates, counts.duplicates_dropped, counts.accepted) == (2, dropped, accepted)
    assert find_duplicates(judged.accepted).sum() == 2 - dropped


def test_a_part_is_offered_to_raw_as_the_same_bytes_as_the_local_copy(make_events):
    ((quarantine, local, raw, report),) = validate(make_events())
    ((name, data),) = raw.items()
    assert (quarantine, local) == ({}, raw)
    assert report.object.file_name == f"{name}.parquet"
    assert report.object.object_sha256 == hashlib.sha256(data).hexdigest()
    assert report.object.content_sha256 == digest_content(to_canonical_table(make_events()))
    footer = pq.read_metadata(io.BytesIO(data)).metadata
    assert (footer[b"source"], footer[b"logical_date"]) == (b"synthetic", DAY.encode())
    assert b"run_id" not in footer


def test_a_part_stored_under_other_bytes_is_not_stored_again(make_events):
    ((*_, report),) = validate(make_events())
    older = replace(report.object, object_sha256="0" * 64, file_name="old.parquet", size_bytes=9)
    stored = pd.DataFrame([asdict(older)]).assign(contract_version=CONTRACT_VERSION)
    ((_, local, raw, again),) = validate(make_events(), stored=stored)
    assert (local, raw) == ({}, {})
    assert again.object == older


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"content_sha256": "other", "object_sha256": "other"},
        {"part": 2},
        {"contract_version": "1.0.0", "object_sha256": "other"},
    ],
)
def test_a_part_with_equal_bytes_or_without_a_stored_twin_is_offered(make_events, change):
    ((_, _, first, report),) = validate(make_events())
    version = {"contract_version": CONTRACT_VERSION}
    ((_, local, raw, again),) = validate(make_events(), stored=pd.DataFrame([asdict(report.object) | version | change]))
    assert local == raw == first
    assert again.object == report.object


def test_a_part_without_a_good_row_gives_no_object(make_events):
    ((quarantine, local, raw, report),) = validate(make_events(protocol="x"))
    assert (len(quarantine), local, raw, report.object) == (1, {}, {}, None)


def test_parts_are_read_when_they_are_needed_and_at_most_two_ahead(make_events):
    read = []
    parts = {str(place): (lambda place=place: read.append(place) or make_events()) for place in range(6)}
    results = validate_events(number(parts), SYNTHETIC, NOTHING_STORED, GATE, **WHO, **WORK)
    assert read == []
    for place, (*_, report) in enumerate(results, start=1):
        assert report.part == place
        assert len(read) <= place + 2
    assert sorted(read) == list(range(6))


def test_a_part_that_cannot_be_read_stops_the_gate_with_its_own_error(make_events):
    parts = {"1": make_events, "2": lambda: 1 // 0, "3": make_events}
    results = validate_events(number(parts), SYNTHETIC, NOTHING_STORED, GATE, **WHO, **WORK)
    assert next(results)[-1].part == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def report_file(**counts: int) -> SourceReport:
    """Return the report of a batch of one log file."""
    known = dict.fromkeys(("not_a_flow", "unparsable", "early", "late", "imputed"), 0)
    file = SourceFile(path="a.log", size_bytes=90, sha256="f" * 64, **{"truncated": False} | known | counts)
    return SourceReport("logs", "zeek", "0" * 64, [file], add_counts([file.counts]))


def test_the_account_adds_up_parts_and_files(make_events):
    source_report = report_file(lines=9, not_a_flow=2, unparsable=1, early=1, late=1, imputed=1, truncated=True)
    lines = pd.DataFrame(
        {"file": ["a.log"], "line": [9], "text": ["x"], "reason": ["y"], "format": "zeek", "header": "{}"}
    )
    parts = {
        "1": EventPart(partial(make_events, 2, bytes=[1, -1]), ["a.log"]),
        "2": EventPart(partial(make_events, 2), ["a.log"]),
    }
    parts["3"] = EventPart(lambda: lines, ["a.log"], unparsable=True)
    judged = list(validate_events(parts, source_report, NOTHING_STORED, GATE, **WHO, **WORK))
    reports = [report for *_, report in judged]
    assert [report.rejects and report.rejects.record_count for report in reports] == [1, None, 1]
    quality = summarise_quality(reports, source_report, "synthetic", TODAY, "run-1")
    fates = {"not_a_flow": 2, "unparsable": 1, "early": 1, "late": 1, "rejected": 1, "accepted": 3}
    assert quality.counts == LineCounts(lines_in=9, imputed=1, **fates)
    assert (quality.rules, quality.rejected_share) == (
        {"bytes_invalid": 1, "unparsable": 1},
        pytest.approx((1 + 4 / 6) / (4 + 4 / 6)),
    )
    assert quality.truncated_files == ["a.log"]


def test_an_account_that_does_not_balance_is_refused(make_events):
    with pytest.raises(ContractError, match="4 lines came in"):
        summarise(make_events(), source_report=report_file(lines=4))


def test_a_batch_sums_up_its_objects(make_events):
    reports, quality = summarise(make_events(2), make_events(2, bytes=-1), make_events())
    batch = assemble_batch(reports, quality, SYNTHETIC, after_quality_report=None)
    assert (batch.counts.accepted, batch.counts.rejected, batch.counts.lines_in) == (5, 2, 7)
    assert [(item.part, item.record_count) for item in batch.objects] == [(1, 2), (3, 3)]
    assert [(item.part, item.record_count) for item in batch.rejects] == [(2, 2)]
    assert (batch.run_id, batch.source, batch.logical_date) == ("run-1", "synthetic", TODAY)
    assert (batch.contract_version, batch.origin) == (CONTRACT_VERSION, SYNTHETIC)
    assert [item.max_timestamp - START for item in batch.objects] == [timedelta(seconds=61), timedelta(seconds=121)]


def test_too_large_a_share_of_rejects_is_refused_by_rule(make_events):
    reports, quality = summarise(make_events(4, bytes=[1, -1, -1, 1]))
    assert check_quality(reports, quality, GATE)["rejected_share"] == 0.5
    with pytest.raises(
        ContractError, match=r"50\.0%.*bytes_invalid 2.*49\.0%.*see quarantined_events_0001_\w+\.parquet"
    ):
        check_quality(reports, quality, GATE.model_copy(update={"max_rejected_share": 0.49}))


@pytest.mark.parametrize("day", ["2024-04-18", "2024-04-20"])
def test_a_batch_without_an_event_is_refused(make_events, day):
    for parts in ([], [make_events(timestamp=f"{day}T12:00:00Z")]):
        reports, quality = summarise(*parts)
        with pytest.raises(ContractError, match=f"no events of synthetic on {DAY} among {3 * len(parts)} lines"):
            check_quality(reports, quality, GATE)


def test_the_preview_logs_the_first_events_and_the_account(make_events, caplog):
    reports, quality = summarise(make_events(4, bytes=[11, 22, -1, 33]))
    with caplog.at_level(logging.INFO, "network_anomalies"):
        preview_batch(reports, replace(quality, truncated_files=["cut.log"]))
    assert len(reports[0].head) == GATE.preview_rows
    assert all(text in caplog.text for text in ("10.0.0.2", "rule bytes_invalid", "cut.log ends in the middle"))
    assert "10.0.0.4" not in caplog.text


class KeptBytes(AbstractDataset):
    """Fetches the bytes when they are saved, as the datasets of the catalog do, and keeps them."""

    def __init__(self):
        self.kept = []

    def save(self, data):
        self.kept += [read() for read in data.values()]

    def load(self):
        return self.kept

    def _describe(self):
        return {}


def test_the_pipeline_takes_synthetic_events_to_an_account_of_them():
    generator = generator_parameters(n_events=25, part_events=10)
    given_data = {"params:generator": generator, "params:gate": GATE, "current_objects": NOTHING_STORED}
    given_data |= {f"params:{name}": value for name, value in (WHO | {"run_id": "run-1"}).items()}
    given_data |= {"params:workers": IN_THREADS, "part_folders": []}
    catalog = DataCatalog({name: MemoryDataset(data, copy_mode="assign") for name, data in given_data.items()})
    for name in ("quarantined_events", "ingested_events", "raw_parts"):
        catalog[name] = KeptBytes()
    catalog["part_reports"] = CollectedDataset()
    for name in ("synthetic_day", "event_parts", "source_report", "quality_summary", "quality_report"):
        catalog[name] = MemoryDataset(copy_mode="assign")
    SequentialRunner().run(create_pipeline().to_outputs("quality_report"), catalog)
    assert catalog.load("quality_report")["counts"]["accepted"] == 25
    assert [pq.read_metadata(io.BytesIO(data)).num_rows for data in catalog.load("raw_parts")] == [8, 8, 9]
