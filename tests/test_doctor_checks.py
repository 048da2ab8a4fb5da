"""The doctor's checks one by one, without a server."""

import os
import threading
from pathlib import Path

import pytest

from network_anomalies.errors import ProjectError
from network_anomalies.upkeep.checks import Finding, run_checks, to_table
from network_anomalies.upkeep.doctor_host import check_folder, check_packages, check_python, read_pins
from network_anomalies.upkeep.doctor_links import check_database_link, check_name, check_store_link, to_host
from network_anomalies.upkeep.doctor_store import judge_skew


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "OK"), (-59, "OK"), (60, "WARN"), (-899, "WARN"), (900, "FAIL"), (-90_000, "FAIL")]
)
def test_a_clock_is_judged_by_what_the_store_tolerates(seconds, state):
    assert judge_skew(seconds).state == state


@pytest.mark.parametrize(
    ("host", "mode", "state"),
    [
        ("127.0.0.1", "disable", "OK"),
        ("/run/postgresql", "prefer", "OK"),
        *(("db.example", mode, "WARN") for mode in ("disable", "allow", "prefer")),
        *(("db.example", mode, "OK") for mode in ("require", "verify-ca", "verify-full")),
    ],
)
def test_a_database_link_that_may_be_plain_warns(host, mode, state):
    assert next(check_database_link(host, mode)).state == state


@pytest.mark.parametrize(
    ("endpoint", "state"),
    [
        ("https://s3.example", "OK"),
        ("http://localhost:9", "OK"),
        ("http://[::1]:9", "OK"),
        ("http://minio:9000", "WARN"),
    ],
)
def test_a_store_link_that_is_plain_warns(endpoint, state):
    assert next(check_store_link(endpoint)).state == state


@pytest.mark.parametrize("endpoint", ["minio:9000", "", "ftp://minio", "https://"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint):
    with pytest.raises(ProjectError, match="write it as https://host:port"):
        to_host(endpoint)


def test_a_name_that_does_not_resolve_is_named():
    (finding,) = check_name("store name", "no-such-host.invalid")
    assert finding.state == "FAIL"
    assert finding.text.startswith("no-such-host.invalid does not resolve")
    assert next(check_name("store name", "x" * 300)).state == "FAIL"


def test_packages_that_are_not_at_their_pins_warn_and_missing_ones_fail(tmp_path, monkeypatch):
    assert next(check_python()).state == "OK"
    assert next(check_packages(tmp_path / "none")).state == "OK"
    pins = tmp_path / "constraints.txt"
    pins.write_text("pandas==0.1\nnot-installed==1\n# why\nfastapi<1\n")
    assert read_pins(pins.read_text()) == {"pandas": "0.1", "not-installed": "1"}
    (finding,) = check_packages(pins)
    assert finding.state == "WARN"
    assert "pandas" in finding.text
    assert "not-installed" not in finding.text
    monkeypatch.setattr("network_anomalies.upkeep.doctor_host._find", lambda name: None if name == "pyarrow" else "0")
    assert next(check_packages(tmp_path / "none")).text.startswith("pyarrow is missing")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    tmp_path.chmod(0o500)
    assert next(check_folder("data folder", tmp_path / "data")).state == "FAIL"


def test_a_file_system_that_takes_no_files_is_named():
    (finding,) = check_folder("data folder", Path("/proc/sys/data"))
    assert finding.state == "FAIL"
    assert "mount a volume" in finding.text


def test_a_check_that_hangs_or_raises_stops_no_other():
    def hang():
        threading.Event().wait()
        yield

    def fail():
        yield Finding("half", "OK", "seen")
        raise ProjectError("broken")

    findings = run_checks({"hangs": hang, "half": fail, "fine": lambda: [Finding("fine", "OK", "")]}, seconds=0.2)
    assert [(finding.check, finding.state) for finding in findings] == [
        *(("hangs", "FAIL"), ("half", "OK"), ("half", "FAIL"), ("fine", "OK"))
    ]
    assert list(to_table(findings))[-1] == "2 OK, 0 WARN, 2 FAIL"
