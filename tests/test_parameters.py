"""Parameters and configuration: what is refused, and in which words."""

import functools
import operator
import re
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import get_args

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import make_url

from network_anomalies.detection.alerts.findings import TECHNIQUES
from network_anomalies.detection.limits import DEFAULT_LIMITS
from network_anomalies.errors import ProjectError
from network_anomalies.parameters import (
    AllowedParameters,
    GateParameters,
    GeneratorParameters,
    check_parameters,
    digest_parameters,
)
from network_anomalies.runs.configuration import ProjectConfigLoader, postgres_url
from network_anomalies.runs.identity import fix_identity
from network_anomalies.runs.inputs import digest_synthetic_choices, extend_allowlist
from network_anomalies.settings import CONFIG_LOADER_ARGS

SERVICE = {"protocol": "UDP", "share": 1.0, "servers": 2, "per_client": 1, "outside": False, "size": [0.0, 0.5]}
PROFILE = {
    **{"clients": 100, "client_shift": 1.0, "night": 0.1, "weekend": 0.3, "one_offs": 0.1, "zero_duration": 0.3},
    "allowed": [],
    "services": {"dns": SERVICE},
}
SCAN = {"kind": "horizontal_scan", "hosts": 1, "share": 0.01, "start_hour": [0, 23], "minutes": 60, "stealth": 0.0}
BEACON = SCAN | {"kind": "beaconing", "period_seconds": 60, "jitter": 0.1, "shortening": False}
GENERATOR = {
    **{"n_events": 10, "seed": 0, "part_events": 1, "profile": "small", "profiles": {"small": PROFILE}},
    **{"lookalikes": {}, "attack_spread": 1, "attacks": {"scan": SCAN, "beacon": BEACON}},
}
LOGS = {
    **{"path": "x", "format": "auto", "columns": ["src_port", "flow_id"], "timezone": "UTC", "mapping": None},
    **{"missing": {"duration": "zero", "bytes": "reject"}, "skip_foreign": False, "part_events": 1},
    "block_bytes": 2**20,
}
HUNTING = {"layer": "raw", "start": None, "end": None, "memory_mb": 64, "temp_mb": 0, "shown_rows": 1}
GOOD = {
    "logical_date": "2024-04-19",
    "source": "synthetic",
    "run_id": "20240420T000000Z-0a1b2c3d",
    "parent_run_id": None,
    "workers": {"dask": False, "local_processes": 0},
    "generator": GENERATOR,
    "logs": LOGS,
    "gate": {"max_rejected_share": 0.05, "drop_duplicates": False, "preview_rows": 5},
    "transformation": {"slice_hours": 1, "slice_rows": 1000},
    "training": {"window_days": 14, "row_cap": 1000, "train_share": 0.5},
    "evaluation": {"drift_psi": 0.25, "drift_rows": 1000},
    "registration": {"min_gain": 0.01, "max_age_days": 7, "max_alert_ratio": 1.5, "verdict_days": 30},
    "alerts": {"budget": 50, "incident_days": 7, "dismissed_days": 30, "allowlist": []},
    "detectors": DEFAULT_LIMITS.model_dump(mode="json"),
    "replay": {"rule": None},
    "delivery": {"format": "ocsf", "attempts": 1, "timeout_seconds": 60},
    "hunting": HUNTING,
    "extra": {},
    "retention": {"local_days": 0, "quarantine_days": 90, "orphan_days": 1, "max_share": 0.1, "always_files": 10},
}


def replace(path: str, value: object) -> dict:
    raw = deepcopy(GOOD)
    *groups, name = path.split(".")
    functools.reduce(operator.getitem, groups, raw)[name] = value
    return raw


def test_good_parameters_come_back_as_models_with_a_date():
    raw = deepcopy(GOOD)
    checked = check_parameters(raw)
    assert raw == GOOD
    assert checked["logical_date"] == date(2024, 4, 19)
    assert checked["generator"] == GeneratorParameters(**GENERATOR)
    assert set(checked) == set(GOOD)


