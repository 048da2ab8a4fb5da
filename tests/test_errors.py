"""Errors in words: one line, the cause and the way out."""

import errno
from itertools import pairwise

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import DatasetError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from network_anomalies.config import ProjectConfigLoader
from network_anomalies.errors import ContractError, Interrupted, ProjectError, explain


def chain(*errors: BaseException) -> BaseException:
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def store_error(code: str, operation: str = "PutObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "told by the store"}}, operation)


def database_error(message: str, kind: type = OperationalError) -> Exception:
    return kind("SELECT *\nFROM batches", {"day": "2024-04-19"}, Exception(message))


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
    assert said == "no space left on /lake/part: free some, then run again"
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
        (ConnectTimeoutError(endpoint_url="http://h:1"), "MINIO_ENDPOINT_URL"),
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
        (database_error("no such table: pipeline_runs"), "kedro setup"),
        (database_error("permission denied for schema public", ProgrammingError), "grant"),
        (database_error("database or disk is full"), "free space"),
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


def test_a_database_error_of_another_kind_is_not_called_a_silence():
    said = explain(database_error("UNIQUE constraint failed: models.name", IntegrityError))
    assert "UNIQUE constraint failed: models.name" in said
    assert "does not answer" not in said


def test_a_missing_environment_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIO_ACCESS_KEY", raising=False)
    for env, value in (("base", "x"), ("minio", "${oc.env:MINIO_ACCESS_KEY}")):
        (tmp_path / env).mkdir()
        (tmp_path / env / "credentials.yml").write_text(f"minio: {{key: '{value}'}}")
    loader = ProjectConfigLoader(tmp_path, env="minio", base_env="base", default_run_env="minio")
    with pytest.raises(OmegaConfBaseException) as caught:
        loader["credentials"]
    said = explain(caught.value)
    assert said == "the environment variable MINIO_ACCESS_KEY is not set: set it, or choose another --env"


def test_another_fault_of_the_configuration_is_said_to_be_one():
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(OmegaConf.create({"key": "${nowhere}"}), resolve=True)
    assert explain(caught.value).startswith("configuration: ")
    assert "nowhere" in explain(caught.value)
