"""The promises of RAW, end to end, on the embedded stores and on real servers."""

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import psycopg2
import pyarrow.parquet as pq
import pytest
from conftest import DAY, SHARED, Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from network_anomalies.errors import explain
from network_anomalies.upkeep import load_stores, verify_stores

HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_pkts\torig_ip_bytes"
    "\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n"
)
START = int(datetime.fromisoformat(f"{DAY}T00:00:00+00:00").timestamp())
REAL_DAY = SHARED / "data/unlabelled/zeek-tsv-2024-04-19.conn.log"
TABLES = ("sources", "ingestion_batches", "ingestion_events", "quarantine_objects", "source_files")


def zeek_line(
    second: float,
    duration: str = "0.5",
    proto: str = "tcp",
    host: str = "10.0.0.1",
    server: str = "192.0.2.7",
    tunnel: str = "-",
) -> str:
    return f"{START + second:.6f}\tC1\t{host}\t1234\t{server}\t443\t{proto}\t{duration}\t3\t180\t2\t120\t{tunnel}\n"


def write_log(project: Project, name: str, text: str) -> Path:
    path = project.root / "data/logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def mismatches(project: Project) -> list[str]:
    return verify_stores(load_stores(project.env, project.root), None, None).mismatches


def test_a_day_is_ingested_and_registered(anywhere):
    assert anywhere.run(generator__n_events=1000, generator__part_events=400) == "SUCCESS"
    batch = anywhere.rows("ingestion_batches").iloc[0]
    assert (batch["lines_in"], batch["accepted"], batch["rejected"], batch["parts"]) == (1000, 1000, 0, 3)
    events = anywhere.rows("current_objects")
    assert events["record_count"].sum() == 1000
    assert [key.rpartition("/")[2] for key in anywhere.objects()] == sorted(events["file_name"])
    day = anywhere.load("raw_network_events")
    assert len(day) == 1000
    assert day["timestamp"].is_monotonic_increasing
    assert not mismatches(anywhere)


def test_the_local_copy_and_raw_are_the_same_bytes_and_the_name_says_which(anywhere):
    anywhere.run()
    (local,) = (anywhere.root / "data/ingested").glob("*.parquet")
    digest = hashlib.sha256(local.read_bytes()).hexdigest()
    first = pq.read_table(local)["timestamp"][0].as_py()
    assert local.name == f"network_events_{first:%Y%m%dT%H%M%SZ}_0001_{digest[:12]}.parquet"
    stores = load_stores(anywhere.env, anywhere.root)
    assert stores.lake.cat_file(anywhere.objects()[0]) == local.read_bytes()


def test_the_footer_says_where_an_object_comes_from(embedded):
    embedded.run()
    footer = pq.read_schema(embedded.objects()[0]).metadata
    assert footer[b"source"] == b"synthetic"
    assert footer[b"logical_date"] == DAY.encode()
    assert footer[b"contract_version"] == embedded.rows("ingestion_batches")["contract_version"][0].encode()
    assert footer[b"params_sha256"] == embedded.rows("ingestion_batches")["params_sha256"][0].encode()


def test_other_clients_find_the_object_and_its_row(ready):
    ready.run()
    where = ready.variables
    with psycopg2.connect(
        host=where["PG_HOST"],
        port=where["PG_PORT"],
        user=where["PG_USER"],
        password=where["PG_PASSWORD"],
        dbname=where["PG_DATABASE"],
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT object_uri, object_sha256, size_bytes, status, logical_date FROM ingestion_events")
        ((uri, sha256, size, status, day),) = cursor.fetchall()
    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=where["MINIO_ENDPOINT_URL"],
        aws_access_key_id=where["MINIO_ACCESS_KEY"],
        aws_secret_access_key=where["MINIO_SECRET_KEY"],
        region_name="us-east-1",
    )
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size)
    assert (status, str(day)) == ("SUCCESS", DAY)


