"""What holds for every format: each line accounted for, whatever it is, however the file is cut, stored or named."""

import gzip
import io
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
import pytest
from conftest import SHARED
from flow_logs import FLOWS, LOGS, MAPPING, NAMES, OPTIONS, check_lines, log_of, mutated_logs, parse, tell
from hypothesis import given, settings
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.formats import FORMATS, TABLE_FORMATS, LogOptions, choose_formats
from network_anomalies.formats.base import EVENT_COLUMNS
from network_anomalies.formats.blocks import CUT_SHORT, parse_log
from network_anomalies.formats.parsed import merge_parsed

SAMPLES = SHARED / "data"
SAMPLE_FLOWS = {
    "unlabelled/zeek-tsv-2024-04-19.conn.log": ("zeek", 31_367, 0),
    "unlabelled/zeek-tsv-2024-04-20.conn.log": ("zeek", 39_073, 0),
    "unlabelled/zeek-json-nmap-portscan.conn.log": ("zeek_json", 4504, 0),
    "unlabelled/zeek-json.conn.log": ("zeek_json", 1000, 0),
    "unlabelled/argus-csv.binetflow": ("argus", 6751, 0),
    "unlabelled/argus-csv-small.binetflow": ("argus", 91, 8),
    "unlabelled/nfdump-csv.csv": ("nfdump", 2296, 3),
    "unlabelled/suricata-eve-a.json": ("suricata_eve", 826, 1498),
    "labelled/iot23-34-1-mirai.conn.log.labeled": ("zeek", 23_145, 0),
    "labelled/njrat-botnet230-first1000.conn.log.labeled": ("zeek", 992, 0),
    "labelled/feel-008-ctunormal40-day1.conn.log.labeled": ("zeek", 5663, 0),
}


def parse_file(name: str, data: bytes, block_bytes: int = 2**20, options: LogOptions = OPTIONS):
    return merge_parsed(list(parse_log(io.BytesIO(data), FORMATS[name], options, block_bytes)))


def test_every_format_has_lines_here():
    assert set(LOGS) == set(FORMATS)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_two_flows_come_out_of_every_format(name):
    parsed = parse_file(name, log_of(name))
    check_lines(parsed, LOGS[name])
    assert tell(parsed) == (2, len(LOGS[name]) - FLOWS[name], 0)
    first, second = parsed.events.to_pylist()
    micros = {"nfdump": 500_000, "aws_vpc": 0}.get(name, 500_001)
    assert first["timestamp"] == datetime(2024, 4, 19, 0, 0, 1, micros, UTC)
    assert second["timestamp"] == datetime(2024, 4, 19, 0, 0, 2, 0, UTC)
    expected = {
        **{"src_ip": "10.0.0.1", "dst_ip": "2001:db8::1", "src_port": 5353, "dst_port": 53, "protocol": "UDP"},
        **{"bytes": 100, "packets": 3, "src_bytes": 60, "dst_bytes": 40, "duration": 0.25},
    }
    if name == "aws_vpc":  # whole seconds, one direction
        expected |= {"src_bytes": 100, "duration": 1}
        del expected["dst_bytes"]
    assert {column: first[column] for column in expected} == expected
    assert (second["src_ip"], second["dst_ip"], second["protocol"], second["bytes"]) == (
        *("10.0.0.2", "10.0.0.3", "ICMP", 28),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_format_gives_the_columns_that_it_declares(name):
    assert set(parse_file(name, log_of(name)).events.column_names) == set(FORMATS[name].columns) <= set(EVENT_COLUMNS)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(data=st.data())
def test_every_damaged_line_is_accounted_for(name, data):
    lines = data.draw(mutated_logs(name))
    try:
        parsed = parse(name, *lines)
    except ContractError as error:
        assert name == "zeek", error  # a header half-way may lack a column
        return
    check_lines(parsed, lines)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(data=st.data())
def test_a_line_is_read_alike_whatever_stands_beside_it(name, data):
    """Blocks of good lines are read a quicker way than blocks with a bad one: both must give the same."""
    lines = [line for line in data.draw(mutated_logs(name)) if not line.startswith((b"#", b"Summary"))]
    if lines:
        alone = [parse(name, line) for line in lines]
        together = parse(name, *lines)
        assert together.events.equals(merge_parsed(alone).events)
        assert together.unparsable.drop_columns("line").equals(
            pa.concat_tables([parsed.unparsable for parsed in alone]).drop_columns("line")
        )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_blocks_of_any_size_give_the_same(name, data):
    log = log_of(name) + b"".join(line for line in data.draw(mutated_logs(name)) if not line.startswith(b"#"))
    whole = parse_file(name, log)
    cut = parse_file(name, log, data.draw(st.integers(len(log_of(name)), len(log))))
    assert whole.events.equals(cut.events)
    assert (whole.not_a_flow, whole.unparsable) == (cut.not_a_flow, cut.unparsable)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused_or_accounted_for(name, data):
    try:
        parsed = parse_file(name, data)
    except ContractError as error:
        assert "\n" not in str(error)
        return
    check_lines(parsed, data.splitlines(keepends=True))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b" ") + b"\n"), min_size=1))
