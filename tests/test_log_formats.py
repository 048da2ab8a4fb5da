"""Logs of every format, from the command to what is stored: columns, time zones, mappings, versions of the contract."""

import io
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import DAY
from flow_logs import FLOWS, LOGS, MAPPING, NAMES
from test_ingestion import HEADER, zeek_line

from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS
from network_anomalies.pipelines.ingestion import account, encoding, gate
from network_anomalies.records.batch import FATES
from network_anomalies.runs import progress
from network_anomalies.upkeep import verify_stores

MAPPED = {"logs__mapping": {"columns": dict(MAPPING.columns)}}
RUN = {"pipeline": "log_ingestion", "source": "office", "gate__max_rejected_share": 0.5}


def write(project, name: str, data: bytes) -> None:
    path = project.root / "data/logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def load(project, dataset: str = "raw_network_events") -> pd.DataFrame:
    frame: pd.DataFrame = project.load(dataset, source="office")
    return frame


@pytest.mark.parametrize("name", NAMES)
def test_a_log_of_each_format_is_ingested_and_every_line_counted(embedded, name):
    write(embedded, "flows.log", b"".join(LOGS[name]))
    extra = {"logs__format": "csv", **MAPPED} if name == "csv" else {}
    assert embedded.run(**RUN, **extra) == "SUCCESS"
    (batch,) = embedded.rows("ingestion_batches").to_dict("records")
    assert batch["lines_in"] == len(LOGS[name]) == sum(batch[fate] for fate in FATES)
    assert (batch["accepted"], batch["unparsable"]) == (FLOWS[name], 0)
    events = load(embedded)
    assert events["timestamp"].astype("str").tolist()[0] == "2024-04-19 00:00:01.500001+00:00" or name in (
        "nfdump",
        "aws_vpc",
    )
    assert events["src_ip"].tolist() == ["10.0.0.1", "10.0.0.2"]
    assert events["bytes"].tolist() == [100, 28]
    assert verify_stores(embedded.stores, None, None).mismatches == []
    assert embedded.run(**RUN, **extra) == "UNCHANGED"


def test_parquet_is_read_by_the_same_mapping(embedded):
    rows = {"when": pd.to_datetime([f"{DAY} 01:00", f"{DAY} 02:00"]), "source": ["10.0.0.1", "10.0.0.2"]}
    rows |= {"target": "10.0.0.9", "took": 1.5, "ip proto": [6, 17], "out": [1, 2], "in": [3, 4], "id": ["a", "b"]}
    columns = {name: column for name, column in MAPPING.columns.items() if column in rows}
    data = io.BytesIO()
    pd.DataFrame(rows).to_parquet(data)
    write(embedded, "flows.parquet", data.getvalue())
    assert embedded.run(**RUN, logs__mapping={"columns": columns}, logs__timezone="Europe/Berlin") == "SUCCESS"
    events = load(embedded)
    assert events["timestamp"].astype("str").tolist()[0] == "2024-04-19 00:00:00+00:00"
    assert events[["bytes", "src_bytes", "dst_bytes"]].to_numpy().tolist() == [[6, 2, 4]]
    assert events["flow_id"].tolist() == ["b"]


@pytest.mark.parametrize(
    ("timezone", "times"),
    [
        ("UTC", ["2024-04-19 00:00:01.500001+00:00", "2024-04-19 00:00:02.000000+00:00"]),
        ("America/New_York", ["2024-04-19 04:00:01.500001+00:00", "2024-04-19 04:00:02.000000+00:00"]),
    ],
)
def test_local_times_are_those_of_the_time_zone(embedded, timezone, times):
    write(embedded, "flows.binetflow", b"".join(LOGS["argus"]))
    embedded.run(**RUN, logs__timezone=timezone)
    assert load(embedded)["timestamp"].astype("str").tolist() == times


def test_what_a_sensor_adds_goes_as_far_as_the_scores(embedded):
    write(embedded, "conn.log", (HEADER + "".join(zeek_line(60 * second) for second in range(200))).encode())
    embedded.run("log_full", source="office")
    for dataset in ("raw_network_events", "silver_events", "scores"):
        frame = load(embedded, dataset)
        assert set(frame) >= {*COLUMNS, *OPTIONAL_COLUMNS}
        assert frame["flow_id"].tolist() == ["C1"] * 200
        assert (
            frame[["src_port", "dst_port", "src_bytes", "dst_bytes"]].to_numpy().tolist()
            == [[1234, 443, 180, 120]] * 200
        )


def test_columns_are_kept_as_asked_and_an_object_names_its_files(embedded):
    write(embedded, "a.log", (HEADER + zeek_line(1)).encode())
    write(embedded, "b.log", (HEADER + zeek_line(50_000)).encode())
    embedded.run(**RUN, logs__columns=["dst_port"], logs__part_events=1)
    assert list(load(embedded)) == [*COLUMNS, "dst_port"]
    uris = embedded.rows("current_objects").sort_values("part")["object_uri"]
    footers = [pq.read_schema(io.BytesIO(embedded.stored(uri))).metadata for uri in uris]
    files = [[path.rpartition("/")[2] for path in json.loads(footer[b"source_files"])] for footer in footers]
    assert files == [["a.log"], ["b.log"]]
    assert {footer[b"contract_version"] for footer in footers} == {b"2.0.0"}


def test_the_last_lines_name_the_days_of_flows_that_were_not_stored(embedded, caplog):
    write(embedded, "conn.log", (HEADER + zeek_line(-5) + zeek_line(1) + zeek_line(86_400) * 2).encode())
    embedded.run(**RUN)
    said = "flows of other days: 1 flows of 2024-04-18, 2 flows of 2024-04-20; `kedro backfill` stores them"
    assert said in caplog.text


def test_a_day_of_version_1_is_read_and_verified_and_comes_again_in_one_version(anywhere):
    log = anywhere.root / "conn.log"
    log.write_text(HEADER + "".join(zeek_line(second) for second in range(1, 9)))
    run = {**RUN, "logs__path": str(log), "logs__part_events": 4}
    with pytest.MonkeyPatch.context() as patched:
        for module in (account, encoding, gate, progress):
            patched.setattr(module, "CONTRACT_VERSION", "1.0.0")
        anywhere.run(**run, logs__columns=["src_port", "dst_port", "packets"])
    assert len(load(anywhere)) == 8
    assert verify_stores(anywhere.stores, None, None).mismatches == []
    log.write_text(HEADER + "".join(zeek_line(second) for second in [*range(1, 9), 40_000]))
    assert anywhere.run(**run, logs__columns=["src_port", "dst_port", "packets"]) == "SUCCESS"
    rows = anywhere.rows("ingestion_events")
    assert set(rows[rows["status"] == "SUCCESS"]["contract_version"]) == {"2.0.0"}
    assert set(rows[rows["status"] == "SUPERSEDED"]["contract_version"]) == {"1.0.0"}
    assert not set(rows[rows["status"] == "SUCCESS"]["file_name"]) & set(
        rows[rows["status"] == "SUPERSEDED"]["file_name"]
    )
    assert verify_stores(anywhere.stores, None, None).mismatches == []
