"""The datasets that Kedro lacks, on folders and on the real object store."""

import errno
import hashlib
import os
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import fsspec
import fsspec.implementations.local
import pandas as pd
import pytest
from kedro.io import DatasetError
from sqlalchemy import text
from test_ingestion import HEADER, write_log, zeek_line

from network_anomalies.datasets import CollectedDataset, CurrentObjectsDataset, LogFilesDataset
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.errors import ProjectError, explain
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS
from network_anomalies.registry.engine import connect
from network_anomalies.registry.tables import ingestion_events

DAY = "2024-04-19"
SERVED_BY = {"key": "MINIO_ACCESS_KEY", "secret": "MINIO_SECRET_KEY", "endpoint_url": "MINIO_ENDPOINT_URL"}


def options(servers):
    return {option: servers[variable] for option, variable in SERVED_BY.items()}


def to_parquet(**columns):
    return pd.DataFrame(columns).to_parquet()


def catalog_of(project, **params):
    return project.session(logical_date=DAY, **params).load_context().catalog


REJECTS = [*COLUMNS, "row", "rule", "reason", "part", "run_id"]


def ingest_lines(project, *lines):
    """Ingest lines of a Zeek log as the day of source zeek; return the run's id."""
    write_log(project, "conn.log", HEADER + "".join(lines))
    project.run("log_ingestion", source="zeek", gate__max_rejected_share=1.0)
    return project.rows("pipeline_runs").sort_values("started_at")["run_id"].iloc[-1]


def test_a_quarantine_before_any_commit_says_what_to_run(anywhere):
    with pytest.raises(ProjectError) as raised:
        anywhere.load("quarantined_events", source="zeek")
    said = explain(raised.value)
    assert said.startswith(
        f"there are no quarantine objects of source zeek on {DAY}: run the ingestion or log_ingestion"
    )


def test_the_quarantine_of_a_clean_day_is_empty_and_has_its_columns(anywhere):
    ingest_lines(anywhere, zeek_line(1))
    rejects = anywhere.load("quarantined_events", source="zeek")
    assert rejects.empty
    assert list(rejects.columns) == REJECTS


def test_a_quarantine_loads_as_one_frame_of_the_current_revision(anywhere):
    ingest_lines(anywhere, zeek_line(1), zeek_line(2, proto="nonsense"))
    former = anywhere.objects("quarantine")
    lines = [zeek_line(second, proto=proto) for second, proto in ((1, "tcp"), (2, "odd"), (3, "bad"))]
    run_id = ingest_lines(anywhere, *lines)
    assert len(former) == 1 and len(anywhere.objects("quarantine")) == 2
    rejects = anywhere.load("quarantined_events", source="zeek")
    assert set(rejects.columns) == set(REJECTS) | set(OPTIONAL_COLUMNS)
    assert rejects["protocol"].str.lower().tolist() == ["odd", "bad"]
    assert (rejects["rule"].nunique(), set(rejects["run_id"]), set(rejects["part"])) == (1, {run_id}, {1})
    assert rejects.index.tolist() == [0, 1]


def test_a_quarantine_keeps_the_first_object_of_a_name(anywhere):
    quarantine = catalog_of(anywhere)["quarantined_events"]
    quarantine.save({"one": to_parquet(rule=["first"])})
    (key,) = anywhere.objects("quarantine")
    first = anywhere.stores.lake.cat_file(key)
    quarantine.save({"one": to_parquet(rule=["second"])})
    assert anywhere.stores.lake.cat_file(key) == first


@pytest.mark.parametrize("wrong", [{"secret": "wrong"}, {"endpoint_url": "http://127.0.0.1:9"}], ids=["secret", "host"])
def test_a_quarantine_that_cannot_be_read_is_no_empty_one(ready, servers, wrong):
    ingest_lines(ready, zeek_line(1), zeek_line(2, proto="nonsense"))
    (key,) = ready.objects("quarantine")
    credentials = options(servers) | wrong | {"config_kwargs": {"retries": {"max_attempts": 1}}}
    quarantine = CurrentObjectsDataset(
        layer="quarantine",
        source="zeek",
        logical_date=DAY,
        registry={"credentials": {"con": ready.url}},
        lake={"path": f"s3://{key.rpartition('/')[0]}", "credentials": credentials},
    )
    with pytest.raises(DatasetError):
        quarantine.load()