def test_a_rerun_stores_nothing_new(anywhere):
    write_log(anywhere, "conn.log", HEADER + zeek_line(1) + zeek_line(2, proto="nonsense") * 2)
    options = {"pipeline": "log_ingestion", "source": "zeek", "gate__max_rejected_share": 1.0}
    assert anywhere.run(**options) == "SUCCESS"

    def look():
        stored = [anywhere.objects(), anywhere.manifests(), anywhere.objects("quarantine")]
        return stored, [anywhere.rows(table) for table in TABLES]

    (stored, rows) = look()
    assert anywhere.run(**options) == "UNCHANGED"
    (stored_after, rows_after) = look()
    assert stored == stored_after
    assert [len(keys) for keys in stored] == [1, 1, 1]
    for earlier, later in zip(rows, rows_after, strict=True):
        assert len(earlier) and earlier.equals(later)


def test_a_rerun_restores_an_object_that_was_lost(anywhere):
    anywhere.run()
    stores = load_stores(anywhere.env, anywhere.root)
    stores.lake.rm_file(anywhere.objects()[0])
    assert mismatches(anywhere)
    assert anywhere.run() == "UNCHANGED"
    assert not mismatches(anywhere)


def test_a_correction_supersedes_and_keeps_the_former(anywhere):
    anywhere.run()
    first = anywhere.objects()
    assert anywhere.run(generator__seed=8) == "SUCCESS"
    batches = anywhere.rows("ingestion_batches").sort_values("revision")
    assert batches["status"].tolist() == ["SUPERSEDED", "SUCCESS"]
    assert anywhere.rows("ingestion_events").sort_values("revision")["status"].tolist() == ["SUPERSEDED", "SUCCESS"]
    assert anywhere.rows("current_objects")["revision"].tolist() == [2]
    assert set(first) < set(anywhere.objects())
    assert len(anywhere.manifests()) == 2
    assert not mismatches(anywhere)


def test_two_runs_of_one_date_end_with_one_content(anywhere):
    command = ["run", "--pipeline", "ingestion", "--env", anywhere.env]
    params = f"logical_date={DAY},generator.n_events=20000,generator.part_events=5000"
    runs = [anywhere.start(*command, "--params", params) for _ in range(2)]
    outputs = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert sorted(anywhere.rows("pipeline_runs")["status"]) == ["SUCCESS", "UNCHANGED"]
    assert len(anywhere.rows("ingestion_batches")) == 1
    assert len(anywhere.objects()) == 4


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=st.tuples(st.integers(10, 60), st.integers(5, 60), st.integers(0, 2**63)))
def test_equal_parameters_give_equal_content(embedded, choices):
    params = dict(zip(("generator__n_events", "generator__part_events", "generator__seed"), choices, strict=True))
    embedded.run(**params)
    stored = embedded.objects()
    assert embedded.run(**params) == "UNCHANGED"
    assert embedded.objects() == stored


def test_zeek_logs_become_events_of_their_day(anywhere):
    text = HEADER + zeek_line(-1) + zeek_line(5, duration="-") + zeek_line(1) * 2 + "garbage\n" + zeek_line(86_400)
    path = write_log(anywhere, "conn.log", text)
    assert anywhere.run("log_ingestion", source="zeek", gate__max_rejected_share=0.5) == "SUCCESS"
    batch = anywhere.rows("ingestion_batches").iloc[0]
    counts = {"lines_in": 12, "not_a_flow": 6, "unparsable": 1, "early": 1, "late": 1, "accepted": 3}
    assert batch[list(counts)].to_dict() == counts
    assert (batch["source"], batch["imputed"], batch["duplicates"]) == ("zeek", 1, 1)
    (file,) = anywhere.rows("source_files").to_dict("records")
    assert file["path"] == str(path)
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    day = anywhere.load("raw_network_events", source="zeek")
    assert day["duration"].tolist() == [0.5, 0.5, 0.0]
    assert day["bytes"].tolist() == [300, 300, 300]
    assert day["protocol"].tolist() == ["TCP"] * 3


def test_a_missing_duration_can_be_refused(embedded):
    write_log(embedded, "conn.log", HEADER + zeek_line(1) + zeek_line(5, duration="-"))
    embedded.run("log_ingestion", source="zeek", logs__missing__duration="reject", gate__max_rejected_share=0.5)
    assert embedded.load("quarantined_events", source="zeek")["rule"].tolist() == ["duration_missing"]
    assert embedded.rows("ingestion_batches")["imputed"].tolist() == [0]


