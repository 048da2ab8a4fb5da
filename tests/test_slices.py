"""From log files to time slices: nothing lost, nothing twice, however the files are cut."""

import hashlib
import io
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa
import pytest
from conftest import DAY, IN_THREADS, SHARED
from hypothesis import given
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS
from network_anomalies.events.parts import digest_content, to_canonical_table
from network_anomalies.formats import FORMATS, LogFile
from network_anomalies.formats.log_file import Reading
from network_anomalies.formats.slices import (
    DAY_SECONDS,
    SECOND,
    LogIndex,
    index_logs,
    plan_slices,
    plan_unparsable,
    read_slice,
    read_unparsable,
    start_of,
)
from network_anomalies.formats.zeek import REQUIRED
from network_anomalies.parameters import GateParameters, LogsParameters, MissingParameters
from network_anomalies.pipelines.ingestion.sources import index_log_files, slice_logs

GATE = GateParameters(max_rejected_share=0.5, drop_duplicates=False, preview_rows=2)
TODAY = date.fromisoformat(DAY)
START = start_of(TODAY)
END = START + DAY_SECONDS * SECOND
HEADER = b"#fields\t" + "\t".join((*REQUIRED, "note")).encode() + b"\n"
INSTANTS = st.sampled_from([START - 1, START, START + 1, START + SECOND, END - 1, END]) | st.integers(START, END - 1)
REAL_LOGS = SHARED / "data/unlabelled"
REAL_DIGEST = "48fdcaaf6b5625d703a66f8159ad8b0723b219a87897022a7093e8bbf362ea1f"
NEXT = TODAY + timedelta(days=1)
LOGS = LogsParameters(
    path="x",
    format="auto",
    columns=list(OPTIONAL_COLUMNS),
    missing=MissingParameters(duration="zero", bytes="reject"),
    timezone="UTC",
    mapping=None,
    skip_foreign=False,
    part_events=10,
    block_bytes=2**20,
)
FATES = ("not_a_flow", "unparsable", "early", "late")


def flow(micros: int, host: int = 1, duration: str = "0.5") -> bytes:
    return f"{micros // SECOND}.{micros % SECOND:06d}\t10.0.0.{host}\t::1\ttcp\t{duration}\t1\t2\tx\n".encode()


FLOWS = st.builds(lambda micros, host: (flow(micros, host), micros), INSTANTS, st.integers(1, 3))
OTHERS = st.sampled_from([b"#close\tnow\n", b"\n", b"garbage\n", flow(START).replace(b"17", b"x", 1), HEADER])
LINES = st.lists(FLOWS | OTHERS.map(lambda line: (line, None)), min_size=1, max_size=25)
BLOCKS = st.integers(len(HEADER), 3 * len(HEADER))


def to_file(data: bytes, log_format: str = "zeek") -> LogFile:
    return LogFile(partial(io.BytesIO, data), log_format, FORMATS[log_format])


def read_index(files: dict[str, LogFile], block_bytes: int = 2**20, **reading) -> LogIndex:
    return index_logs(files, Reading(TODAY, block_bytes=block_bytes, **reading))


def to_files(lines: list[bytes], cuts: set[int] | frozenset[int] = frozenset()) -> dict[str, LogFile]:
    edges = sorted({0, len(lines), *(cut for cut in cuts if cut < len(lines))})
    return {
        f"{place}.log": to_file(HEADER + b"".join(lines[first:last]))
        for place, (first, last) in enumerate(pairwise(edges))
    }


def to_slices(files: dict, block_bytes: int, slice_events: int) -> list[pa.Table]:
    index = read_index(files, block_bytes)
    spans = [[START + SECOND * edge for edge in span] for span in plan_slices(index.seconds, slice_events)]
    return [pa.Table.from_pandas(read_slice(index, (), tuple(span)), preserve_index=False) for span in spans]


def to_micros(table: pa.Table) -> list[int]:
    return table["timestamp"].cast(pa.int64()).to_pylist()