@pytest.mark.parametrize("harm", ["damage", "remove"])
def test_a_harmed_object_of_the_quarantine_is_named(embedded, harm):
    ingest_lines(embedded, zeek_line(1), zeek_line(2, proto="nonsense"))
    (row,) = embedded.records("quarantine_objects")
    getattr(embedded, harm)(row["object_uri"])
    with pytest.raises(ProjectError, match=row["file_name"]):
        embedded.load("quarantined_events", source="zeek")


def test_a_collection_keeps_every_item_in_order_until_it_is_released():
    collected = CollectedDataset()
    assert not collected.exists()
    for item in ({"part": 2}, {"part": 1}, {"part": 2}):
        collected.save(item)
    assert collected.exists()
    assert collected.load() == [{"part": 2}, {"part": 1}, {"part": 2}]
    collected.load().clear()
    assert len(collected.load()) == 3
    collected.release()
    assert not collected.exists()


def test_what_is_kept_while_a_run_works_is_the_item_itself_and_gone_after_it(embedded):
    catalog, item = catalog_of(embedded), {"day": object()}
    for name in ("synthetic_day", "part_reports"):
        catalog.save(name, [])
        catalog.save(name, item)
    assert catalog.load("synthetic_day") is item
    assert catalog.load("part_reports") == [[], item]
    for name in ("synthetic_day", "part_reports"):
        catalog.release(name)
        with pytest.raises(ProjectError, match="content only during a run"):
            catalog.load(name)


class Logs:
    """A place with log files, some of them hidden."""

    def __init__(self, root, credentials):
        self.root, self.credentials = root, credentials
        self.fs, self.base = fsspec.core.url_to_fs(root, **(credentials or {}), skip_instance_cache=True)
        for name in ("conn.2.log", "conn.1.log", "day/conn.log", "day/http.txt", ".hidden.log", "day/.conn.log.swp"):
            self.write(name)

    def write(self, name):
        if not self.credentials:
            self.fs.makedirs(f"{self.base}/{name}".rpartition("/")[0], exist_ok=True)
        self.fs.pipe_file(f"{self.base}/{name}", name.encode())

    def dataset(self, path):
        return LogFilesDataset(path=f"{self.root}{path}", credentials=self.credentials)

    def names(self, path):
        return [found.removeprefix(f"{self.base}/") for found in self.dataset(path).load()]


@pytest.fixture(params=["local", "s3"])
def logs(request, tmp_path):
    if request.param == "local":
        return Logs(str(tmp_path / "logs"), None)
    credentials, bucket = options(request.getfixturevalue("servers")), f"logs-{os.urandom(4).hex()}"
    fsspec.filesystem("s3", **credentials).mkdir(bucket)
    return Logs(f"s3://{bucket}/logs", credentials)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/conn.1.log", ["conn.1.log"]),
        ("", ["conn.1.log", "conn.2.log", "day/conn.log", "day/http.txt"]),
        ("/", ["conn.1.log", "conn.2.log", "day/conn.log", "day/http.txt"]),
        ("/day", ["day/conn.log", "day/http.txt"]),
        ("/*", ["conn.1.log", "conn.2.log"]),
        ("/**/conn*.log", ["conn.1.log", "conn.2.log", "day/conn.log"]),
        ("/conn.[2-9].log", ["conn.2.log"]),
    ],
)
def test_log_files_are_a_file_a_folder_or_a_glob_in_order_without_hidden_files(logs, path, names):
    assert logs.dataset(path).exists()
    assert logs.names(path) == names


def test_a_log_file_opens_for_reading_bytes_as_often_as_wanted(logs):
    for open_file in list(logs.dataset("").load().values()) * 2:
        with open_file() as file:
            assert file.read().endswith((b".log", b".txt"))


