"""What `compat` relies on in other libraries: an upgrade that changes it fails here first."""

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest
import s3fs
import yaml
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from network_anomalies.compat import ATTEMPTS, limit_s3, make_catalog, use_libyaml, use_resolvers
from network_anomalies.runs.catalog import ProjectCatalog


@pytest.fixture
def filesystem():
    """An S3 filesystem of this test's own, which has sent nothing yet."""
    return fsspec.filesystem("s3", key="k", secret="s", skip_instance_cache=True)


def read_word() -> str:
    return OmegaConf.to_container(OmegaConf.create({"word": "${word:}"}), resolve=True)["word"]


def test_resolvers_belong_to_the_whole_process_and_kedro_keeps_the_first(tmp_path):
    """While this holds, `use_resolvers` is needed."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base/catalog.yml").write_text("entry: {word: '${word:}'}")
    OmegaConf.clear_resolver("word")
    options = {"base_env": "base", "default_run_env": "base"}
    first, second = (
        OmegaConfigLoader(tmp_path, custom_resolvers={"word": lambda text=text: text}, **options)
        for text in ("first", "second")
    )
    assert (first["catalog"]["entry"]["word"], second["catalog"]["entry"]["word"]) == ("first", "first")


def test_a_thread_reads_with_its_own_resolvers():
    words, entered, done = [], threading.Event(), threading.Event()

    def read(text: str, wait: bool) -> None:
        with use_resolvers({"word": lambda: text}):
            entered.set()
            if wait:
                done.wait(0.2)
            words.append((text, read_word()))

    slow = threading.Thread(target=read, args=("slow", True))
    slow.start()
    entered.wait()
    read("quick", False)
    slow.join()
    assert words == [("slow", "slow"), ("quick", "quick")]


def test_omegaconf_reads_yaml_in_python_unless_it_is_told_otherwise(tmp_path):
    """While this holds, `use_libyaml` is needed."""
    text = tmp_path / "a.yml"
    text.write_text("a: {b: [1, 2.5e-3, 2024-04-19, yes, '007', null, 1e5, 0x1f]}\n")
    assert not issubclass(get_yaml_loader(), yaml.CSafeLoader)
    plain = OmegaConf.load(text)
    with use_resolvers({}), use_libyaml():
        assert issubclass(get_yaml_loader(), yaml.CSafeLoader)
        assert OmegaConf.load(text) == plain
    assert not issubclass(get_yaml_loader(), yaml.CSafeLoader)


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a:\n  b: [1\nc: 2\n", "a: {b: 1}}\n", "a:\n\t- b\n"])
def test_libyaml_names_the_line_that_python_names(tmp_path, text):
    (tmp_path / "a.yml").write_text(text)
    lines = []
    for reading in (nullcontext, use_libyaml):
        with reading(), pytest.raises(yaml.MarkedYAMLError) as raised:
            OmegaConf.load(tmp_path / "a.yml")
        lines.append(raised.value.problem_mark.line)
    assert lines[0] == lines[1]


def test_a_block_may_read_what_needs_resolvers_again():
    with use_resolvers({"word": lambda: "outer"}), use_resolvers({"word": lambda: "outer"}):
        assert read_word() == "outer"


def test_s3fs_takes_attempts_and_session_after_it_was_made(filesystem):
    assert s3fs.S3FileSystem.retries > ATTEMPTS
    assert filesystem.session is None
    limit_s3(filesystem)
    assert (filesystem.retries, s3fs.S3FileSystem.retries) == (ATTEMPTS, 5)
    session = filesystem.session
    limit_s3(filesystem)
    assert filesystem.session is session


def test_equal_arguments_give_the_same_filesystem():
    """While this holds, Kedro's own datasets have the limits too."""
    limited = fsspec.filesystem("s3", key="k", secret="equal")
    limit_s3(limited)
    assert fsspec.filesystem("s3", key="k", secret="equal") is limited


def test_other_filesystems_are_left_alone():
    local = fsspec.filesystem("file")
    limit_s3(local)
    assert not hasattr(local, "session")


@pytest.fixture
def store() -> Iterator[tuple[str, list[str | None]]]:
    """An HTTP server that takes any object; its URL, and the header `Expect` of each request."""
    seen: list[str | None] = []

    class Store(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(self.headers.get("Expect"))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def test_only_a_limited_filesystem_sends_a_body_at_once(store):
    url, seen = store
    options = {"key": "k", "secret": "s", "endpoint_url": url, "skip_instance_cache": True}
    plain, limited = fsspec.filesystem("s3", **options), fsspec.filesystem("s3", **options)
    limit_s3(limited)
    for filesystem in (plain, limited):
        filesystem.pipe_file("bucket/key", b"bytes")
    assert seen == ["100-continue", None]


def test_the_catalog_of_a_context_is_of_the_projects_class(embedded):
    context = embedded.session().load_context()
    assert type(make_catalog(context, ProjectCatalog)) is ProjectCatalog
    assert type(context.catalog) is ProjectCatalog