@given(lines=LINES, cuts=st.sets(st.integers(1, 24)), block_bytes=BLOCKS)
def test_every_line_has_one_fate(lines, cuts, block_bytes):
    files = to_files([line for line, _ in lines], cuts)
    index = read_index(files, block_bytes)
    instants = [micros for _, micros in lines if micros is not None]
    totals = {name: sum(getattr(file, name) for file in index.files) for name in ("lines", *FATES)}
    assert totals["lines"] == len(lines) + len(files)
    assert totals["lines"] == sum(totals[fate] for fate in FATES) + index.seconds.sum()
    assert totals["early"] == sum(micros < START for micros in instants)
    assert totals["late"] == sum(micros >= END for micros in instants)
    seconds = [(micros - START) // SECOND for micros in instants if START <= micros < END]
    np.testing.assert_array_equal(index.seconds, np.bincount(np.array(seconds, dtype=int), minlength=DAY_SECONDS))


@given(lines=LINES, cuts=st.sets(st.integers(1, 24)), block_bytes=BLOCKS, slice_events=st.integers(1, 30))
def test_slices_hold_the_days_flows_once_and_in_order_of_time(lines, cuts, block_bytes, slice_events):
    slices = to_slices(to_files([line for line, _ in lines], cuts), block_bytes, slice_events)
    expected = sorted(micros for _, micros in lines if micros is not None and START <= micros < END)
    assert sorted(chain.from_iterable(map(to_micros, slices))) == expected
    for earlier, later in pairwise(slices):
        assert max(to_micros(earlier)) // SECOND < min(to_micros(later)) // SECOND


@given(lines=LINES, cuts=st.sets(st.integers(1, 24)), block_bytes=BLOCKS, slice_events=st.integers(1, 30))
def test_slices_are_the_same_however_the_files_were_cut_and_read(lines, cuts, block_bytes, slice_events):
    raw = [line for line, _ in lines]
    one_file, many, backwards = (
        [digest_content(to_canonical_table(table)) for table in to_slices(files, size, slice_events)]
        for files, size in ((to_files(raw), 2**20), (to_files(raw, cuts), block_bytes), (to_files(raw[::-1]), 2**20))
    )
    assert one_file == many == backwards


@given(
    counts=st.dictionaries(st.integers(0, DAY_SECONDS - 1), st.integers(1, 50), max_size=30),
    slice_events=st.integers(1, 200),
)
def test_a_plan_covers_every_flow_in_slices_at_most_a_second_over(counts, slice_events):
    seconds = np.zeros(DAY_SECONDS, dtype=np.int64)
    for second, count in counts.items():
        seconds[second] = count
    spans = plan_slices(seconds, slice_events)
    sizes = [int(seconds[first:last].sum()) for first, last in spans]
    assert sum(sizes) == seconds.sum()
    assert all(0 < size <= slice_events + seconds.max() for size in sizes)
    assert all(last <= first for (_, last), (first, _) in pairwise(spans))
    if seconds.sum() <= slice_events:
        assert len(spans) <= 1


def test_a_header_wider_than_a_block_is_read():
    names = [f"field_{number:03d}" for number in range(150)]
    wide = b"#fields\t" + "\t".join((*REQUIRED, *names)).encode() + b"\n"
    log = b"#separator \\x09\n" + wide + flow(START).rstrip() + b"\tx" * 149 + b"\n"
    (smallest,) = (bound.ge for bound in LogsParameters.model_fields["block_bytes"].metadata)
    index = read_index({"wide.log": to_file(log)}, smallest)
    assert index.seconds.sum() == 1


@given(kept=st.integers(0, len(flow(START)) - 1), block_bytes=BLOCKS)
def test_a_last_line_cut_short_counts_as_unparsable_and_the_file_as_truncated(kept, block_bytes):
    log = HEADER + flow(START) + flow(START + 1)[:kept]
    files = {"cut.log": to_file(log)}
    index = read_index(files, block_bytes)
    whole = kept >= len(flow(START)) - 2
    (file,) = index.files
    cut = kept > 0 and not whole
    assert (file.lines, file.unparsable, file.truncated) == (2 + (kept > 0), cut, cut)
    assert file.size_bytes == len(log)
    assert index.seconds[0] == 1 + whole
    assert [to_micros(table) for table in to_slices(files, block_bytes, 10)] == [[START, START + 1][: 1 + whole]]


@given(lines=LINES, block_bytes=BLOCKS)
def test_a_file_is_known_by_its_path_size_and_sha256(lines, block_bytes):
    log = HEADER + b"".join(line for line, _ in lines)
    (file,) = read_index({"a/b.log": to_file(log)}, block_bytes).files
    assert (file.path, file.size_bytes, file.sha256) == ("a/b.log", len(log), hashlib.sha256(log).hexdigest())


@pytest.mark.parametrize(
    ("log", "why"),
    [(b"", "is empty"), (b"a\tb\n", r"is not a Zeek conn\.log"), (HEADER.replace(b"\tproto", b""), "without proto")],
)
def test_a_file_that_is_no_log_is_named(log, why):
    files = {"good.log": to_file(HEADER), "some/bad.log": to_file(log)}
    with pytest.raises(ContractError, match=rf"^some/bad\.log .*{why}"):
        read_index(files, 4096)


@pytest.mark.parametrize(("choice", "imputed", "durations"), [("zero", 1, {0.0, 0.5}), ("reject", 0, {None, 0.5})])
def test_a_missing_duration_is_nought_or_stays_missing_as_asked(choice, imputed, durations):
    lines = [flow(START), flow(START + 1, duration="-"), flow(END, duration="-")]
    logs = LOGS.model_copy(update={"missing": MissingParameters(duration=choice, bytes="reject")})
    files = to_files(lines)
    index, report = index_log_files(files, logs, GATE, TODAY, IN_THREADS, [])
    (part,) = slice_logs(index, logs, TODAY).values()
    assert report.imputed == ({"duration": 1} if imputed else {})
    assert report.other_days == {NEXT: 1}
    assert (report.files[0].imputed, report.left_out.imputed) == (imputed, imputed)
    assert set(part.read()["duration"].astype(object).where(part.read()["duration"].notna(), None)) == durations
    moved = logs.model_copy(update={"path": "y", "block_bytes": 2**21})
    assert index_log_files(files, moved, GATE, TODAY, IN_THREADS, [])[1] == report


def test_a_day_with_no_flow_names_the_days_that_there_are():
    index, _ = index_log_files(to_files([flow(END), flow(END + 1)]), LOGS, GATE, TODAY, IN_THREADS, [])
    with pytest.raises(ContractError, match=rf"no flows of {TODAY} among 3 lines, which hold 2 flows of {NEXT}:"):
        slice_logs(index, LOGS, TODAY)


@given(lines=LINES, cuts=st.sets(st.integers(1, 24)), block_bytes=BLOCKS, part_lines=st.integers(1, 5))
def test_unparsable_lines_are_kept_as_they_stand_with_file_and_number(lines, cuts, block_bytes, part_lines):
    files = to_files([line for line, _ in lines], cuts)
    index = read_index(files, block_bytes)
    groups = [read_unparsable(index.spool, group) for group in plan_unparsable(index, part_lines)]
    kept = {(row.file, row.line, row.text) for group in groups for row in group.itertuples()}
    bad = {b"garbage", flow(START).replace(b"17", b"x", 1).rstrip(b"\n")}
    expected = set()
    for path, file in files.items():
        for number, line in enumerate(file.open_file().read().splitlines(), start=1):
            if line in bad:
                expected.add((path, number, line.decode()))
    assert kept == expected
    assert sum(map(len, groups)) == len(kept) == sum(file.unparsable for file in index.files)


def test_a_part_names_the_files_that_it_came_from_and_keeps_the_columns_asked_for():
    fields = b"ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto duration orig_ip_bytes resp_ip_bytes".split()
    rows = [f"{START // SECOND + 3600 * hour} C{hour} 10.0.0.1 {hour} 10.0.0.2 53 udp 1 2 3".split() for hour in (1, 9)]
    logs = [b"#fields\t" + b"\t".join(fields) + b"\n" + "\t".join(row).encode() + b"\n" for row in rows]
    files = {
        "early.log": to_file(logs[0]),
        "plain.log": to_file(HEADER + flow(START + 2)),
        "late.log": to_file(logs[1]),
    }
    logs = LOGS.model_copy(update={"part_events": 1, "columns": ["dst_port", "flow_id"]})
    index, _ = index_log_files(files, logs, GATE, TODAY, IN_THREADS, [])
    parts = list(slice_logs(index, logs, TODAY).values())
    assert [part.files for part in parts] == [["plain.log"], ["early.log"], ["late.log"]]
    frames = [part.read() for part in parts]
    assert all(list(frame) == [*COLUMNS, "dst_port", "flow_id"] for frame in frames)
    assert [frame["flow_id"].tolist() for frame in frames[1:]] == [["C1"], ["C9"]]
    assert frames[0]["flow_id"].isna().all()
    assert frames[0]["dst_port"].isna().all()


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1970, 1, 1), TODAY])
def test_a_day_starts_at_midnight_utc(day):
    since = datetime.combine(day, datetime.min.time(), UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert start_of(day) == since.days * DAY_SECONDS * SECOND


@pytest.mark.skipif(not REAL_LOGS.is_dir(), reason="no ../shared/data")
def test_a_real_day_gives_what_it_gave_in_version_1_of_the_contract():
    paths = [REAL_LOGS / f"zeek-tsv-{day}.conn.log" for day in (DAY, "2024-04-20")]
    files = {path.name: LogFile(partial(path.open, "rb"), "zeek", FORMATS["zeek"]) for path in paths}
    (events,) = to_slices(files, 2**20, 100_000)
    columns = [*COLUMNS, "src_port", "dst_port", "packets"]
    assert events.num_rows == 31_377
    assert digest_content(to_canonical_table(events.select(columns))) == REAL_DIGEST