def test_parameters_are_checked_once(embedded, monkeypatch):
    """Kedro matches parameters with the type hints of nodes: it takes a model as it is, and checks nothing again."""
    checks = []
    checked = GeneratorParameters(**GENERATOR)
    assert GeneratorParameters.model_validate(checked) is checked
    monkeypatch.setattr(
        "network_anomalies.runs.configuration.check_parameters",
        lambda raw: checks.append(check_parameters(raw)) or checks[-1],
    )
    context = embedded.session(logical_date="2024-04-19").load_context()
    context.config_loader["catalog"], context.catalog, context.params
    assert len(checks) == 1
    assert context.params["generator"] == checks[0]["generator"]


def test_the_projects_own_values_are_good(embedded):
    params = embedded.session(logical_date="2024-04-19").load_context().params
    assert (params["generator"].n_events, params["source"]) == (100_000, "synthetic")
    assert params["logical_date"] == date(2024, 4, 19)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("generator.n_events", 10),
        ("generator.n_events", 100_000_000),
        ("generator.seed", 2**63),
        ("generator.part_events", 10_000_000),
        ("logs.missing.duration", "reject"),
        ("logs.columns", []),
        ("logs.mapping", {"columns": {"timestamp": "ts"}}),
        ("gate.max_rejected_share", 0),
        ("gate.max_rejected_share", 1),
        ("gate.preview_rows", 0),
        ("gate.preview_rows", 100),
        ("detectors.horizontal_scan.hour_destinations.with_past", 1),
        ("detectors.beaconing.period_seconds", [60, 60]),
        ("detectors.beaconing.late_start_hours", 0),
        ("detectors.exfiltration.drip_largest_share", 1),
        ("detectors.new_service.control_protocols", []),
        ("detectors.severity", {"medium": 60, "high": 60, "critical": 100}),
        ("alerts.incident_days", 0),
        ("alerts.dismissed_days", 0),
        ("parent_run_id", "r"),
        ("run_id", "r" * 100),
        ("source", "sensor-1_a"),
        ("logical_date", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("logical_date", "0001-01-01"),
    ],
)
def test_a_value_at_its_bound_is_good(path, value):
    check_parameters(replace(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("generator.n_events", 9),
        ("generator.n_events", 100_000_001),
        ("generator.n_events", "many"),
        ("generator.n_events", 10.5),
        ("generator.n_events", None),
        ("generator.seed", -1),
        ("generator.part_events", 0),
        ("generator.part_events", 10_000_001),
        ("logs.path", ""),
        ("logs.format", "../zeek"),
        ("logs.missing.duration", "guess"),
        ("logs.timezone", ""),
        ("logs.part_events", 0),
        ("logs.block_bytes", 1023),
        ("gate.max_rejected_share", 1.1),
        ("gate.max_rejected_share", -0.01),
        ("gate.max_rejected_share", float("nan")),
        ("gate.drop_duplicates", "perhaps"),
        ("gate.preview_rows", -1),
        ("gate.preview_rows", 101),
        ("detectors.horizontal_scan.hour_destinations.with_past", 0),
        ("detectors.horizontal_scan.hour_destinations", 20),
        ("detectors.horizontal_scan.size_spread", 0),
        ("detectors.ddos.empty_seconds", float("inf")),
        ("detectors.ddos.empty_bytes", float("nan")),
        ("detectors.ddos.crowd_strangers_share", 1.1),
        ("detectors.brute_force.session_bytes", [300, 200]),
        ("detectors.brute_force.sessions.without_past", 2.5),
        ("detectors.beaconing.hours", 25),
        ("detectors.new_service.control_protocols", "ICMP"),
        ("detectors.past.least_hours", 0),
        ("detectors.score.at_limit", 101),
        ("detectors.anomaly.nats_per_doubling", None),
        ("retention.local_days", -1),
        ("retention.quarantine_days", -1),
        ("retention.orphan_days", -1),
        ("source", "A source"),
        ("source", "a/../b"),
        ("source", "a\n"),
        ("source", ""),
        ("run_id", "a/b"),
        ("run_id", "-r"),
        ("run_id", "r" * 101),
        ("run_id", None),
        ("parent_run_id", ""),
    ],
)
def test_a_value_beyond_its_bound_is_refused_by_name_in_one_line(path, value):
    with pytest.raises(ProjectError, match=rf"^parameter {re.escape(path)} is {re.escape(repr(value))}: \S") as caught:
        check_parameters(replace(path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        *("19.04.2024", "2024-02-30", "2024-4-9", "20240419", "2024-W16-5", "yesterday", "", "None", None, True),
        *("2024-04-19T00:00:00", "2024-04-19 00:00", "1713484800", 1_713_484_800, 20_240_419, 0, "0"),
    ],
)
def test_a_date_is_written_in_one_way(value):
    with pytest.raises(ProjectError, match=r"parameter logical_date is .*: write a date as YYYY-MM-DD"):
        check_parameters(GOOD | {"logical_date": value})


