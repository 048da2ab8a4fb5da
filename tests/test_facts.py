"""Facts of alerts: the limit that was passed, what is normal for the host, how rare it is, who else does it."""

import pandas as pd
import pytest
import scenarios
from scenarios import CLIENTS, make_day
from test_alerts import TODAY, to_utc

from network_anomalies.detection import detect, merge_histories, remember, summarise
from network_anomalies.detection.alerts.facts import FACTS, Fact, find_facts, say_fact
from network_anomalies.detection.limits import DEFAULT_LIMITS
from network_anomalies.records.alerts import list_fact_sentences


@pytest.fixture(scope="module")
def past():
    return merge_histories([remember(summarise(to_utc(make_day(day)))) for day in range(TODAY)])


@pytest.fixture(scope="module")
def scanned():
    return summarise(to_utc(pd.concat([make_day(TODAY), scenarios.scan(TODAY, 400, 300)], ignore_index=True)))


def test_a_scan_has_its_limit_first_and_then_how_far_it_is_from_what_the_host_does(past, scanned):
    findings = detect(scanned, past)
    place = findings.index[findings["kind"] == "horizontal_scan"][0]
    facts = find_facts(findings, scanned, past, DEFAULT_LIMITS)[place]
    assert findings.loc[place, "entity"] == CLIENTS[0]
    assert 2 <= len(facts) <= FACTS
    # A passed limit: as a number of its own, or as how many times it was reached.
    assert facts[0].value >= (facts[0].limit or 1)
    probed = next(fact for fact in facts if fact.name == "destinations probed in an hour")
    assert probed.value >= 390 and probed.before < 30
    assert probed.as_many == 0 and probed.known >= len(CLIENTS)
    assert probed.normal_to < probed.value
    assert all(fact.value > max(fact.before, fact.normal_to) for fact in facts[1:])


def test_without_a_past_nothing_is_said_of_one(scanned):
    findings = detect(scanned)
    for facts in find_facts(findings, scanned, None, DEFAULT_LIMITS):
        assert all((fact.before, fact.normal_to, fact.known) == (None, None, None) for fact in facts)
        words = ("at most", "none before", "normal is", " 1 in ")
        assert not any(word in say_fact(fact) for fact in facts for word in words)


def test_facts_are_the_same_whoever_else_is_asked_about(past, scanned):
    findings = detect(scanned, past)
    together = find_facts(findings, scanned, past, DEFAULT_LIMITS)
    for place in range(len(findings)):
        (alone,) = find_facts(findings.iloc[[place]], scanned, past, DEFAULT_LIMITS)
        assert alone[1:] == together[place][1:]
    assert find_facts(findings.head(0), scanned, past, DEFAULT_LIMITS) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "9 calls"),
        ({"limit": 5}, "9 calls: the limit is 5"),
        ({"before": 0.0}, "9 calls: none before"),
        ({"before": 3.0, "normal_to": 4.0}, "9 calls: at most 3 before, normal is up to 4"),
        ({"known": 1000, "as_many": 4}, "9 calls: about 1 in 250"),
        ({"known": 1000, "as_many": 0}, "9 calls: rarer than 1 in 1,000"),
        ({"known": 0, "as_many": 0}, "9 calls"),
        ({"hosts": 1}, "9 calls: no other host does so that day"),
        ({"hosts": 12}, "9 calls: 12 hosts do so that day"),
        ({"value": 2.46}, "2.5 calls"),
        ({"value": 1234567.0}, "1,234,567 calls"),
        ({"value": 1.5e9, "is_bytes": True, "limit": 5e7}, "1.5 GB calls: the limit is 50 MB"),
        ({"value": 0.0, "is_bytes": True}, "0 bytes calls"),
    ],
)
def test_a_fact_is_said_in_one_way(changes, said):
    fact = Fact(**{"name": "calls", "value": 9.0} | changes)
    assert say_fact(fact) == said
    assert list_fact_sentences([fact.model_dump(exclude_none=True) | {"of_a_later_version": 1}]) == [said]


def test_alerts_of_before_there_were_facts_have_none():
    assert list_fact_sentences(None) == []


def test_alerts_keep_their_facts_and_a_rerun_finds_the_same(modelled_days):
    alerts = modelled_days.load("alerts")
    assert len(alerts) and all(1 <= len(facts) <= FACTS for facts in alerts["facts"])
    assert any("normal is" in " ".join(list_fact_sentences(facts)) for facts in alerts["facts"])
