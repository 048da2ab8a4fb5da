"""Verdicts and incidents as functions of alerts: what is suppressed, what belongs together, whatever the order."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from network_anomalies.records.alerts import (
    Alert,
    count_by_kind,
    find_incidents,
    from_plain,
    judge_alert,
    name_incident,
    to_plain,
)
from network_anomalies.records.verdicts import (
    Latest,
    Subject,
    Verdict,
    find_dismissal,
    judge_habit,
    list_dismissed,
    list_latest,
    name_alert,
)

FIRST = date(2024, 4, 1)
DAYS = 7


def make_alert(day=0, entity="10.0.0.1", kind="beaconing", peer=None, **changes):
    moment = datetime(2024, 4, 1, 10, tzinfo=UTC) + timedelta(days=day)
    values = {
        **{"source": "lab", "logical_date": FIRST + timedelta(days=day), "kind": kind, "entity": entity, "peer": peer},
        **{"first_seen": moment, "last_seen": moment + timedelta(hours=1), "flows": 3, "score": 70.0},
        **{"severity": "medium", "technique": None, "sentence": f"{entity} does {kind}", "suppressed_by": None},
        **{"run_id": "r1", "created_at": moment, "model_version": 1, "transformation_run_id": "t1"},
    }
    values |= changes
    return Alert(alert_id=name_alert("lab", values["logical_date"], kind, entity), **values)


def decide(alert, verdict, sequence=1, scored=0, days=30, **changes):
    until = FIRST + timedelta(days=days) if verdict == "dismissed" else None
    values = {
        **{"sequence": sequence, "verdict": verdict, "reason": "seen", "until": until, "decided_by": "alice"},
        **{name: getattr(alert, name) for name in ("alert_id", "source", "logical_date", "kind", "entity", "peer")},
        **{"decided_at": datetime(2024, 5, 1, tzinfo=UTC), "last_scored": FIRST + timedelta(days=scored)},
    }
    return Verdict(**values | changes)


def group(alerts, *verdicts, days=DAYS):
    """Return the incidents as sets of places of alerts, with their states."""
    place = {alert.alert_id: number for number, alert in enumerate(alerts)}
    found = find_incidents(alerts, list_latest(verdicts), days)
    return sorted((sorted(place[name] for name in incident.alert_ids), incident.state) for incident in found)


def test_alerts_are_the_same_after_a_frame_in_which_missing_texts_are_nan():
    alerts = [make_alert(peer="10.0.0.9"), make_alert(entity="10.0.0.2"), make_alert(entity="10.0.0.3")]
    frame = pd.DataFrame([asdict(alert) for alert in alerts])
    assert frame["peer"].isna().sum() == 2
    read = [Alert.from_row(row) for row in frame.to_dict("records")]
    assert read == alerts
    assert len(group(read)) == 3
    assert [(shares.alerts, shares.suppressed) for shares in count_by_kind(read, [])] == [(3, 0)]


def test_an_id_is_that_of_source_day_kind_and_entity():
    assert name_alert("lab", FIRST, "ddos", "10.0.0.1") == make_alert(kind="ddos", peer="10.0.0.9", score=1.0).alert_id
    others = [("lab", FIRST, "ddos", "10.0.0.2"), ("lab", FIRST, "scan", "10.0.0.1"), ("b", FIRST, "ddos", "10.0.0.1")]
    assert len({name_alert(*names) for names in [*others, ("lab", date(2024, 4, 2), "ddos", "10.0.0.1")]}) == 4


@pytest.mark.parametrize(
    ("other", "together"),
    [
        (make_alert(3, kind="ddos"), True),
        (make_alert(7), True),
        (make_alert(8), False),
        (make_alert(1, entity="10.0.0.2"), False),
        (make_alert(1, entity="10.0.0.2", peer="10.0.0.9"), True),
        (make_alert(1, entity="10.0.0.2", peer="10.0.0.8"), False),
        (make_alert(1, entity="10.0.0.9", peer="10.0.0.1"), False),
        (make_alert(1, kind="ddos", suppressed_by="ops"), None),
    ],
)
def test_alerts_of_an_entity_or_with_a_common_peer_belong_together_for_some_days(other, together):
    found = group([make_alert(peer="10.0.0.9"), other])
    expected = {True: [([0, 1], "open")], False: [([0], "open"), ([1], "open")], None: [([0], "open")]}
    assert found == expected[together]


def test_an_incident_goes_on_as_long_as_its_days_are_near():
    alerts = [make_alert(day) for day in (0, 6, 12, 18)]
    (incident,) = find_incidents(alerts, Latest(), DAYS)
    assert (incident.first_day, incident.last_day, incident.alerts) == (FIRST, FIRST + timedelta(days=18), 4)
    assert incident.incident_id == name_incident(alerts[0].alert_id)


def test_an_incident_says_who_what_and_how_bad():
    alerts = [
        make_alert(0, "10.0.0.1", peer="10.0.0.9"),
        make_alert(1, "10.0.0.2", "ddos", "10.0.0.9", score=95.0, severity="critical"),
    ]
    (incident,) = find_incidents(alerts, Latest(), DAYS)
    assert (incident.severity, incident.score, incident.entities) == ("critical", 95.0, ("10.0.0.2", "10.0.0.1"))
    said = "10.0.0.2, 10.0.0.1: 2 alerts (ddos, beaconing) from 2024-04-01 to 2024-04-02; the strongest: "
    assert incident.sentence == f"{said}10.0.0.2 does ddos"
    assert from_plain(to_plain(incident), incident.alert_ids) == incident
    (milder,) = find_incidents(alerts, list_latest([decide(alerts[1], "dismissed", scored=1)]), DAYS)
    assert (milder.severity, milder.score, milder.kinds) == ("medium", 70.0, ("beaconing", "ddos"))


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        (["confirmed", None], "confirmed"),
        (["dismissed", None], "open"),
        (["dismissed", "dismissed"], "closed"),
        (["closed", "dismissed"], "closed"),
        (["confirmed", "dismissed"], "confirmed"),
        (["confirmed", "closed"], "confirmed"),
    ],
)
def test_verdicts_make_the_state_of_an_incident(verdicts, state):
    alerts = [make_alert(0), make_alert(0, kind="ddos")]
    decided = [decide(alert, verdict) for alert, verdict in zip(alerts, verdicts, strict=True) if verdict]
    assert group(alerts, *decided) == [([0, 1], state)]


def test_a_day_after_the_closing_opens_a_new_incident_and_a_day_before_it_does_not():
    alerts = [make_alert(0), make_alert(1), make_alert(2)]
    closing = [decide(alert, "closed", number, scored=1) for number, alert in enumerate(alerts[:2])]
    assert group(alerts, *closing) == [([0, 1], "closed"), ([2], "open")]
    assert group([alerts[0], alerts[2]], closing[0]) == [([0], "closed"), ([1], "open")]
    # The day was scored when the incident was closed, and an alert came with a correction: it was not judged.
    late = make_alert(1, kind="ddos")
    assert group([*alerts[:2], late], *closing) == [([0, 1, 2], "open")]


def test_a_dismissed_alert_stays_in_its_incident_and_the_habit_does_not_join():
    alerts = [make_alert(0), make_alert(0, kind="ddos"), make_alert(1), make_alert(40)]
    assert group(alerts, decide(alerts[0], "dismissed")) == [([0, 1], "open"), ([3], "open")]


verdict_plans = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from(["confirmed", "dismissed", "closed"]), st.integers(0, 20)), max_size=6
)
alert_plans = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 4), st.sampled_from([None, "10.0.1.1", "10.0.1.2"])),
    min_size=1,
    max_size=12,
    unique_by=lambda plan: plan[:2],
)


@given(alert_plans, verdict_plans, st.randoms(use_true_random=False))
def test_incidents_do_not_depend_on_the_order_and_each_alert_is_in_one(plans, decisions, random):
    alerts = [make_alert(day, f"10.0.0.{host}", peer=peer) for day, host, peer in plans]
    chosen = [(alerts[place % len(alerts)], *more) for place, *more in decisions]
    latest = list_latest(
        decide(alert, verdict, number, scored) for number, (alert, verdict, scored) in enumerate(chosen)
    )
    found = find_incidents(alerts, latest, DAYS)
    shuffled = random.sample(alerts, len(alerts))
    assert find_incidents(shuffled, latest, DAYS) == found
    members = [name for incident in found for name in incident.alert_ids]
    assert len(members) == len(set(members))
    shown = [judge_alert(alert, latest) for alert in alerts]
    assert set(members) == {each.alert.alert_id for each in shown if each.state != "suppressed"}
    for incident in found:
        days = sorted(alert.logical_date for alert in alerts if alert.alert_id in incident.alert_ids)
        assert all((later - day).days <= DAYS for day, later in pairwise(days))


@given(alert_plans)
def test_a_new_day_extends_and_opens_and_never_takes_an_alert_away(plans):
    alerts = [make_alert(day, f"10.0.0.{host}", peer=peer) for day, host, peer in plans]
    last = max(alert.logical_date for alert in alerts)
    before = find_incidents([alert for alert in alerts if alert.logical_date < last], Latest(), DAYS)
    after = find_incidents(alerts, Latest(), DAYS)
    for incident in before:
        (grown,) = [other for other in after if set(incident.alert_ids) & set(other.alert_ids)]
        assert set(incident.alert_ids) <= set(grown.alert_ids)
        assert grown.first_day <= incident.first_day


@pytest.mark.parametrize(
    ("changes", "suppressed"),
    [
        ({}, True),
        ({"day": 30}, True),
        ({"day": 31}, False),
        ({"day": -1}, False),
        ({"peer": "10.0.0.8"}, False),
        ({"kind": "ddos"}, False),
        ({"entity": "10.0.0.2"}, False),
    ],
)
def test_a_dismissed_habit_is_suppressed_until_its_date(changes, suppressed):
    latest = list_latest([decide(make_alert(peer="10.0.0.9"), "dismissed")])
    alert = make_alert(**{"day": 3, "peer": "10.0.0.9"} | changes)
    judged = judge_alert(alert, latest)
    assert judged.state == ("suppressed" if suppressed else "open")
    assert judged.alert.suppressed_by == ("verdict 1 by alice" if suppressed else None)


def test_a_dismissal_for_every_peer_and_a_later_confirmation():
    dismissed = make_alert(peer="10.0.0.9")
    every = decide(dismissed, "dismissed", peer=None)
    other = make_alert(2, peer="10.0.0.8")
    assert judge_alert(other, list_latest([every])).state == "suppressed"
    again = decide(other, "confirmed", 2)
    assert judge_alert(other, list_latest([every, again])).state == "confirmed"
    assert judge_alert(dismissed, list_latest([every, replace(every, sequence=3, verdict="confirmed", until=None)]))
    taken_back = list_latest([every, decide(dismissed, "confirmed", 3)])
    assert judge_alert(other, taken_back).state == "open"


def test_the_highest_number_counts_whatever_the_clock_says():
    alert = make_alert()
    later = decide(alert, "confirmed", 2, decided_at=datetime(2020, 1, 1, tzinfo=UTC))
    for verdicts in ([later, decide(alert, "dismissed")], [decide(alert, "dismissed"), later]):
        assert list_latest(verdicts).said[alert.alert_id].verdict == "confirmed"


def test_closing_takes_back_nothing_that_was_said():
    dismissed, other = make_alert(), make_alert(3)
    latest = list_latest([decide(dismissed, "dismissed"), decide(dismissed, "closed", 2)])
    assert [judge_alert(alert, latest).state for alert in (dismissed, other)] == ["closed", "suppressed"]
    confirmed = list_latest([decide(dismissed, "confirmed"), decide(dismissed, "closed", 2)])
    assert judge_habit(confirmed, other.subject, days=30) == "confirmed"
    assert group([dismissed], decide(dismissed, "closed"), decide(dismissed, "confirmed", 2)) == [([0], "confirmed")]


def test_an_exception_comes_before_a_verdict():
    alert = make_alert(suppressed_by="ops")
    assert judge_alert(alert, list_latest([decide(make_alert(-1), "dismissed")])).alert.suppressed_by == "ops"


def test_shares_of_a_kind_count_what_was_decided_before_the_closing():
    alerts = [make_alert(day) for day in range(6)]
    verdicts = [decide(alert, "dismissed", number, days=0) for number, alert in enumerate(alerts)]
    verdicts += [decide(alerts[0], "confirmed", 10), decide(alerts[0], "closed", 11)]
    (shares,) = count_by_kind([*alerts, make_alert(50), make_alert(51, suppressed_by="ops")], verdicts)
    assert (shares.alerts, shares.confirmed, shares.dismissed, shares.suppressed) == (7, 1, 5, 1)
    assert shares.is_mostly_dismissed
    (few,) = count_by_kind(alerts, verdicts[:4])
    assert not few.is_mostly_dismissed


def test_dismissals_decide_the_alerts_of_a_day_only_where_the_budget_is_spent():
    alerts = [make_alert(entity=f"10.0.0.{host}") for host in range(3)]
    latest = list_latest([decide(alerts[1], "dismissed")])
    subjects = [alert.subject for alert in alerts]
    assert list_dismissed(latest, subjects, budget=4) == []
    assert list_dismissed(latest, subjects, budget=3) == [alerts[1].alert_id]
    assert list_dismissed(Latest(), subjects, budget=1) == []


@pytest.mark.parametrize(
    ("verdict", "day", "expected"),
    [
        ("confirmed", 30, "confirmed"),
        ("confirmed", 31, None),
        ("confirmed", -1, None),
        ("dismissed", 30, "dismissed"),
        ("dismissed", 31, None),
        ("closed", 1, None),
    ],
)
def test_what_was_said_of_a_habit_counts_for_some_days(verdict, day, expected):
    latest = list_latest([decide(make_alert(), verdict)])
    subject = Subject("", FIRST + timedelta(days=day), "beaconing", "10.0.0.1", None)
    assert judge_habit(latest, subject, days=30) == expected
    assert (find_dismissal(latest, subject) is not None) == (expected == "dismissed")
