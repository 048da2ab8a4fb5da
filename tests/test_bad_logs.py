"""Log files that are damaged, foreign or odd: an error in one line and nothing committed, or every line counted."""

import gzip
import os
import sys

import pytest
from flow_logs import LOGS
from test_ingestion import HEADER, zeek_line

from network_anomalies.errors import ProjectError, explain
from network_anomalies.records.batch import FATES

GOOD = "".join(zeek_line(second) for second in range(1, 21))
RUN = {"pipeline": "log_ingestion", "source": "office"}


def write(project, **files: str | bytes) -> None:
    for name, content in files.items():
        path = project.root / "data/logs" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def refusal(project, **params) -> str:
    with pytest.raises(Exception) as raised:
        project.run(**RUN | params)
    said = explain(raised.value)
    assert "\n" not in said
    runs = project.rows("pipeline_runs")
    assert (runs["status"].iloc[-1], len(project.rows("ingestion_batches"))) == ("FAILED", 0)
    assert runs["error"].iloc[-1] == said
    return said


def account(project) -> dict[str, int]:
    batch = project.rows("ingestion_batches").iloc[-1]
    assert batch["lines_in"] == sum(batch[name] for name in FATES)
    files = project.rows("source_files")
    assert batch["lines_in"] == files[files["run_id"] == batch["run_id"]]["lines"].sum()
    return {name: int(batch[name]) for name in ("accepted", "rejected", "unparsable") if batch[name]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "conn.log (empty)"),
        (os.urandom(4096), "in no flow log format: "),
        (HEADER, "no flows of 2024-04-19 among 6 lines, which hold no flow at all"),
        (HEADER.replace("\tproto", "\tprotocol"), "a Zeek conn.log without proto: log these columns"),
        (HEADER + zeek_line(-(1713484800 - 5)), "which hold 1 flows of 1970-01-01"),
        (b"BZh91AY&SY" + os.urandom(100), "conn.log (a bzip2 file: gzip and zstd are read"),
        (gzip.compress(GOOD.encode() * 50)[:-200], "in no flow log format: "),
        (b"\x1f\x8b\x08\x00", "conn.log (a gzip file that is cut off at its start"),
    ],
    ids=["empty", "binary", "header alone", "no proto", "1970", "bzip2", "gzip without a header", "a bit of gzip"],
)
def test_a_file_without_flows_of_the_day_is_refused_in_one_line(embedded, content, said):
    write(embedded, conn_log=content)
    assert said in refusal(embedded)


@pytest.mark.parametrize(
    ("log_format", "said"),
    [
        ("suricata_eve", "conn.log is not a Suricata EVE log"),
        ("argus", "conn.log is "),
        ("csv", "set logs.mapping"),
        ("parquet", "logs.mapping"),
        ("netflow9", "logs.format is 'netflow9': give auto, or one of argus"),
    ],
)
def test_a_wrong_format_is_named(embedded, log_format, said):
    write(embedded, conn_log=HEADER + GOOD)
    assert said in refusal(embedded, logs__format=log_format)


def test_foreign_files_stop_the_run_or_are_left_out_and_named(embedded, caplog):
    write(embedded, conn_log=HEADER + GOOD, notes_txt="hello\n", sub__dns_log=HEADER.replace("path\tconn", "path\tdns"))
    said = refusal(embedded)
    assert all(text in said for text in ("notes.txt", "sub/dns.log", "logs.skip_foreign=true", "suricata_eve"))
    assert embedded.run(**RUN, logs__skip_foreign=True) == "SUCCESS"
    assert "2 files are in no flow log format and are left out: " in caplog.text
    assert account(embedded) == {"accepted": 20}
    assert len(embedded.rows("source_files")) == 1