@pytest.mark.parametrize("days", [1, 366])
def test_a_day_that_has_not_begun_is_refused(days):
    future = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"
    with pytest.raises(ProjectError, match=f"logical_date {future} is in the future"):
        check_parameters(GOOD | {"logical_date": future})


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("sorce", "did you mean source?"),
        ("generators", "did you mean generator?"),
        ("generator.n_event", "did you mean generator.n_events?"),
        ("gate.drop_duplicate", "did you mean gate.drop_duplicates?"),
        ("retention.local_day", "did you mean retention.local_days?"),
        ("detectors.bruteforce", "did you mean detectors.brute_force?"),
        ("detectors.beaconing.call", "did you mean detectors.beaconing.calls?"),
        ("detectors.beaconing.calls.past", "did you mean detectors.beaconing.calls.with_past?"),
        ("xyzzy", "see conf/base/parameters_*.yml (a parameter of your own is extra.xyzzy)"),
        ("extras", "did you mean extra? (a parameter of your own is extra.extras)"),
        ("logs.xyzzy", "see conf/base/parameters_*.yml"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(path, hint):
    with pytest.raises(ProjectError, match=re.escape(f"unknown parameter {path}: {hint}")):
        check_parameters(replace(path, 1))


@pytest.mark.parametrize(
    ("group", "name"),
    [("detectors", "ddos"), ("ddos", "strangers"), ("brute_force", "size_spread"), ("severity", "high")],
)
def test_a_limit_that_the_configuration_leaves_out_is_named_although_detection_has_a_default(group, name):
    raw = deepcopy(GOOD)
    del (raw["detectors"] if group == "detectors" else raw["detectors"][group])[name]
    missing = name if group == "detectors" else f"{group}.{name}"
    with pytest.raises(ProjectError, match=rf"^parameter detectors: {re.escape(missing)} is missing: give it a value"):
        check_parameters(raw)


def test_severities_that_do_not_rise_are_refused():
    with pytest.raises(
        ProjectError, match=r"^parameter detectors\.severity: medium, high and critical are not in order"
    ):
        check_parameters(replace("detectors.severity.high", 50))


def test_the_limits_of_the_configuration_are_the_defaults_of_detection(embedded):
    params = embedded.session(logical_date="2024-04-19").load_context().params
    assert params["detectors"] == DEFAULT_LIMITS


@pytest.mark.parametrize("path", ["source", "gate", "generator.seed"])
def test_a_missing_parameter_is_named_without_the_values_of_others(path):
    raw = deepcopy(GOOD)
    group, _, name = path.partition(".")
    del (raw[group] if name else raw)[name or group]
    with pytest.raises(ProjectError, match=f"parameter {path} ") as caught:
        check_parameters(raw)
    assert "part_events" not in str(caught.value)


def test_every_fault_is_told_at_once():
    raw = replace("generator.n_events", 1) | {"sorce": "x"}
    with pytest.raises(ProjectError, match=r"generator\.n_events.*; .*sorce"):
        check_parameters(raw)


@pytest.mark.parametrize(
    ("model", "name"),
    [(GeneratorParameters(**GOOD["generator"]), "seed"), (GateParameters(**GOOD["gate"]), "preview_rows")],
)
def test_typed_parameters_cannot_be_changed(model, name):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, name, 1)