def test_a_log_that_ends_mid_line_ends_at_its_last_whole_line(embedded, caplog):
    write_log(embedded, "conn.log", HEADER + zeek_line(1) * 30 + zeek_line(2)[:40])
    embedded.run("log_ingestion", source="zeek")
    batch = embedded.rows("ingestion_batches").iloc[0]
    assert (batch["accepted"], batch["unparsable"]) == (30, 1)
    assert "ends in the middle of a line" in caplog.text
    assert embedded.rows("source_files")["truncated"].tolist() == [1]


def test_equal_flows_are_equal_content_however_the_files_are_cut(embedded):
    lines = [zeek_line(second) for second in range(40)]
    write_log(embedded, "a.log", HEADER + "".join(lines))
    embedded.run("log_ingestion", source="zeek", logs__part_events=7)
    (embedded.root / "data/logs/a.log").unlink()
    write_log(embedded, "b.log", HEADER + "".join(lines[::-2]))
    write_log(embedded, "c.log", HEADER + "".join(lines[::2]))
    stored = embedded.objects()
    embedded.run("log_ingestion", source="zeek", logs__part_events=7)
    assert embedded.objects() == stored
    assert embedded.rows("ingestion_batches")["content_sha256"].nunique() == 1


def test_real_logs_are_not_ingested_as_synthetic_events(embedded):
    write_log(embedded, "conn.log", HEADER + zeek_line(1))
    assert "source synthetic is the generator's: name the sensor" in refusal(embedded, "log_ingestion")
    assert embedded.rows("pipeline_runs").empty
    for source in ("zeek", "lab-sensor"):
        embedded.run("log_ingestion", source=source)
        assert "real logs, and synthetic events would replace them" in refusal(embedded, "ingestion", source=source)
    assert embedded.rows("ingestion_batches")["source"].tolist() == ["zeek", "lab-sensor"]
    assert embedded.rows("sources")[["name", "kind", "format"]].to_numpy().tolist() == [
        ["zeek", "logs", "zeek"],
        ["lab-sensor", "logs", "zeek"],
    ]


def refusal(project, pipeline, **params):
    with pytest.raises(Exception) as raised:
        project.run(pipeline, **params)
    return explain(raised.value)


@pytest.mark.skipif(not REAL_DAY.exists(), reason="needs the logs of ../shared")
def test_a_real_zeek_day_ends_with_exactly_its_flows(embedded):
    assert embedded.run("log_ingestion", source="zeek", logs__path=str(REAL_DAY)) == "SUCCESS"
    batch = embedded.rows("ingestion_batches").iloc[0]
    assert (batch["source"], batch["accepted"], batch["early"], batch["rejected"]) == ("zeek", 31_363, 4, 0)
    assert batch["lines_in"] == len(REAL_DAY.read_text().splitlines())
    assert len(embedded.load("raw_network_events", source="zeek")) == 31_363


def test_run_id_and_date_are_the_same_everywhere(anywhere):
    with anywhere.session(generator__n_events=10) as session:
        session.run(pipeline_names=["ingestion"])
    (run,) = anywhere.rows("pipeline_runs").to_dict("records")
    (batch,) = anywhere.rows("ingestion_batches").to_dict("records")
    report = anywhere.load("quality_report", logical_date=str(run["logical_date"])[:10])
    assert run["run_id"] == batch["run_id"] == report["run_id"]
    assert str(run["logical_date"])[:10] == str(batch["logical_date"])[:10] == report["logical_date"]
    assert anywhere.objects()[0].split("/")[-2] == report["logical_date"]
    assert (run["status"], run["env"], run["pipeline"]) == ("SUCCESS", anywhere.env, "ingestion")
    assert run["finished_at"] >= run["started_at"]


def test_the_ingestion_path_loads_no_heavy_library(embedded):
    script = (
        "import sys; sys.argv = ['network-anomalies', 'run', '--pipeline', 'ingestion', '--params',"
        " 'generator.n_events=10']\n"
        "from network_anomalies.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'dask', 'distributed', 'mlflow', 'pandera', 'prefect', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'pandas' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=embedded.root, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_yesterday_in_utc_is_the_default_day(embedded):
    with embedded.session(generator__n_events=10) as session:
        session.run(pipeline_names=["ingestion"])
    (run,) = embedded.rows("pipeline_runs").to_dict("records")
    age = datetime.now(UTC).date() - datetime.fromisoformat(str(run["logical_date"])).date()
    assert age.days in (1, 2)
