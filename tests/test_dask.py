"""A day on Dask workers: separate processes, the real store and the real registry; the results of a run in threads."""

import pytest
from conftest import DAY, DAY_BEFORE, SMALL_DAY
from distributed import LocalCluster
from test_ingestion import HEADER, zeek_line

ADDRESS = "DASK_SCHEDULER_ADDRESS"


@pytest.fixture(scope="module")
def cluster(servers):
    """Two worker processes that know the store, and not the registry."""
    store = {name: value for name, value in servers.items() if name.startswith("MINIO")}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, env=store) as cluster:
        yield cluster


@pytest.fixture
def on_dask(ready, cluster, monkeypatch):
    """A project on the real servers whose runs use the workers."""
    monkeypatch.setenv(ADDRESS, cluster.scheduler_address)
    use_dask(ready)
    return ready


def use_dask(project):
    parameters = project.root / "conf/base/parameters_run.yml"
    parameters.write_text(parameters.read_text().replace("dask: false", "dask: true"))


def list_digests(project):
    """Return the sha256 of the tables that the stages of a project stored, by stage and day, and of RAW's content."""
    stored = {
        (row["stage"], str(row["logical_date"])): [
            item["sha256"] for item in row["outputs"] if item["uri"].endswith((".parquet", ".arrow"))
        ]
        for row in project.records("stage_events")
    }
    events = project.rows("ingestion_events").sort_values(["logical_date", "part"])
    return stored | {("raw", ""): events[["content_sha256", "object_sha256"]].to_numpy().tolist()}


def list_alerts(project):
    alerts = project.rows("alerts").sort_values("alert_id")
    return alerts[["alert_id", "kind", "entity", "score", "flows", "severity"]].to_dict("records")


def test_a_day_on_workers_is_that_of_a_run_in_threads(on_dask, modelled_days):
    for day in (DAY_BEFORE, DAY):
        on_dask.run("full", logical_date=day, **SMALL_DAY)
    digests = list_digests(on_dask)
    assert digests == list_digests(modelled_days)
    assert {stage for stage, _ in digests} >= {"raw", "transformation", "training", "scoring"}
    assert list_alerts(on_dask) == list_alerts(modelled_days) != []


def write_logs(project):
    """Put two log files into the store: flows that are not in order of time, of two days, and some broken lines."""
    lines = [zeek_line(150 * row, host=f"10.0.0.{row % 20}", server=f"192.0.2.{row % 5}") for row in range(620)]
    lines += [zeek_line(5, proto="nonsense"), "garbage\n"]
    bucket = project.stores.buckets["reports"]
    for name, some in {"b.log": lines[::2], "a.log": lines[1::2][::-1]}.items():
        project.stores.lake.pipe_file(f"{bucket}/logs/{name}", (HEADER + "".join(some)).encode())
    return {"source": "zeek", "logs__path": f"s3://{bucket}/logs", "logs__part_events": 100}


def test_logs_on_workers_are_those_of_a_run_in_threads(ready, cluster, monkeypatch):
    given = write_logs(ready)
    assert ready.run("log_ingestion", **given) == "SUCCESS"
    before = {layer: ready.objects(layer) for layer in ready.stores.buckets}
    use_dask(ready)
    monkeypatch.setenv(ADDRESS, cluster.scheduler_address)
    assert ready.run("log_ingestion", **given) == "UNCHANGED"
    assert {layer: ready.objects(layer) for layer in ready.stores.buckets} == before
    assert len(before["raw"]) > 4 and before["quarantine"]
