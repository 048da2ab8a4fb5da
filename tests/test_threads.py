"""Runs in the threads of one process do not see each other's date, source, paths or parameters."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pandas as pd
import pytest
from conftest import DAY, DAY_BEFORE, NEXT_DAY
from test_ingestion import HEADER, write_log, zeek_line

DAYS = (DAY_BEFORE, DAY, NEXT_DAY)
ROUNDS = 4


def find_mismatches(project):
    """Hold RAW to the registry by plain SQL and Parquet; say what does not fit."""
    rows = project.rows("ingestion_events").to_dict("records")
    stored = {key.rpartition("cybersec-ml-raw/")[2] or key for key in project.objects()}
    if project.env != "embedded":
        stored = {key.partition("/")[2] for key in project.objects()}
    wrong = []
    for row in rows:
        folder = f"{row['source']}/{str(row['logical_date'])[:10]}/"
        key = row["object_uri"][row["object_uri"].index(folder) :] if folder in row["object_uri"] else None
        data = project.stored(row["object_uri"]) if key in stored else b""
        if key is None or hashlib.sha256(data).hexdigest() != row["object_sha256"]:
            wrong.append(("object", row["object_uri"]))
            continue
        days = set(pd.read_parquet(BytesIO(data))["timestamp"].dt.strftime("%Y-%m-%d/"))
        if days != {folder.partition("/")[2]}:
            wrong.append(("events", row["object_uri"], days))
        stored.discard(key)
    return wrong + [("orphan", key) for key in sorted(stored)]


def find_mixed_reports(project, sources):
    """Return the days whose quality report names another day, source or number of events."""
    wrong = []
    for source, events in sources.items():
        for day in DAYS:
            report = project.load("quality_report", source=source, logical_date=day)
            said = (report["source"], report["logical_date"], report["counts"]["accepted"])
            if said != (source, day, events):
                wrong.append((said, (source, day, events)))
    return wrong


def check_runs(project, sources):
    runs = project.rows("pipeline_runs")
    assert set(runs["status"]) == {"SUCCESS"}, runs[["source", "logical_date", "status", "error"]].to_string()
    batches = project.rows("ingestion_batches")
    current = batches[batches["status"] == "SUCCESS"]
    found = {(row.source, str(row.logical_date)[:10]): row.accepted for row in current.itertuples()}
    assert found == {(source, day): events for source, events in sources.items() for day in DAYS}
    assert find_mismatches(project) == []
    assert find_mixed_reports(project, sources) == []


def test_no_plugin_reaches_into_the_catalog_of_another_run(embedded):
    """kedro-viz's statistics did so in one of about twenty runs: a dataset was "not found in the catalog"."""
    session = embedded.session(logical_date=DAY)
    modules = {type(plugin).__module__ for plugin in session._hook_manager.get_plugins()}
    assert not [name for name in modules if name.startswith("kedro_viz")], modules


@pytest.mark.slow(reason="a mix-up of threads is rare, so there are 36 runs")
def test_ingestions_in_threads_keep_to_their_own_date_and_source(anywhere):
    def ingest(source, day, events, seed):
        params = {"generator__n_events": events, "generator__seed": seed, "source": source, "logical_date": day}
        with anywhere.session(**params) as session:
            session.run(pipeline_names=["ingestion"])

    sources = {"north": 20, "south": 30, "west": 40}
    for seed in range(ROUNDS):
        turns = [(source, day, events, seed) for source, events in sources.items() for day in DAYS]
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(ingest, *zip(*turns, strict=True)))
    check_runs(anywhere, sources)
    assert len(anywhere.rows("pipeline_runs")) == ROUNDS * 9


@pytest.mark.slow(reason="two whole runs share one interpreter")
def test_whole_runs_in_threads_keep_to_their_own_date(embedded):
    def run(source, events):
        with embedded.session(logical_date=DAY, source=source, generator__n_events=events) as session:
            session.run(pipeline_names=["full"])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, ("north", "south"), (1000, 1500)))
    assert set(embedded.rows("pipeline_runs")["status"]) == {"SUCCESS"}
    for source, events in (("north", 1000), ("south", 1500)):
        for name in ("raw_network_events", "silver_events", "scores"):
            assert len(embedded.load(name, source=source)) == events, (source, name)
        assert embedded.load("champion_model", source=source).source == source
    assert find_mismatches(embedded) == []


@pytest.fixture
def server(anywhere):
    """Kedro's HTTP server of the project, in this process."""
    testing = pytest.importorskip("fastapi.testclient")
    from kedro.server import create_http_server

    (anywhere.root / "src").mkdir()
    app = create_http_server(anywhere.root, env=anywhere.env, conf_source=str(anywhere.root / "conf"))
    with testing.TestClient(app) as client:
        yield client


@pytest.mark.slow(reason="nine runs share one interpreter")
def test_parallel_requests_to_the_server_keep_to_their_own_date_and_source(anywhere, server):
    def post(source, day, events):
        params = {"source": source, "logical_date": day, "generator": {"n_events": events}}
        return server.post("/run", json={"pipeline_names": ["ingestion"], "params": params}).json()

    sources = {"north": 20, "south": 30, "west": 40}
    turns = [(source, day, events) for day in DAYS for source, events in sources.items()]
    with ThreadPoolExecutor(9) as threads:
        answers = list(threads.map(post, *zip(*turns, strict=True)))
    assert {answer["status"] for answer in answers} == {"success"}, answers
    check_runs(anywhere, sources)


def test_the_server_refuses_logs_without_a_source_and_the_other_kind(anywhere, server):
    write_log(anywhere, "conn.log", HEADER + zeek_line(1))

    def post(pipeline, **params):
        params = {"logical_date": DAY, "generator": {"n_events": 10}, **params}
        answer = server.post("/run", json={"pipeline_names": [pipeline], "params": params}).json()
        return answer["status"], (answer.get("error") or {}).get("message", "")

    status, said = post("log_ingestion")
    assert status == "failure" and said.splitlines()[-1].startswith("source synthetic is the generator's")
    assert post("log_ingestion", source="zeek") == ("success", "")
    status, said = post("ingestion", source="zeek")
    assert status == "failure" and "synthetic events would replace them" in said
    assert anywhere.rows("ingestion_batches")["source"].tolist() == ["zeek"]
