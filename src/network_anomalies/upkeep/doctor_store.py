"""The doctor's checks of the object store: rights in each bucket, conditional writes, the clock."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from network_anomalies.errors import ProjectError, explain
from network_anomalies.upkeep.checks import Finding

SKEW_WARN_SECONDS = 60
SKEW_FAIL_SECONDS = 900
"""A store refuses a signature that is older than 15 minutes (AWS, RequestTimeTooSkewed)."""
_EXISTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


def check_bucket(lake: Any, bucket: str) -> Iterator[Finding]:
    """Write a test object, check that a second write is refused, read it, and delete it, as runs do."""
    name, key, body = f"bucket {bucket}", f".doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
    probe = {"Bucket": bucket, "Key": key}
    put = _try("write", lambda: lake.call_s3("put_object", **probe, Body=body, IfNoneMatch="*"))
    versions = [put.get("VersionId")]
    try:
        _refuse_second_write(lake, probe, versions)
        if _try("read", lambda: _read(lake, probe)) != body:
            raise ProjectError("a test object does not have the bytes that were written: do not use this store")
    except ProjectError as error:
        yield Finding(name, "FAIL", str(error))
    else:
        yield Finding(name, "OK", "write, second write refused, read")
    yield from _delete(lake, name, probe, versions)


def check_clock(lake: Any, bucket: str) -> Iterator[Finding]:
    """Compare this machine's clock with the date in an answer of the store; an error is an answer too."""
    try:
        answer = lake.call_s3("head_bucket", Bucket=bucket)
    except Exception as error:
        answer = _find_answer(error)
        if answer is None:
            raise
    sent = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if sent is None:
        yield Finding("store clock", "WARN", "the store's answers have no date: compare the clocks by hand")
        return
    yield judge_skew((datetime.now(UTC) - parsedate_to_datetime(sent)).total_seconds())


def judge_skew(seconds: float) -> Finding:
    """Judge the difference of the clocks in seconds: positive if this machine is ahead of the store."""
    skew = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the store"
    if abs(seconds) < SKEW_WARN_SECONDS:
        return Finding("store clock", "OK", f"within {SKEW_WARN_SECONDS} s of the store")
    if abs(seconds) < SKEW_FAIL_SECONDS:
        return Finding("store clock", "WARN", f"{skew}: set both clocks by NTP")
    return Finding("store clock", "FAIL", f"{skew}, so the store refuses signatures: set both clocks by NTP")


def _refuse_second_write(lake: Any, probe: dict[str, str], versions: list[str | None]) -> None:
    try:
        put = lake.call_s3("put_object", **probe, Body=b"second", IfNoneMatch="*")
    except Exception as error:
        answer = _find_answer(error) or {}
        if answer.get("Error", {}).get("Code") not in _EXISTS:
            raise ProjectError(f"second write: {explain(error)}") from error
        return
    versions.append(put.get("VersionId"))
    raise ProjectError("a second write was allowed (If-None-Match: *), so RAW could be overwritten: use another store")


def _read(lake: Any, probe: dict[str, str]) -> bytes:
    data: bytes = lake.cat_file(f"{probe['Bucket']}/{probe['Key']}")
    return data


def _delete(lake: Any, name: str, probe: dict[str, str], versions: list[str | None]) -> Iterator[Finding]:
    """Delete the test object. In a bucket with versions each version is deleted, or the object would stay."""
    try:
        for version in dict.fromkeys(versions):
            lake.call_s3("delete_object", **probe, **({"VersionId": version} if version else {}))
    except Exception as error:
        cause = explain(error)
        yield Finding(name, "WARN", f"delete: {cause}; {probe['Key']} stays, and `kedro verify --prune` will not work")


def _try(step: str, call: Any) -> Any:
    try:
        return call()
    except Exception as error:
        raise ProjectError(f"{step}: {explain(error)}") from error


def _find_answer(error: BaseException | None) -> Any:
    """Return the store's answer in an error of botocore, None if there is none."""
    while error is not None:
        if isinstance(response := getattr(error, "response", None), dict):
            return response
        error = error.__cause__
    return None
