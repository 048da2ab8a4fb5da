"""A day on Dask workers: separate processes, the real store and the real registry; the results of a run in threads."""

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from threading import Timer

import cloudpickle
import dask
import fsspec
import numpy as np
import pandas as pd
import pytest
from conftest import DAY, DAY_BEFORE, IN_THREADS, ROOT, SMALL_DAY, hold_events
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import find_free_ports
from test_ingestion import HEADER, zeek_line

from network_anomalies.datasets.handles import StoreName, read_credentials
from network_anomalies.datasets.layers import NamedObject
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.time_slices import DayObjects, read_by_hours
from network_anomalies.datasets.write_once import LakeFolder
from network_anomalies.errors import ProjectError, explain
from network_anomalies.events.parts import encode_part, to_canonical_table
from network_anomalies.parameters import TransformationParameters, WorkersParameters
from network_anomalies.pipelines.ingestion.encoding import describe_part
from network_anomalies.pipelines.transformation.nodes import transform_slices
from network_anomalies.records.silver_day import Slice
from network_anomalies.work.calls import map_calls

ADDRESS = "DASK_SCHEDULER_ADDRESS"
ON_DASK = WorkersParameters(dask=True, local_processes=0)
PHASES = {
    "_encode_part",
    "_encode_slice",
    "_encode_summary",
    "_remember_day",
    "_fit_model",
    "_encode_scores",
    "_name_attacks",
    "_conclude",
}
"""The functions that workers are given on a day of synthetic events."""
MOST_PICKLED = 300_000
"""Bytes of a call that is sent to a worker."""

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests


@pytest.fixture(scope="module")
def cluster(servers):
    """Two worker processes that know the store, and not the registry."""
    with start_workers(2, list_store_variables(servers)) as cluster:
        yield cluster


@pytest.fixture
def mortal_cluster(servers):
    """Two more, which a test may kill: other tests would find no workers if one of them did not start again.

    A local cluster looks some time after a worker was lost whether it is there again, and if not, starts it no more. In
    that moment it may have been killed once more.
    """
    limits = {"distributed.scheduler.allowed-failures": 1, "distributed.deploy.lost-worker-timeout": "10 minutes"}
    with (
        dask.config.set(limits),
        start_workers(2, list_store_variables(servers)) as cluster,
    ):
        yield cluster


def list_store_variables(servers):
    return {name: value for name, value in servers.items() if name.startswith("MINIO")}


@contextmanager
def start_workers(count, variables):
    with LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None, env=variables) as cluster:
        yield cluster


@pytest.fixture
def on_dask(ready, cluster, monkeypatch):
    """A project on the real servers whose runs use the workers."""
    monkeypatch.setenv(ADDRESS, cluster.scheduler_address)
    use_dask(ready)
    return ready


@pytest.fixture
def on_mortal(ready, mortal_cluster, monkeypatch):
    """A project on the real servers whose runs use workers that a test may kill."""
    monkeypatch.setenv(ADDRESS, mortal_cluster.scheduler_address)
    use_dask(ready)
    return ready


def use_dask(project, **changes):
    parameters = project.root / "conf/base/parameters_run.yml"
    text = parameters.read_text().replace("dask: false", "dask: true")
    for name, value in changes.items():
        text = text.replace(f"{name}: 0", f"{name}: {value}")
    parameters.write_text(text)


def list_digests(project, day=None):
    """Return the sha256 of the tables that the stages of a project stored, by stage and day, and of RAW's content."""
    rows = [row for row in project.records("stage_events") if day in (None, str(row["logical_date"]))]
    stored = {
        (row["stage"], str(row["logical_date"])): [
            item["sha256"] for item in row["outputs"] if item["uri"].endswith((".parquet", ".arrow"))
        ]
        for row in rows
    }
    events = project.rows("ingestion_events").sort_values(["logical_date", "part"])
    events = events[events["logical_date"].astype("str").eq(day)] if day else events
    return stored | {("raw", ""): events[["content_sha256", "object_sha256"]].to_numpy().tolist()}


def list_alerts(project, day=None):
    alerts = project.rows("alerts").sort_values("alert_id")
    alerts = alerts[alerts["logical_date"].astype("str").eq(day)] if day else alerts
    return alerts[["alert_id", "kind", "entity", "score", "flows", "severity"]].to_dict("records")


