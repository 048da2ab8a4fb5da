"""What several days of the past change: attacks that last stay attacks, and what is little on each day adds up."""

import numpy as np
import pandas as pd
import pytest
import scenarios
from scenarios import CLIENTS, DAY, MONDAY, SERVERS, make_day, make_flows

from network_anomalies.detection import detect, merge_histories, remember, summarise
from network_anomalies.detection.scoring.history import History

LAST = 5
BEGIN = 2
STRANGER = "185.199.108.153"


def merge(histories: list[History]) -> History:
    return merge_histories(histories)


@pytest.fixture(scope="module")
def days() -> list[pd.DataFrame]:
    return [make_day(day) for day in range(LAST + 1)]


@pytest.fixture(scope="module")
def calm(days) -> list[History]:
    return [remember(summarise(day)) for day in days[:LAST]]


def judge(days: list[pd.DataFrame], calm: list[History], attack, begin: int = BEGIN, end: int = LAST) -> set[tuple]:
    """Return the findings of the last day, with an attack on it and on the days before from ``begin`` on."""
    with_attack = {day: pd.concat([days[day], attack(day)], ignore_index=True) for day in (*range(begin, end), LAST)}
    past = [remember(summarise(with_attack[day])) if day in with_attack else calm[day] for day in range(LAST)]
    found = detect(summarise(with_attack[LAST]), merge(past))
    return set(zip(found["kind"], found["entity"], strict=True))


def call_rarely(day: int) -> pd.DataFrame:
    times = MONDAY + DAY * day + 6 * 3_600 * np.arange(4) + np.random.default_rng(day).uniform(0, 3_000, 4)
    return make_flows(times, CLIENTS[5], STRANGER, 650, 0.3)


def drip(day: int) -> pd.DataFrame:
    times = MONDAY + DAY * day + 36_000 + np.sort(np.random.default_rng(day).uniform(0, 14_400, 24))
    return make_flows(times, CLIENTS[3], STRANGER, 15e6 / 24, 3.0)


def move_slowly(day: int) -> pd.DataFrame:
    times = MONDAY + DAY * day + np.array([40_000.0, 50_000.0])
    return make_flows(times, CLIENTS[7], [CLIENTS[8 + 2 * day], CLIENTS[9 + 2 * day]], [9_000, 12_000], 3.0)


def visit(day: int) -> pd.DataFrame:
    """Return a person's visits of a new site that nobody else knows: some pages at a time."""
    random = np.random.default_rng(day)
    times = MONDAY + DAY * day + np.repeat([35_000.0, 50_000.0], 8) + random.uniform(0, 900, 16)
    return make_flows(times, CLIENTS[4], STRANGER, random.lognormal(9, 1.5, 16), 1.0)


def back_up(day: int) -> pd.DataFrame:
    return make_flows(MONDAY + DAY * day + 9_000 + 60.0 * np.arange(6), SERVERS[1], scenarios.BACKUP, 9e8, 100.0)


LASTING = {
    "a beacon": ("beaconing", CLIENTS[5], lambda day: scenarios.beacon(day, 300, 0.2)),
    "a scan": ("horizontal_scan", CLIENTS[0], lambda day: scenarios.scan(day, 60, 600)),
    "password guessing": ("brute_force", "203.0.113.9", lambda day: scenarios.guess_passwords(day, 300, 900)),
    "a leak": ("exfiltration", CLIENTS[3], lambda day: scenarios.leak(day, 300, 10, STRANGER, 2)),
}
SLOW = {
    "a beacon of four calls a day": ("beaconing", CLIENTS[5], call_rarely),
    "a drip of 15 MB a day": ("exfiltration", CLIENTS[3], drip),
    "two new peers a day": ("lateral_movement", CLIENTS[7], move_slowly),
}


@pytest.mark.parametrize("name", LASTING)
def test_an_attack_that_lived_in_the_past_for_days_is_found_as_on_its_first_day(name, days, calm):
    kind, entity, attack = LASTING[name]
    assert judge(days, calm, attack, begin=LAST) == {(kind, entity)}
    assert judge(days, calm, attack) == {(kind, entity)}


@pytest.mark.parametrize("name", LASTING)
def test_what_was_there_from_the_first_day_of_the_past_on_is_normal(name, days, calm):
    _, _, attack = LASTING[name]
    assert judge(days, calm, attack, begin=0) == set()


@pytest.mark.parametrize("name", SLOW)
def test_days_add_up_to_what_one_day_hides(name, days, calm):
    kind, entity, attack = SLOW[name]
    assert judge(days, calm, attack, begin=LAST) == set()
    assert judge(days, calm, attack) == {(kind, entity)}


@pytest.mark.parametrize("harmless", [visit, back_up])
def test_what_is_new_and_harmless_stays_so_over_days(harmless, days, calm):
    assert judge(days, calm, harmless) == set()


def test_a_past_that_is_mostly_attack_hides_no_attack(days, calm):
    def flood(day: int) -> pd.DataFrame:
        return pd.concat([scenarios.flood(day, 300, 60_000), scenarios.guess_passwords(day, 3_000, 3_000)])

    found = judge(days, calm, flood)
    assert ("brute_force", "203.0.113.9") in found
    assert ("ddos", scenarios.PORTAL) in found