def test_random_lines_below_a_header_are_accounted_for(name, data):
    lines = [*LOGS[name], *data]
    try:
        parsed = parse_file(name, b"".join(lines))
    except ContractError:
        assert any(line.startswith(b"#") for line in data)
        return
    check_lines(parsed, lines)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_end_anywhere(name):
    log = log_of(name)
    whole = parse_file(name, log).events
    for end in range(len(LOGS[name][0]), len(log)):
        try:
            parsed = parse_file(name, log[:end])
        except ContractError:  # the header is not whole yet
            assert end < log.index(b"10.0.0.1") or name == "zeek_json"
            continue
        lines = log[:end].splitlines(keepends=True)
        assert parsed.lines == len(lines)
        if parsed.events.num_rows:
            assert parsed.events.equals(whole.slice(0, parsed.events.num_rows))
        if parsed.unparsable.num_rows:
            assert parsed.unparsable.drop_columns("header").to_pylist() == [
                {"line": len(lines), "text": lines[-1].decode(), "reason": CUT_SHORT},
            ]


@pytest.mark.parametrize("name", NAMES)
def test_carriage_returns_at_line_ends_change_nothing(name):
    dos = parse_file(name, log_of(name).replace(b"\n", b"\r\n"))
    assert dos.events.equals(parse_file(name, log_of(name)).events)


@pytest.mark.parametrize("name", NAMES)
def test_blank_lines_are_no_flows(name):
    parsed = parse_file(name, log_of(name) + b"\n\r\n" + log_of(name))
    assert parsed.not_a_flow["blank"] == (0 if name == "nfdump" else 2)  # there they are part of the summary
    assert (parsed.events.num_rows, parsed.unparsable.num_rows) == (2 * FLOWS[name], 0)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_file_is_refused(name):
    with pytest.raises(ContractError, match=r"^empty: "):
        parse_file(name, b"")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_a_file_in_another_format_is_refused(name, other):
    if name != other:
        with pytest.raises(ContractError, match=r"^(not|a plain|an? .* without)"):
            parse_file(name, log_of(other))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"\x00" * 5000, bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n" + b"\x00\xff" * 900])
def test_a_binary_file_is_refused(name, data):
    with pytest.raises(ContractError):
        parse_file(name, data)


@pytest.mark.parametrize("name", ["zeek", "argus", "nfdump", "csv"])
def test_a_file_with_a_header_alone_has_no_flows(name):
    header = b"".join(LOGS[name][: 4 if name == "zeek" else 1])
    parsed = parse_file(name, header)
    assert tell(parsed) == (0, header.count(b"\n"), 0)
    assert set(parsed.events.column_names) >= {"timestamp", "bytes"}


def choose(name="auto", skip_foreign=False, **logs):
    files = {path.replace("_", "."): partial(io.BytesIO, data) for path, data in logs.items()}
    known, foreign = choose_formats(files, name, skip_foreign)
    return {path: file.format for path, file in known.items()}, foreign


@pytest.mark.parametrize("name", [name for name in [*NAMES, "parquet"] if name != "csv"])
def test_a_format_is_known_by_its_beginning(name):
    beginning = b"PAR1\x15\x04" if name == "parquet" else log_of(name)
    assert choose(a_log=beginning) == ({"a.log": name}, [])
    assert choose(a_log=gzip.compress(beginning)) == ({"a.log": name}, [])


def test_plain_csv_is_read_if_it_is_named():
    assert choose("csv", a_log=log_of("csv")) == ({"a.log": "csv"}, [])