def test_files_in_hidden_folders_are_left_out(logs):
    logs.write("day/.snapshot/conn.log")
    assert logs.names("/day") == ["day/conn.log", "day/http.txt"]


def test_a_hidden_log_file_is_read_when_it_is_named_itself(logs):
    assert logs.names("/.hidden.log") == [".hidden.log"]


@pytest.mark.parametrize("path", ["/none.log", "/none", "/none/*.log"])
def test_no_log_files_is_an_error_that_names_the_path(logs, path):
    assert not logs.dataset(path).exists()
    with pytest.raises(DatasetError, match=re.escape(f"logs{path}: put them there")) as raised:
        logs.dataset(path).load()
    assert isinstance(raised.value.__cause__, ProjectError)


def test_a_prefix_without_rights_is_one_line_that_says_so(servers):
    credentials = options(servers) | {"secret": "wrong"}
    with pytest.raises(Exception) as raised:
        LogFilesDataset(path="s3://logs/office", credentials=credentials).load()
    said = explain(raised.value)
    assert "\n" not in said
    assert "wrong" not in said
    assert re.search("MINIO_ACCESS_KEY|access|denied|rights", said), said


def test_links_lead_to_each_file_once_and_a_loop_of_links_is_named(tmp_path, caplog):
    logs = Logs(str(tmp_path / "logs"), None)
    before = logs.names("")
    for name, target in {"a.log": "day/conn.log", "day/loop": "../day", "self": "self", "none.log": "nowhere"}.items():
        os.symlink(target, f"{logs.base}/{name}")
    names = logs.names("")
    assert [*names] == sorted({*before, "a.log"} - {"day/conn.log"})
    assert all(name in caplog.text for name in ("day/loop", "self", "none.log"))
    assert "links to folders, and broken links, are left out: " in caplog.text
    assert logs.names("/**/conn.log") == ["day/conn.log"]
    for name in ("/self", "/none.log"):
        assert not logs.dataset(name).exists()


def test_a_file_that_the_system_cannot_open_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EINVAL, "Invalid argument")

    (path, open_file), *_ = Logs(str(tmp_path / "logs"), None).dataset("").load().items()
    monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "open", refuse)
    with pytest.raises(ProjectError, match=f"{path} cannot be read: leave it out of the path"):
        open_file()


def test_the_date_in_a_path_stands_for_a_day_and_its_neighbours(logs):
    for day in ("18", "19", "20", "21"):
        logs.write(f"dated/2024/04-{day}/conn.{day}.log")
    path = f"{logs.root}/dated/{{date:%Y}}/{{date:%m-%d}}/*.log"
    dataset = LogFilesDataset(path=path, logical_date="2024-04-19", credentials=logs.credentials)
    assert [name[-6:-4] for name in dataset.load()] == ["18", "19", "20"]
    with pytest.raises(ProjectError, match="needs a logical date"):
        LogFilesDataset(path=path, credentials=logs.credentials)


def test_log_files_that_arrive_later_are_found(logs):
    dataset = logs.dataset("/day")
    assert len(dataset.load()) == 2
    logs.write("day/later.log")
    assert f"{logs.base}/day/later.log" in dataset.load()


def test_log_files_and_views_of_what_is_stored_refuse_to_be_saved(embedded):
    catalog = catalog_of(embedded)
    views = {"raw_slices": "raw as slices", "current_parts": "raw as parts", "history_slices": "silver as days"}
    for name, words in {"log_files": "log_files", "previous_champion": "previous_champion", **views}.items():
        with pytest.raises(DatasetError, match=f"{words} is read only"):
            catalog.save(name, {"a": b"bytes"})


def test_nothing_exists_on_stores_that_were_just_made(anywhere):
    catalog = catalog_of(anywhere)
    for name in ("raw_network_events", "ingestion_events", "quarantined_events", "raw_parts"):
        assert not catalog.exists(name), name


