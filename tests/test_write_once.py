"""Write-once objects: there whole or not at all, and never changed."""

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import Any

import fsspec
import pandas as pd
import pytest
from kedro.io import DatasetError

from network_anomalies.datasets import WriteOnceParquetDataset
from network_anomalies.errors import ProjectError


@dataclass
class Place:
    """A folder or a bucket to write to, and a plain client to look at it."""

    root: str
    options: dict[str, Any]

    @property
    def fs(self) -> Any:
        return fsspec.core.url_to_fs(self.root, **self.options, skip_instance_cache=True)[0]

    def dataset(self, name: str = "a.parquet", **arguments: Any) -> WriteOnceParquetDataset:
        return WriteOnceParquetDataset(filepath=f"{self.root}/{name}", credentials=self.options, **arguments)

    def read(self, name: str = "a.parquet") -> bytes:
        return bytes(self.fs.cat_file(f"{self.root}/{name}"))

    def stamp(self, name: str = "a.parquet") -> tuple[Any, ...]:
        info = self.fs.info(f"{self.root}/{name}")
        return tuple(info.get(key) for key in ("size", "ino", "mtime", "LastModified", "ETag"))

    def names(self) -> list[str]:
        return sorted(path.rsplit("/", 1)[1] for path in self.fs.find(self.root))


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(str(tmp_path / "lake"), {})
    return make_bucket(request.getfixturevalue("servers"))


def make_bucket(servers: dict[str, str]) -> Place:
    options = {
        "key": servers["MINIO_ACCESS_KEY"],
        "secret": servers["MINIO_SECRET_KEY"],
        "endpoint_url": servers["MINIO_ENDPOINT_URL"],
    }
    place = Place(f"s3://once-{os.urandom(4).hex()}", options)
    place.fs.mkdir(place.root)
    return place


def encode(*values: int) -> bytes:
    sink = BytesIO()
    pd.DataFrame({"value": values}).to_parquet(sink)
    return sink.getvalue()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_saved_is_stored_byte_for_byte_and_loads_as_rows(place):
    dataset = place.dataset("day/a.parquet")
    assert not dataset.exists()
    dataset.save(encode(1, 2))
    assert dataset.exists()
    assert place.read("day/a.parquet") == encode(1, 2)
    assert dataset.load()["value"].tolist() == [1, 2]


def test_a_new_object_leaves_no_other_file_beside_it(place):
    place.dataset().save(encode(1))
    assert place.names() == ["a.parquet"]


@pytest.mark.parametrize("compare", [True, False])
def test_saving_equal_bytes_again_does_not_touch_the_object(place, compare):
    place.dataset().save(encode(1))
    before = place.stamp()
    time.sleep(1.1)
    place.dataset(compare=compare).save(encode(1))
    assert place.stamp() == before
    assert place.names() == ["a.parquet"]


def test_saving_other_bytes_is_an_error_that_names_the_key_and_changes_nothing(place):
    place.dataset().save(encode(1))
    before = place.stamp()
    with pytest.raises(DatasetError, match=rf"{place.root}/a.parquet exists with other bytes") as raised:
        place.dataset().save(encode(2))
    assert isinstance(raised.value.__cause__, ProjectError)
    assert (place.read(), place.stamp(), place.names()) == (encode(1), before, ["a.parquet"])


def test_without_comparison_the_first_bytes_are_kept(place):
    place.dataset(compare=False).save(encode(1))
    place.dataset(compare=False).save(encode(2))
    assert place.read() == encode(1)


def test_an_empty_object_and_a_longer_one_with_the_same_start_are_different(place):
    place.dataset().save(b"")
    with pytest.raises(DatasetError, match="other bytes"):
        place.dataset().save(b"PAR1")
    assert place.read() == b""


def test_an_object_above_the_multipart_threshold_is_one_conditional_put(servers):
    place, data = make_bucket(servers), bytes(51 * 2**20)
    place.dataset().save(data)
    etag = place.fs.info(f"{place.root}/a.parquet")["ETag"]
    place.dataset().save(data)
    with pytest.raises(DatasetError, match="other bytes"):
        place.dataset().save(data[:-1] + b"1")
    assert "-" not in etag
    assert place.fs.info(f"{place.root}/a.parquet")["ETag"] == etag


def test_a_write_that_breaks_off_leaves_no_file(tmp_path):
    dataset = WriteOnceParquetDataset(filepath=str(tmp_path / "day" / "a.parquet"))
    with full_disk(1000), pytest.raises(DatasetError, match="too large"):
        dataset.save(bytes(100_000))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    dataset.save(encode(1))
    assert dataset.load()["value"].tolist() == [1]


def test_a_write_below_a_file_leaves_that_file_alone(tmp_path):
    (tmp_path / "day").write_bytes(b"a file")
    with pytest.raises((DatasetError, OSError)):
        WriteOnceParquetDataset(filepath=str(tmp_path / "day" / "a.parquet")).save(encode(1))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("day", b"a file")]


def test_a_write_to_a_missing_bucket_fails_and_makes_none(servers):
    place = make_bucket(servers)
    missing = Place(f"{place.root}-missing", place.options)
    with pytest.raises((DatasetError, FileNotFoundError), match="bucket does not exist"):
        missing.dataset().save(encode(1))
    assert not missing.fs.exists(missing.root)


def race(place: Place, name: str, contents: list[bytes]) -> list[BaseException]:
    barrier = Barrier(len(contents))

    def save(data: bytes) -> BaseException | None:
        dataset = place.dataset(name)
        barrier.wait()
        try:
            dataset.save(data)
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(len(contents)) as pool:
        return [error for error in pool.map(save, contents) if error]


def test_of_racing_writers_with_equal_bytes_none_fails(place):
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        assert race(place, name, [encode(1)] * 2) == []
        assert place.read(name) == encode(1)
    assert place.names() == ["a.parquet", "b.parquet", "c.parquet"]


def test_of_two_racing_writers_with_different_bytes_exactly_one_fails(place):
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        (error,) = race(place, name, [encode(1), encode(2)])
        assert "other bytes" in str(error)
        assert place.read(name) in (encode(1), encode(2))
    assert place.names() == ["a.parquet", "b.parquet", "c.parquet"]


def test_its_description_and_errors_hold_no_credential(servers):
    place = make_bucket(servers)
    place.dataset().save(encode(1))
    with pytest.raises(DatasetError) as raised:
        place.dataset().save(encode(2))
    dataset = place.dataset()
    for text in (repr(dataset), str(dataset), str(dataset._describe()), str(raised.value)):
        assert place.root in text
        assert servers["MINIO_SECRET_KEY"] not in text
        assert servers["MINIO_ACCESS_KEY"] not in text


@pytest.mark.parametrize("url", ["memory://bucket/a.parquet", "simplecache::memory://bucket/a.parquet"])
def test_a_store_without_conditional_writes_is_refused(url):
    with pytest.raises(DatasetError, match=r"need a local path or s3://"):
        WriteOnceParquetDataset(filepath=url).save(encode(1))