@pytest.mark.parametrize("skip", [False, True])
def test_a_file_that_two_formats_fit_is_refused_and_both_are_named(skip):
    with pytest.raises(ContractError, match=r"^b\.json .*zeek_json or suricata_eve.*logs\.format"):
        choose(skip_foreign=skip, a_log=log_of("zeek"), b_json=log_of("suricata_eve") + log_of("zeek_json"))


FOREIGN = {"a_txt": b"hello\n", "b_pdf": b"%PDF-1.7\0\xff", "c_bz2": b"BZh91AY", "d_csv": log_of("csv")}


def test_files_in_no_format_are_listed_with_the_formats_that_there_are():
    formats = "argus, aws_vpc, csv, nfdump, parquet, suricata_eve, zeek, zeek_json"
    with pytest.raises(
        ContractError,
        match=rf"a\.txt, b\.pdf, c\.bz2 \(a bzip2 file: .*\) and 1 more.*logs\.skip_foreign=true.*{formats}",
    ):
        choose(conn_log=log_of("zeek"), **FOREIGN)


@pytest.mark.parametrize("name", ["auto", "zeek"])
def test_files_in_no_format_are_left_out_if_so_asked_and_named(name):
    known, foreign = choose(name, skip_foreign=True, conn_log=log_of("zeek"), **FOREIGN)
    assert known == {"conn.log": "zeek"}
    assert [path.partition(" (")[0] for path in foreign] == ["a.txt", "b.pdf", "c.bz2", "d.csv"]


def test_files_of_which_none_is_a_log_are_refused_in_any_case():
    with pytest.raises(ContractError, match=r"a\.txt"):
        choose(skip_foreign=True, **FOREIGN)


def test_files_that_are_empty_or_damaged_are_foreign_and_the_error_says_why():
    damaged = {"b_log": b"", "c_gz": gzip.compress(log_of("zeek"))[:15], "d_gz": gzip.compress(b"")}
    said = r"b\.log \(empty\), c\.gz \(a gzip file that is cut off.*, d\.gz \(empty\)\."
    with pytest.raises(ContractError, match=said):
        choose(a_log=log_of("zeek"), **damaged)
    known, foreign = choose(skip_foreign=True, a_log=log_of("zeek"), **damaged)
    assert (list(known), len(foreign)) == (["a.log"], 3)


def test_an_unknown_format_is_named():
    with pytest.raises(ContractError, match=r"'netflow': give auto, or one of argus.*zeek_json$"):
        choose("netflow", a_log=log_of("zeek"))


@given(data=st.binary(min_size=1, max_size=200))
def test_no_beginning_crashes_the_search_for_a_format(data):
    with pytest.raises(ContractError, match="c") if not data.startswith(b"PAR1") else pytest.raises(AssertionError):
        assert choose(c=data) != ({"c": "parquet"}, [])


def test_a_time_zone_that_nobody_knows_is_refused():
    for timezone in ("Europe/Atlantis", "", "../../etc/passwd", "+01:00"):
        with pytest.raises(ContractError, match=r"logs\.timezone is .*IANA"):
            LogOptions(timezone=timezone)


def test_a_plain_file_needs_a_mapping():
    for name in ("csv", "parquet"):
        with pytest.raises(ContractError, match=r"logs\.mapping"):
            if name == "csv":
                parse_file(name, log_of(name), options=LogOptions())
            else:
                list(TABLE_FORMATS[name].parse_table(io.BytesIO(b"PAR1"), LogOptions(), 10))
    assert MAPPING.columns["timestamp"] == "when"


@pytest.mark.parametrize("name", NAMES)
def test_a_gzip_file_is_not_mistaken_for_lines(name):
    with pytest.raises(ContractError):
        parse_file(name, gzip.compress(log_of(name)))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/data")
@pytest.mark.parametrize(("path", "expected"), SAMPLE_FLOWS.items())
def test_real_logs_are_read_to_the_last_line(path, expected):
    data = (SAMPLES / path).read_bytes()
    name, flows, others = expected
    assert choose(a_log=data[:65_536]) == ({"a.log": name}, [])
    parsed = parse_file(name, data, 300_000)
    headers = sum(line.startswith((b"#", b"StartTime", b"ts,")) for line in data.split(b"\n"))
    unparsable = int(path.endswith("suricata-eve-a.json"))  # its last line has no event_type
    assert tell(parsed) == (flows, headers + others, unparsable)
    assert parsed.lines == len(data.splitlines())
    if not path.startswith("labelled"):
        assert parse_file(name, data).events.equals(parsed.events)