def test_the_digest_depends_on_the_values_and_not_on_their_order():
    assert digest_parameters(GOOD) == digest_parameters(dict(reversed(GOOD.items())))
    assert digest_parameters(GOOD) != digest_parameters(replace("generator.seed", 1))


def test_a_run_is_about_yesterday_in_utc_unless_told_otherwise():
    before = datetime.now(UTC)
    fixed = fix_identity({"source": "zeek", "logical_date": None})
    days = {f"{moment - timedelta(days=1):%Y-%m-%d}" for moment in (before, datetime.now(UTC))}
    assert fixed["logical_date"] in days
    assert fixed["source"] == "zeek"
    given = {"logical_date": "2024-04-19", "run_id": "r"}
    assert fix_identity(given) == given


def test_a_date_may_be_a_date():
    loader = ProjectConfigLoader(
        ROOT / "conf", runtime_params={"logical_date": date(2024, 4, 19)}, **CONFIG_LOADER_ARGS
    )
    assert loader["parameters"]["logical_date"] == date(2024, 4, 19)
    assert loader["parameters"]["run_id"] == loader["parameters"]["run_id"]


def test_no_two_runs_have_the_same_id():
    run_ids = {fix_identity({})["run_id"] for _ in range(1000)}
    assert len(run_ids) == 1000
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", run_id) for run_id in run_ids)


@pytest.mark.parametrize("password", ["p@ss/w:rd#%", "%40", "a b+c?d&e=f", "päss", "${x}", "\\'\""])
def test_any_password_survives_the_url(password):
    url = make_url(postgres_url("us@er", password, "db.example", "5433", "d/b", "require"))
    assert (url.username, url.password, url.host, url.port) == ("us@er", password, "db.example", 5433)
    assert (url.database, url.query["sslmode"], url.drivername) == ("d/b", "require", "postgresql+psycopg2")


@given(
    password=st.text(st.characters(codec="utf-8"), min_size=1), user=st.text(st.characters(codec="utf-8"), min_size=1)
)
def test_any_text_survives_the_url(password, user):
    url = make_url(postgres_url(user, password, "h", 5432, "d", "prefer"))
    assert (url.username, url.password) == (user, password)


@pytest.mark.parametrize("port", ["", "5432a", "-1", None])
def test_a_port_that_is_no_number_is_named(port):
    with pytest.raises(ProjectError, match="PG_PORT"):
        postgres_url("u", "p", "h", port, "d", "prefer")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"profile": "big"}, "parameter generator: there is no profile big: there are small"),
        ({"lookalikes": {"scan": SCAN}}, "parameter generator: scan is the name of a look-alike and of an attack"),
        ({"attacks": {"a": SCAN | {"share": 0.6}, "b": SCAN | {"share": 0.7}}}, "add up to 1.300: make it at most 1"),
        (
            {"attacks": {"scan": SCAN | {"share": 1.1}}},
            "parameter generator.attacks.scan.share is 1.1: input",
        ),
        ({"attacks": {"scan": SCAN | {"share": -0.1}}}, "parameter generator.attacks.scan.share is -0.1"),
        ({"attacks": {"scan": SCAN | {"hosts": 0}}}, "parameter generator.attacks.scan.hosts is 0: input should be"),
        ({"attacks": {"scan": SCAN | {"hosts": -3}}}, "parameter generator.attacks.scan.hosts is -3"),
        (
            {"attacks": {"scan": SCAN | {"minutes": 61}}},
            "generator.attacks.scan: starts by 23.0 h and lasts 61.0",
        ),
        ({"attacks": {"scan": SCAN | {"minutes": 1e9}}}, "it must end within the day"),
        ({"attacks": {"scan": SCAN | {"start_hour": [9, 8]}}}, "start_hour is from 9.0 to 8.0"),
        ({"attacks": {"scan": SCAN | {"stealth": 1.5}}}, "parameter generator.attacks.scan.stealth is 1.5"),
        ({"attacks": {"scan": SCAN | {"kind": "flood"}}}, "parameter generator.attacks.scan is"),
        ({"attacks": {"scan": SCAN | {"jitter": 0.1}}}, "unknown parameter generator.attacks.scan.jitter"),
        ({"attacks": {"beacon": BEACON | {"period_seconds": 0}}}, "generator.attacks.beacon.period_seconds is 0"),
        ({"profiles": {"small": PROFILE | {"clients": 0}}}, "parameter generator.profiles.small.clients is 0"),
        ({"profiles": {"small": PROFILE | {"services": {}}}}, "parameter generator.profiles.small.services is {}"),
        (
            {"profiles": {"small": PROFILE | {"services": {"dns": SERVICE | {"share": 0.9}}}}},
            "parameter generator.profiles.small: the shares of its services add up to 0.900: make it 1",
        ),
    ],
)
def test_what_cannot_be_staged_is_refused_by_name(change, words):
    with pytest.raises(ProjectError) as refused:
        check_parameters(GOOD | {"generator": GENERATOR | change})
    assert words in str(refused.value)


