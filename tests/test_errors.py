"""Errors in words: one line, the cause and the way out."""

import errno
import os
import pwd
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import click
import psycopg2
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import DatasetError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError, ProgrammingError

from network_anomalies.cli.options import in_one_line
from network_anomalies.errors import ContractError, Interrupted, ProjectError, explain, is_expected, is_transient
from network_anomalies.registry.engine import connect, open_registry
from network_anomalies.runs.configuration import ProjectConfigLoader


def chain(*errors: BaseException) -> BaseException:
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def store_error(code: str, operation: str = "PutObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "told by the store"}}, operation)


def database_error(message: str, kind: type = OperationalError) -> Exception:
    return kind("SELECT *\nFROM batches", {"day": "2024-04-19"}, psycopg2.OperationalError(message))


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be a user whose rights are asked for: root's are not."""
    before = os.geteuid()
    os.seteuid(before or pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("kind", [ProjectError, ContractError, Interrupted])
def test_an_error_of_the_project_speaks_for_the_whole_chain(place, kind):
    others = [DatasetError("Failed while saving"), store_error("NoSuchBucket")]
    others.insert(place, kind("the cause:\n  the way out"))
    assert explain(chain(*others)) == "the cause: the way out"


def test_an_error_of_the_project_is_found_in_the_context_too():
    try:
        try:
            raise ProjectError("the cause: the way out")
        except ProjectError:
            raise KeyError("x")  # noqa: B904
    except KeyError as error:
        assert explain(error) == "the cause: the way out"


def test_a_chain_that_bites_its_tail_comes_to_an_end():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert explain(one) == "ValueError: other"


@given(message=st.text(), kind=st.sampled_from([ProjectError, ValueError, OSError, DatasetError, database_error]))
def test_an_explanation_is_one_line(message, kind):
    assert len(explain(kind(message)).splitlines()) <= 1


@pytest.mark.parametrize("kind", [ValueError, KeyError, DatasetError, FileNotFoundError, MemoryError])
def test_an_unknown_error_is_named_by_type_and_text(kind):
    assert explain(chain(RuntimeError("outer"), kind("what it says"))) in (
        f"{kind.__name__}: what it says",
        f"{kind.__name__}: 'what it says'",
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(number):
    said = explain(chain(DatasetError("Failed while saving"), OSError(number, "No space left", "/lake/part")))
    assert said == "no space left on /lake/part: free space, then run again"
    assert explain(OSError(number, "No space left")).startswith("no space left on the disk:")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (store_error("NoSuchBucket"), "kedro setup"),
        *[
            (store_error(code), "MINIO_ACCESS_KEY and MINIO_SECRET_KEY")
            for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied")
        ],
        (store_error("403", "HeadObject"), "MINIO_SECRET_KEY"),
        (NoCredentialsError(), "MINIO_ACCESS_KEY"),
        (PermissionError("Access Denied. AccessDenied"), "MINIO_ACCESS_KEY"),
        (EndpointConnectionError(endpoint_url="http://h:1"), "MINIO_ENDPOINT_URL"),
        (
            ConnectTimeoutError(endpoint_url="http://h:1"),
            "does not answer in time, it is away or too slow: check MINIO",
        ),
        (ReadTimeoutError(endpoint_url="http://h:1"), "does not answer in time, it is away or too slow: check MINIO"),
        (store_error("ServiceUnavailable"), "MINIO_ENDPOINT_URL"),
        (store_error("InternalError"), "MINIO_ENDPOINT_URL"),
    ],
)
def test_a_store_that_refuses_or_fails_says_what_to_check(error, advice):
    said = explain(chain(DatasetError("Failed while saving"), error))
    assert advice in said
    assert "told by the store" not in said


def test_a_store_error_without_advice_keeps_its_own_words():
    said = explain(store_error("InvalidRange"))
    assert said.startswith("ClientError: ") and "InvalidRange" in said


def test_a_local_file_whose_name_looks_like_a_status_is_no_fault_of_the_store():
    said = explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "/logs/403/conn.log"))
    assert said.startswith("FileNotFoundError: ")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (database_error('FATAL: password authentication failed for user "ops"'), "PG_USER and PG_PASSWORD"),
        (database_error("fe_sendauth: no password supplied"), "PG_USER and PG_PASSWORD"),
        (database_error('FATAL: database "x" does not exist'), "PG_DATABASE"),
        (database_error('relation "pipeline_runs" does not exist', ProgrammingError), "kedro setup"),
        (
            database_error("permission denied for schema public", ProgrammingError),
            "(permission denied for schema public)",
        ),
        (database_error("permission denied for table alerts", ProgrammingError), "run `kedro doctor`"),
        (database_error("must be owner of table alerts", ProgrammingError), "run `kedro setup` as the user who made"),
        (database_error("could not extend file: No space left on device"), "free space"),
        (database_error("cannot execute INSERT in a read-only transaction", InternalError), "allows no writes"),
        (database_error('invalid sslmode value: "always"'), "PG_SSLMODE"),
        (database_error("FATAL: sorry, too many clients already"), "max_connections"),
        (database_error("deadlock detected"), "busy with another process"),
        (database_error("connection to server failed: Connection refused"), "PG_HOST and PG_PORT"),
        (database_error("server closed the connection unexpectedly"), "PG_HOST and PG_PORT"),
    ],
)
def test_a_registry_that_refuses_or_fails_says_what_to_check(error, advice):
    said = explain(chain(DatasetError("Failed while saving"), error))
    assert said.startswith("the registry failed: ")
    assert advice in said
    assert "SELECT" not in said