def watch_calls(monkeypatch, change):
    """Let ``change`` replace each call before it is sent to a worker."""
    submit = Client.submit
    monkeypatch.setattr(Client, "submit", lambda self, call, *rest, **more: submit(self, change(call), *rest, **more))


def name_call(call):
    """Return the name of the function that a call makes in the end."""
    if not isinstance(call, partial):
        return call.__name__
    inner = call.args[0] if call.func.__name__.startswith("save_") else call
    return inner.func.__name__ if isinstance(inner, partial) else inner.__name__


@pytest.mark.slow(reason="two days go through every stage")
def test_days_on_workers_are_those_of_a_run_in_threads(on_dask, servers, modelled_days, monkeypatch):
    sent: dict[str, bytes] = {}
    watch_calls(monkeypatch, lambda call: sent.update({name_call(call): cloudpickle.dumps(call)}) or call)
    for day in (DAY_BEFORE, DAY):
        on_dask.run("full", logical_date=day, **SMALL_DAY)
    digests = list_digests(on_dask)
    assert digests == list_digests(modelled_days)
    assert {stage for stage, _ in digests} >= {"raw", "transformation", "training", "scoring"}
    assert list_alerts(on_dask) == list_alerts(modelled_days) != []
    assert sent.keys() == {*PHASES, "leave_rests", "make_nothing"}
    assert max(map(len, sent.values())) < MOST_PICKLED
    secrets = [servers[name].encode() for name in ("MINIO_SECRET_KEY", "PG_PASSWORD")]
    assert not [name for name, data in sent.items() for secret in secrets if secret in data]


def write_logs(project):
    """Put two log files into the store: flows that are not in order of time, of two days, and some broken lines."""
    lines = [zeek_line(150 * row, host=f"10.0.0.{row % 20}", server=f"192.0.2.{row % 5}") for row in range(620)]
    lines += [zeek_line(5, proto="nonsense"), "garbage\n"]
    bucket = project.stores.buckets["reports"]
    for name, some in {"b.log": lines[::2], "a.log": lines[1::2][::-1]}.items():
        project.stores.lake.pipe_file(f"{bucket}/logs/{name}", (HEADER + "".join(some)).encode())
    return {"source": "zeek", "logs__path": f"s3://{bucket}/logs", "logs__part_events": 100}


def test_logs_on_workers_are_those_of_a_run_in_threads(ready, servers, cluster, monkeypatch):
    given_logs = write_logs(ready)
    assert ready.run("log_ingestion", **given_logs) == "SUCCESS"
    before = {layer: ready.objects(layer) for layer in ready.stores.buckets}
    use_dask(ready)
    monkeypatch.setenv(ADDRESS, cluster.scheduler_address)
    sent = []
    watch_calls(monkeypatch, lambda call: sent.append((name_call(call), cloudpickle.dumps(call))) or call)
    assert ready.run("log_ingestion", **given_logs) == "UNCHANGED"
    # What waited in the store for the second pass is deleted.
    assert {layer: ready.objects(layer) for layer in ready.stores.buckets} == before
    assert len(before["raw"]) > 4 and before["quarantine"]
    assert {name for name, _ in sent} == {"index_log", "_encode_part", "leave_rests", "make_nothing"}
    assert not [name for name, data in sent if servers["MINIO_SECRET_KEY"].encode() in data]
    assert max(len(data) for _, data in sent) < MOST_PICKLED


def die_once(marker, call, *rest):
    """Do a call's work; the first process that has done it is killed before it can say so."""
    made = call(*rest)
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return made
    die()
    return made


def die(*_):
    time.sleep(1)  # what watches over a worker gives it up if it dies while it starts
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow(reason="the workers of seven phases are killed, and start again")
def test_a_worker_that_is_killed_in_each_phase_does_no_harm(on_mortal, modelled_days, tmp_path, monkeypatch):
    is_work = PHASES.__contains__
    watch_calls(
        monkeypatch,
        lambda call: partial(die_once, tmp_path / name, call) if is_work(name := name_call(call)) else call,
    )
    assert on_mortal.run("full", logical_date=DAY_BEFORE, **SMALL_DAY) == "SUCCESS"
    assert {path.name for path in tmp_path.iterdir()} >= PHASES
    assert list_digests(on_mortal) == list_digests(modelled_days, DAY_BEFORE)
    assert list_alerts(on_mortal) == list_alerts(modelled_days, DAY_BEFORE)
    events = on_mortal.rows("ingestion_events")
    assert (events["revision"] == 1).all() and len(on_mortal.rows("ingestion_batches")) == 1
    assert sorted(on_mortal.objects("raw")) == sorted(uri.removeprefix("s3://") for uri in events["object_uri"])


