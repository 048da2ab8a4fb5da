"""Alerts as Detection Findings of OCSF, held against the schema that OCSF publishes."""

import json

import pandas as pd
import pytest
from conftest import DAY
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from network_anomalies.pipelines.scoring.ocsf import OCSF_VERSION, format_findings


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    embedded = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=OCSF_VERSION))
    return Draft202012Validator(embedded.get_class_schema(class_name="detection_finding", profiles=[]))


def to_lines(findings: pd.DataFrame) -> list[dict]:
    """Return the findings as the catalog writes them."""
    text = findings.to_json(orient="records", lines=True)
    return [json.loads(line) for line in text.splitlines() if line]


def test_the_stored_findings_meet_the_published_schema(modelled_days, schema):
    (path,) = [path for path in modelled_days.objects("reports") if path.endswith(f"{DAY}/findings.jsonl")]
    findings = [json.loads(line) for line in modelled_days.stored(path).splitlines()]
    alerts = modelled_days.load("alerts")
    raised = alerts[alerts["suppressed_by"].isna()]
    assert len(findings) == len(raised) > 1
    assert [fault.message for finding in findings for fault in schema.iter_errors(finding)] == []
    assert [finding["finding_info"]["uid"] for finding in findings] == raised["alert_id"].tolist()
    assert {finding["severity"].lower() for finding in findings} == set(raised["severity"])
    first = raised.iloc[0]
    assert findings[0]["message"] == first["sentence"]
    assert pd.Timestamp(findings[0]["start_time"], unit="ms", tz="UTC") == first["first_seen"].floor("ms")


@pytest.mark.parametrize(
    "changes",
    [
        {"technique": None, "peer": None},
        {"technique": "T1071.001", "severity": "critical", "score": 100.0},
        {"kind": "a_kind_of_tomorrow", "entity": "2001:db8::1", "sentence": 'x\x1b[2J\u202e<b>"\n\ud800'[:-1]},
    ],
)
def test_any_alert_meets_the_schema(modelled_days, schema, changes):
    alerts = modelled_days.load("alerts").head(1).assign(suppressed_by=None, **changes)
    (finding,) = to_lines(format_findings(alerts))
    assert [fault.message for fault in schema.iter_errors(finding)] == []
    assert finding["message"] == alerts["sentence"].iloc[0]
    attacks = finding["finding_info"].get("attacks")
    assert (attacks is None) == (alerts["technique"].iloc[0] is None)
    if changes.get("technique"):
        assert attacks == [{"technique": {"uid": "T1071"}, "sub_technique": {"uid": "T1071.001"}}]


def test_a_day_without_alerts_has_no_findings(modelled_days):
    alerts = modelled_days.load("alerts")
    assert to_lines(format_findings(alerts.head(0))) == []
    assert to_lines(format_findings(alerts.assign(suppressed_by="somebody"))) == []


def test_the_schema_refuses_what_it_should(modelled_days, schema):
    (finding,) = to_lines(format_findings(modelled_days.load("alerts").head(1).assign(suppressed_by=None)))
    for broken in (
        {**finding, "severity_id": 8},
        {**finding, "a_new_attribute": 1},
        {**finding, "finding_info": {}},
        {**finding, "evidences": [{"src_endpoint": {"ip": None}}]},
    ):
        assert list(schema.iter_errors(broken))