def test_a_fresh_sqlite_file_asks_for_the_schema():
    with create_engine("sqlite://").connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("SELECT * FROM pipeline_runs"))
    assert explain(caught.value) == "the registry failed: it has no schema: run `kedro setup`"


def test_a_registry_whose_folder_may_not_be_written_to_is_named_with_the_folder(folder):
    with ordinary_user(), pytest.raises(OperationalError) as caught, connect(f"sqlite:///{folder}/registry.db").begin():
        pass
    assert explain(caught.value) == (
        f"the registry failed: {folder}/registry.db cannot be written to: "
        f"give this user the right to write to it and to its folder {folder}"
    )
    assert not is_transient(caught.value)


def test_a_registry_that_may_only_be_read_is_named_with_its_folder(folder):
    engine = open_registry(f"sqlite:///{folder}/registry.db")
    with ordinary_user(), pytest.raises(OperationalError, match="readonly") as caught, engine.begin() as connection:
        connection.execute(text("DELETE FROM alerts"))
    assert f"give this user the right to write to it and to its folder {folder}" in explain(caught.value)


def test_a_registry_on_a_full_disk_is_named_with_its_folder(folder):
    engine = open_registry(f"sqlite:///{folder}/registry.db")
    with pytest.raises(OperationalError) as caught, engine.begin() as connection:
        connection.execute(text("PRAGMA max_page_count = 1"))
        connection.execute(text("CREATE TABLE more AS SELECT zeroblob(1000000) AS bytes"))
    assert explain(caught.value) == (
        f"the registry failed: the disk that holds {folder} has no room left: free space, then run again"
    )
    assert not is_transient(caught.value)


def test_a_registry_that_another_process_writes_to_is_named_and_time_may_mend_it(folder):
    engine = open_registry(f"sqlite:///{folder}/registry.db")
    with engine.begin(), engine.connect() as second:
        second.connection.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(OperationalError) as caught:
            second.begin()
    assert f"another process has been writing to {folder}/registry.db for a long time" in explain(caught.value)
    assert is_transient(caught.value)


def test_a_statement_that_is_wrong_is_a_defect_and_not_a_silent_server(folder):
    with (
        open_registry(f"sqlite:///{folder}/registry.db").begin() as connection,
        pytest.raises(OperationalError) as caught,
    ):
        connection.execute(text("SELECT no_such_column FROM alerts"))
    assert explain(caught.value) == "OperationalError: no such column: no_such_column"
    assert not is_expected(caught.value)


def test_a_folder_that_may_not_be_written_to_is_named(folder):
    with ordinary_user(), pytest.raises(PermissionError) as caught:
        (folder / "raw").mkdir()
    said = explain(chain(DatasetError("Failed while saving"), caught.value))
    assert said == f"{folder}/raw: Permission denied: give this user the right to read and write there"


def test_a_database_error_of_another_kind_is_not_called_a_silence():
    error = database_error("UNIQUE constraint failed: models.name", IntegrityError)
    assert "UNIQUE constraint failed: models.name" in explain(error)
    assert not is_expected(error)


def test_a_missing_environment_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIO_ACCESS_KEY", raising=False)
    for env, value in (("base", "x"), ("minio", "${oc.env:MINIO_ACCESS_KEY}")):
        (tmp_path / env).mkdir()
        (tmp_path / env / "credentials.yml").write_text(f"minio: {{key: '{value}'}}")
    loader = ProjectConfigLoader(tmp_path, env="minio", base_env="base", default_run_env="minio")
    with pytest.raises(ProjectError) as caught:
        loader["credentials"]
    said = explain(caught.value)
    assert said == "the environment variable MINIO_ACCESS_KEY is not set: set it, or choose another --env"


def test_another_fault_of_the_configuration_is_said_to_be_one():
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(OmegaConf.create({"key": "${nowhere}"}), resolve=True)
    assert explain(caught.value).startswith("configuration: ")
    assert "nowhere" in explain(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ProjectError("the cause: the way out"),
        chain(DatasetError("Failed while saving"), store_error("NoSuchBucket")),
        database_error("connection to server failed: Connection refused"),
        OSError(errno.ENOSPC, "No space left"),
        click.BadParameter("what a command line says"),
        DatasetError("Dataset 'NoSuchDataset' not found"),
        ValueError("Pipeline does not contain nodes named ['x']."),
    ],
)
def test_an_error_that_is_known_needs_no_traceback(error):
    assert is_expected(error)


@pytest.mark.parametrize(
    "error", [NameError("x"), chain(DatasetError("Failed while saving"), KeyError("x")), OSError()]
)
def test_any_other_error_is_a_defect(error):
    assert not is_expected(error)


def test_an_error_of_another_process_is_named_and_not_its_traceback():
    with ProcessPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError) as caught:
        pool.submit(divmod, 1, 0).result()
    assert explain(caught.value).startswith("ZeroDivisionError: ")
    assert "Traceback" not in explain(caught.value)


def test_an_error_of_the_project_comes_from_another_process_as_it_is():
    with ProcessPoolExecutor(1) as pool, pytest.raises(ContractError) as caught:
        pool.submit(fail).result()
    assert explain(caught.value) == "the cause: the way out"


def fail() -> None:
    raise ContractError("the cause: the way out")


def test_a_reader_that_closes_the_pipe_is_no_error():
    @click.command()
    @in_one_line
    def talk() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    done = CliRunner().invoke(talk)
    assert (done.exit_code, done.output) == (1, "")


def test_a_file_name_cannot_command_the_terminal():
    error = ProjectError("logs/\x1b[2Jconn\u202egol.txt: not a flow log")
    assert explain(error) == "logs/<U+001B>[2Jconn<U+202E>gol.txt: not a flow log"