def fails(project, pipeline, **params):
    """Return what a run that fails says, and how many seconds it took; it must have committed nothing."""
    started = time.monotonic()
    with pytest.raises(ProjectError) as error:
        project.run(pipeline, **params)
    said = explain(error.value)
    assert "\n" not in said
    assert project.rows("stage_events").empty and project.rows("ingestion_events").empty
    return said, time.monotonic() - started


def test_a_piece_that_ends_every_worker_is_an_error_and_nothing_is_committed(on_mortal, monkeypatch):
    watch_calls(monkeypatch, lambda call: die)
    said, _ = fails(on_mortal, "ingestion")
    assert said.startswith("a piece of the day ended 2 Dask workers one after another")
    assert "give workers more memory, or make pieces smaller (transformation.slice_rows" in said


@contextmanager
def start_dask(*words):
    """Start a program of Dask, and kill it at the end."""
    command = [sys.executable, "-m", *words, "--no-dashboard"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow(reason="a scheduler and a worker start as programs of their own")
def test_a_scheduler_that_is_lost_during_the_work_is_an_error(monkeypatch):
    (port,) = find_free_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    monkeypatch.setenv(ADDRESS, address)
    with (
        start_dask("distributed.cli.dask_scheduler", "--port", str(port)) as scheduler,
        start_dask("distributed.cli.dask_worker", address, "--nthreads", "1"),
    ):
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        watch_calls(monkeypatch, lambda call: Timer(1, scheduler.kill).start() or call)
        with pytest.raises(ProjectError, match=r"^the Dask scheduler was lost during the run: start it again"):
            list(map_calls([partial(time.sleep, 60)], ON_DASK))


@contextmanager
def absent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"tcp://127.0.0.1:{port}"


@contextmanager
def silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def without_workers():
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@contextmanager
def misspelt():
    yield "tcp://127.0.0.1"


@pytest.mark.parametrize("scheduler", [absent, silent, without_workers, misspelt])
def test_a_scheduler_that_is_of_no_use_is_one_line_within_seconds(scheduler, embedded, monkeypatch):
    use_dask(embedded)
    assert embedded.invoke("setup").returncode == 0
    with scheduler() as address:
        monkeypatch.setenv(ADDRESS, address)
        said, seconds = fails(embedded, "ingestion")
    assert address in said and "set workers.dask to false" in said
    assert ("has no workers: start some" if scheduler is without_workers else f"check {ADDRESS}") in said
    assert seconds < 15


def pretend_version(folder):
    """Let a worker say that it has another version of a package."""
    (folder / "s3fs-1.0.dist-info").mkdir()
    (folder / "s3fs-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: s3fs\nVersion: 1.0\n")
    return " has s3fs 1.0, not "


def change_code(folder):
    shutil.copytree(ROOT / "src/network_anomalies", folder / "network_anomalies")
    with (folder / "network_anomalies/errors.py").open("a") as file:
        file.write("# another state of the code\n")
    return " has other code of network-anomalies"


@contextmanager
def start_changed_worker(folder):
    """Start a worker that finds packages in a folder first: it takes the search path of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    with closing(cluster):
        yield cluster


@pytest.mark.parametrize("change", [pretend_version, change_code])
def test_a_worker_of_another_version_is_named_before_the_work(change, tmp_path, monkeypatch):
    said = change(tmp_path)
    with start_changed_worker(tmp_path) as cluster:
        monkeypatch.setenv(ADDRESS, cluster.scheduler_address)
        with pytest.raises(ProjectError, match="Dask workers differ from this process") as error:
            list(map_calls([partial(Path.touch, tmp_path / "worked")], ON_DASK))
    assert said in error.value.message and "tcp://" in error.value.message
    assert not (tmp_path / "worked").exists()


def write_parts(folder: Path, seed: int) -> list[NamedObject]:
    """Write RAW parts that overlap in time: nine tenths of the flows are in one hour, and some hours have none."""
    random = np.random.default_rng(seed)
    busy, hours = random.integers(24), random.choice(24, 4, replace=False)
    objects = []
    for part in range(1, 5):
        rows = 300
        hour = np.where(random.random(rows) < 0.9, busy, random.choice(hours, rows))
        micros = hour * 3_600_000_000 + random.integers(0, 3_600_000_000, rows)
        hosts = [f"10.0.{part}.{host}" for host in range(9)]
        events = pd.DataFrame(
            {
                "timestamp": pd.Timestamp(DAY, tz="UTC") + pd.to_timedelta(micros, unit="us"),
                "src_ip": random.choice(hosts, rows),
                "dst_ip": random.choice(hosts, rows),
                "bytes": random.integers(0, 9000, rows),
                "duration": random.random(rows),
                "protocol": random.choice(["TCP", "UDP"], rows),
            }
        )
        table = to_canonical_table(events)
        data = encode_part(table, {})
        made = describe_part(table, data, part, 0)
        (folder / made.file_name).write_bytes(data)
        facts = {"first": made.min_timestamp, "last": made.max_timestamp, "rows": rows}
        objects.append(NamedObject(made.file_name, made.object_sha256, **facts))
    return objects


@settings(max_examples=4)
@given(
    seed=st.integers(0, 2**32),
    hours=st.sampled_from([1, 6]),
    rows=st.sampled_from([200, 500_000]),
    events=st.sampled_from([1_200, 1_000_000]),
)
def test_skewed_slices_of_unordered_parts_are_equal(cluster, tmp_path_factory, seed, hours, rows, events):
    """Slices of a day with few events are joined, those of one that is said to have many are not."""
    folder = tmp_path_factory.mktemp("raw")
    lake = CheckedObjects(fsspec.filesystem("file"), store=StoreName("file"))
    objects = DayObjects(lake, str(folder), write_parts(folder, seed))
    slices = read_by_hours(objects, date.fromisoformat(DAY), hours, rows)
    slices["none"] = Slice.of(hold_events(next(iter(slices.values()))().head(0)))
    folders = [
        LakeFolder(StoreName("file"), str(folder / "silver"), suffix, False) for suffix in (".parquet", ".arrow")
    ]
    parameters = TransformationParameters(slice_hours=hours, slice_rows=rows)
    receipt = pd.DataFrame({"revision": [1], "record_count": [events]})
    given_day = (slices, receipt, parameters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, cluster.scheduler_address)
        on_workers = list(transform_slices(*given_day, ON_DASK, folders))
    made, records = {}, []
    for *some, record in transform_slices(*given_day, IN_THREADS, folders):
        made |= {name: read() for objects in some for name, read in objects.items()}
        records.append(record)
    assert [record for *_, record in on_workers] == records
    assert not any(objects for *some, _ in on_workers for objects in some)
    assert {path.stem: path.read_bytes() for path in (folder / "silver").iterdir()} == made


def test_without_an_address_there_is_a_local_cluster(embedded):
    assert embedded.run("ingestion", **SMALL_DAY) == "SUCCESS"
    before = embedded.objects("raw")
    use_dask(embedded, local_processes=1)
    assert embedded.run("ingestion", **SMALL_DAY) == "UNCHANGED"
    assert embedded.objects("raw") == before


def test_without_the_setting_nothing_of_dask_is_imported(embedded):
    script = (
        "import sys; from pathlib import Path; from kedro.framework.project import configure_project\n"
        "configure_project('network_anomalies')\n"
        "from network_anomalies.runs.session import start_session\n"
        f"given = {{'logical_date': '{DAY}', 'generator': {{'n_events': 100}}}}\n"
        "given['transformation'] = {'slice_hours': 12}\n"
        "with start_session(Path('.'), None, given) as run:\n"
        "    run.run(pipeline_names=['full'])\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('dask', 'distributed')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=embedded.root, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr[-2000:]


def test_credentials_are_sent_by_name_and_read_where_they_are_used(embedded, monkeypatch):
    monkeypatch.chdir(embedded.root)
    monkeypatch.setenv("MINIO_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MINIO_ACCESS_KEY", "key")
    monkeypatch.delenv("MINIO_SECRET_KEY", raising=False)
    with pytest.raises(ProjectError, match=r"a Dask worker cannot read the credentials minio of environment minio .*"):
        read_credentials("minio/minio")
    monkeypatch.setenv("MINIO_SECRET_KEY", "hush")
    monkeypatch.delenv("PG_PASSWORD", raising=False)
    assert read_credentials("minio/minio")["secret"] == "hush"
    lake = CheckedObjects(StoreName("s3", "minio/minio").open(), 0, StoreName("s3", "minio/minio"))
    assert b"hush" not in pickle.dumps(lake)
    with pytest.raises(ProjectError, match="give its place a `store`"):
        read_credentials("?")