def test_what_there_is_of_half_a_gzip_file_is_kept_and_the_file_is_marked(embedded):
    text = HEADER + "".join(zeek_line(second, host=f"10.{second % 250}.{second % 7}.1") for second in range(5000))
    packed = gzip.compress(text.encode())
    write(embedded, conn_log_gz=packed[: len(packed) // 2])
    embedded.run(**RUN)
    kept = account(embedded)
    assert 1000 < kept["accepted"] < 4000
    assert kept.get("unparsable", 0) <= 1
    assert embedded.rows("source_files")["truncated"].tolist() == [1]


def test_members_files_and_formats_add_up(embedded):
    suricata = b"".join(LOGS["suricata_eve"])
    write(embedded, a_log_gz=gzip.compress((HEADER + GOOD).encode()) + gzip.compress(GOOD.encode()), b_json=suricata)
    embedded.run(**RUN)
    assert account(embedded)["accepted"] >= 40
    assert embedded.rows("sources")["format"].tolist() == ["suricata_eve, zeek"]


@pytest.mark.parametrize(("broken", "passes"), [(2, True), (3, False)])
def test_broken_lines_count_against_the_budget(embedded, broken, passes):
    write(embedded, conn_log=HEADER + zeek_line(1) * (20 - broken) + "broken\n" * broken)
    budget = {"gate__max_rejected_share": 0.1}
    if passes:
        assert embedded.run(**RUN, **budget) == "SUCCESS"
        assert account(embedded) == {"accepted": 18, "unparsable": 2}
    else:
        said = refusal(embedded, **budget)
        assert "15.0% of the flows of office on 2024-04-19 break the contract (unparsable 3)" in said
        assert "quarantined_events_0002_" in said


def test_broken_lines_of_another_day_do_not_count_against_a_day_of_few_flows(embedded):
    flows = "".join(zeek_line(second) for second in (-20, -10, *range(90)))
    write(embedded, conn_log=HEADER + flows + "broken\n" * 2)
    assert embedded.run(**RUN, logical_date="2024-04-18") == "SUCCESS"
    assert account(embedded) == {"accepted": 2, "unparsable": 2}
    report = embedded.load("quality_report", source="office", logical_date="2024-04-18")
    assert report["rejected_share"] == pytest.approx(2 / 94)


def test_numbers_as_text_are_missing_values(embedded):
    bad = zeek_line(3).replace("\t180\t2\t120\t", "\tmany\t2\tmore\t")
    write(embedded, conn_log=HEADER + GOOD + bad + zeek_line(4, duration="long"))
    embedded.run(**RUN, gate__max_rejected_share=0.5)
    assert account(embedded) == {"accepted": 21, "rejected": 1}
    assert embedded.load("quarantined_events", source="office")["rule"].tolist() == ["bytes_missing"]
    report = embedded.load("quality_report", source="office")
    assert report["imputed"] == {"duration": 1}


def test_missing_bytes_can_be_counted_as_none(embedded):
    write(embedded, conn_log=HEADER + GOOD + zeek_line(3).replace("\t180\t2\t120\t", "\t-\t2\t-\t"))
    embedded.run(**RUN, logs__missing__bytes="zero")
    assert account(embedded) == {"accepted": 21}
    assert embedded.load("quality_report", source="office")["imputed"] == {"bytes": 1}


def test_a_longer_file_of_the_same_name_is_a_new_revision_and_an_equal_one_unchanged(embedded):
    write(embedded, conn_log=HEADER + GOOD)
    assert [embedded.run(**RUN), embedded.run(**RUN)] == ["SUCCESS", "UNCHANGED"]
    write(embedded, conn_log=HEADER + GOOD + zeek_line(30) + zeek_line(31)[:30])
    assert embedded.run(**RUN) == "SUCCESS"
    assert account(embedded) == {"accepted": 21, "unparsable": 1}
    assert embedded.rows("ingestion_batches")["status"].tolist() == ["SUPERSEDED", "SUCCESS"]


def test_a_shorter_file_replaces_the_day_and_the_run_says_so(embedded, caplog):
    caplog.set_level("INFO")
    write(embedded, conn_log=HEADER + GOOD)
    embedded.run(**RUN)
    assert "replaces  " not in caplog.text
    write(embedded, conn_log=HEADER + zeek_line(30))
    embedded.run(**RUN)
    assert "replaces  revision 1 of the day, which had 20 accepted" in caplog.text
    caplog.clear()
    assert embedded.run(**RUN) == "UNCHANGED"
    assert "replaces  " not in caplog.text


def test_a_day_of_which_every_flow_is_rejected_says_by_which_rule(embedded):
    write(embedded, conn_log=HEADER + zeek_line(3).replace("\t180\t2\t120\t", "\tmany\t2\tmore\t"))
    with pytest.raises(ProjectError, match=r"0 late, rejected by bytes_missing 1\): check"):
        embedded.run(**RUN, gate__max_rejected_share=1)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="another user is needed to refuse a file")
def test_a_file_that_may_not_be_read_is_named(embedded):
    write(embedded, conn_log=HEADER + GOOD)
    (embedded.root / "data/logs/conn.log").chmod(0)
    (open_file,) = embedded.load("log_files", source="office").values()
    os.seteuid(65_534)
    try:
        with pytest.raises(PermissionError) as raised:
            open_file()
    finally:
        os.seteuid(0)
    said = explain(raised.value)
    assert "conn.log" in said
    assert "\n" not in said