def read_generator(**changes):
    loader = ProjectConfigLoader(ROOT / "conf", runtime_params={"generator": changes}, **CONFIG_LOADER_ARGS)
    return loader["parameters"]["generator"]


def digest_choices(**changes):
    gate = ProjectConfigLoader(ROOT / "conf", **CONFIG_LOADER_ARGS)["parameters"]["gate"]
    return digest_synthetic_choices(read_generator(**changes), gate)


def test_only_the_profile_that_is_named_decides_the_content():
    enterprise, campus = (digest_choices(profile=name) for name in ("enterprise", "campus"))
    assert enterprise != campus
    assert digest_choices(profiles={"small": PROFILE, "campus": {"night": 0.5}}) == enterprise
    assert digest_choices(profiles={"enterprise": {"night": 0.5}}) != enterprise


def test_the_digest_of_the_default_day_is_this_until_one_of_its_parameters_changes():
    assert digest_choices()[:12] == "21674bd1a8f1"


def test_a_value_of_a_profile_can_be_changed_and_a_profile_given():
    changed = read_generator(profiles={"enterprise": {"night": 0.5}}).profiles["enterprise"]
    assert changed == read_generator().profiles["enterprise"].model_copy(update={"night": 0.5})
    given = read_generator(profile="small", profiles={"small": PROFILE})
    assert given.profiles["small"].clients == PROFILE["clients"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"profile": "big"}, "parameter generator: there is no profile big: there are campus, enterprise, provider"),
        ({"profile": "*"}, r"parameter generator.profile is '\*': a name has"),
        ({"profile": None}, "parameter generator.profile is None: "),
        ({"profiles": 3}, "parameter generator.profiles is 3"),
    ],
)
def test_a_profile_that_does_not_exist_is_refused_by_name(changes, words):
    with pytest.raises(ProjectError, match=words):
        read_generator(**changes)


ALLOWED = {"entity": "10.0.0.1", "kind": "ddos", "owner": "it", "expires": "2027-01-01", "reason": "load test"}


def test_an_exception_names_a_kind_of_alert_that_there_is():
    assert set(get_args(AllowedParameters.model_fields["kind"].annotation)) == {"*", *TECHNIQUES}
    check_parameters(replace("alerts.allowlist", [ALLOWED]))
    with pytest.raises(ProjectError, match=r"^parameter alerts\.allowlist\.0\.kind is 'ddoss'"):
        check_parameters(replace("alerts.allowlist", [ALLOWED | {"kind": "ddoss"}]))


def test_exceptions_hold_for_the_world_that_they_are_about(embedded):
    shown = embedded.session(logical_date="2024-04-19").load_context().params
    alerts, generator = shown["alerts"], shown["generator"]
    assert alerts.allowlist == []
    assert [allowed.entity for allowed in generator.profiles["enterprise"].allowed] == ["10.200.255.3"]
    synthetic, logs = (extend_allowlist(alerts, generator, kind) for kind in ("synthetic", "logs"))
    assert [allowed.entity for allowed in synthetic.allowlist] == ["10.200.255.3"]
    assert logs.allowlist == []