def test_current_events_of_a_day_without_a_commit_are_an_error_that_names_it(anywhere):
    anywhere.run(logical_date="2024-04-18")
    catalog = catalog_of(anywhere)
    with pytest.raises(ProjectError) as raised:
        catalog.load("raw_network_events")
    assert explain(raised.value).startswith(f"there are no raw objects of source synthetic on {DAY}: run the ingestion")
    assert not catalog.exists("raw_network_events")


def test_current_events_are_those_of_the_current_revision_as_one_frame_in_order_of_time(anywhere):
    anywhere.run(generator__n_events=10)
    anywhere.run(generator__n_events=25, generator__part_events=10)
    catalog = catalog_of(anywhere)
    events = catalog.load("raw_network_events")
    assert catalog.exists("raw_network_events")
    assert len(anywhere.objects()) == 4
    assert len(events) == 25
    assert events["timestamp"].is_monotonic_increasing
    assert list(events.columns) == ["timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol"]
    assert str(events["timestamp"].dtype) == "datetime64[us, UTC]"


def test_the_receipt_of_a_commit_is_its_rows_of_ingestion_events(anywhere):
    anywhere.run(generator__n_events=25, generator__part_events=10)
    catalog = catalog_of(anywhere)
    receipt = catalog.load("ingestion_events")
    assert catalog.exists("ingestion_events")
    assert list(receipt.columns) == [column.name for column in ingestion_events.columns]
    assert receipt["part"].tolist() == [1, 2, 3]
    assert receipt["record_count"].sum() == 25
    assert receipt["file_name"].tolist() == [path.rpartition("/")[2] for path in anywhere.objects()]
    for uri, name in zip(receipt["object_uri"], receipt["file_name"], strict=True):
        assert uri.endswith(f"/synthetic/{DAY}/{name}")
    assert catalog.load("current_objects")["object_sha256"].tolist() == receipt["object_sha256"].tolist()


def test_no_dataset_shows_a_credential(ready, servers):
    catalog = catalog_of(ready)
    # The password's last characters are the same in a URL, where others are quoted.
    secrets = (servers["MINIO_SECRET_KEY"], servers["PG_PASSWORD"], servers["PG_PASSWORD"][-11:])
    assert secrets[2] in ready.url
    assert secrets[1] not in ready.url
    names = [name for name in catalog.keys() if not name.startswith("params:")]  # noqa: SIM118
    assert {"raw_parts", "quarantined_events", "ingestion_events", "current_objects", "log_files"} <= set(names)
    for name in names:
        dataset = catalog[name]
        for shown in (repr(dataset), str(dataset), str(dataset._describe())):
            assert not [secret for secret in secrets if secret in shown], name
    assert not [secret for secret in secrets if secret in repr(catalog) + str(catalog)]


def test_an_error_of_the_registry_shows_no_credential(ready, servers):
    with connect(ready.url).begin() as connection:
        connection.execute(text("DROP TABLE ingestion_events CASCADE"))
    for name in ("ingestion_events", "raw_network_events", "current_objects"):
        with pytest.raises(DatasetError) as raised:
            ready.load(name)
        assert servers["PG_PASSWORD"][-11:] not in str(raised.value), name


class SlowFilesystem:
    """Counts how often each object is read, and takes its time."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()

    def cat_file(self, path: str) -> bytes:
        self.reads[path] += 1
        time.sleep(0.02)
        return path.encode()


@pytest.mark.parametrize(("kept", "reads"), [(2, 1), (0, 3)])
def test_threads_that_want_one_object_fetch_it_once_if_it_is_kept(kept, reads):
    filesystem = SlowFilesystem()
    objects = CheckedObjects(filesystem, kept)
    paths = ["a", "a", "a", "b", "b", "b"]
    with ThreadPoolExecutor(3) as threads:
        read = list(threads.map(lambda path: objects.read(path, hashlib.sha256(path.encode()).hexdigest()), paths))
    assert read == [path.encode() for path in paths]
    assert filesystem.reads == {"a": reads, "b": reads}
