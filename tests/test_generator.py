"""The synthetic source: the same events for the same seed and day, drawn part by part."""

import tracemalloc
from datetime import date
from itertools import pairwise

import pandas as pd
import pytest
from conftest import generator_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

from network_anomalies.events.contract import coerce_events, find_violations
from network_anomalies.events.parts import digest_content, to_canonical_table
from network_anomalies.parameters import GateParameters, GeneratorParameters
from network_anomalies.pipelines.ingestion.sources import Parts, plan_events, plan_parts
from network_anomalies.records.batch import SourceReport

DAY = "2024-04-19"
GATE = GateParameters(max_rejected_share=0.5, drop_duplicates=False, preview_rows=2)
SEEDS = st.sampled_from([0, 2**32, 2**63, 2**64 + 1]) | st.integers(0, 2**128)
DATES = st.dates(date(1678, 1, 1), date(2261, 12, 31))


def plan(wanted: GeneratorParameters, logical_date: str) -> tuple[Parts, SourceReport]:
    return plan_parts(plan_events(wanted, date.fromisoformat(logical_date)), wanted, GATE)


def draw(n_events: int = 100, seed: int = 7, part_events: int = 40, logical_date: str = DAY) -> list[pd.DataFrame]:
    wanted = generator_parameters(n_events=n_events, seed=seed, part_events=part_events)
    return [part.read() for part in plan(wanted, logical_date)[0].values()]


def digest(**choices) -> str:
    return digest_content(to_canonical_table(pd.concat(draw(**choices), ignore_index=True)))


def test_the_events_are_these_on_every_machine():
    assert digest() == "02ff4a364b05e669589e9dd53fa1e13cc8c714450f6128028295390ff288fdde"
    assert digest(n_events=10, part_events=10) == "98713d489c4ea5e0490ac602925e8f5c6c988ac6bc15885e174bd5318f8eb6b3"
    assert digest(n_events=5000, part_events=2000) == "6384b45cccdba701b5f79e76fd214da1fdb40a465e9372e4b6b289f140054963"


def test_the_events_are_the_same_each_time_they_are_drawn():
    parts, _ = plan(generator_parameters(n_events=100, seed=7, part_events=40), DAY)
    for part in reversed(parts.values()):
        pd.testing.assert_frame_equal(part.read(), part.read())
    assert digest() == digest()


@pytest.mark.parametrize("other", [{"seed": 8}, {"seed": 7 + 2**32}, {"logical_date": "2024-04-20"}])
def test_another_seed_or_day_gives_other_events(other):
    columns = ["src_ip", "dst_ip", "bytes", "duration"]
    one, another = (
        pd.concat(draw(**choices), ignore_index=True)[columns].astype({"src_ip": "str", "dst_ip": "str"})
        for choices in ({}, other)
    )
    assert (one == another).all(axis=1).mean() < 0.1


@pytest.mark.parametrize(
    ("n_events", "part_events", "sizes"),
    [
        (10, 10_000_000, [10]),
        (10, 1, [1] * 10),
        (10, 4, [3, 3, 4]),
        (100, 50, [50, 50]),
        (101, 50, [33, 34, 34]),
        (10_007, 5000, [3335, 3336, 3336]),
    ],
)
def test_the_day_has_exactly_the_events_asked_for_in_bounded_parts(n_events, part_events, sizes):
    assert [len(part) for part in draw(n_events=n_events, part_events=part_events)] == sizes


@settings(max_examples=25)
@given(seed=SEEDS, day=DATES, n_events=st.integers(10, 300), part_events=st.integers(7, 300))
def test_every_event_of_any_seed_and_day_meets_the_contract(seed, day, n_events, part_events):
    parts = draw(n_events, seed, part_events, day.isoformat())
    assert sum(map(len, parts)) == n_events
    for part in parts:
        assert find_violations(coerce_events(part), day).empty


@pytest.mark.parametrize("logical_date", ["0001-01-01", "0024-04-19", "9999-12-30"])
def test_a_day_far_from_now_is_a_day_like_any_other(logical_date):
    assert find_violations(coerce_events(draw(logical_date=logical_date)[0]), date.fromisoformat(logical_date)).empty


@given(n_events=st.integers(10, 300), part_events=st.integers(7, 300))
def test_parts_follow_one_another_in_time(n_events, part_events):
    parts = draw(n_events=n_events, part_events=part_events)
    times = pd.concat(parts)["timestamp"]
    assert times.is_monotonic_increasing
    for earlier, later in pairwise(parts):
        assert earlier["timestamp"].iloc[-1] <= later["timestamp"].iloc[0]


def test_a_hundred_million_events_cost_nothing_before_they_are_asked_for():
    tracemalloc.start()
    parts, _ = plan(generator_parameters(n_events=10**8, seed=7, part_events=10**5), DAY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(parts), list(parts)[-1]) == (1000, "1000")
    assert peak < 20_000_000


def find_digest(wanted: GeneratorParameters) -> str:
    return plan(wanted, DAY)[1].params_sha256


def test_the_report_knows_the_parameters_that_decide_the_events_by_their_digest():
    wanted = generator_parameters(n_events=100, part_events=40)
    report = plan(wanted, DAY)[1]
    assert (report.kind, report.format, report.files, report.left_out) == ("synthetic", None, (), None)
    ddos = wanted.attacks["ddos"].model_copy(update={"share": 0.5})
    changes = [{"n_events": 101}, {"seed": 8}, {"part_events": 41}, {"attacks": wanted.attacks | {"ddos": ddos}}]
    changes += [{"profile": "campus"}]
    digests = [find_digest(wanted.model_copy(update=change)) for change in changes]
    assert len({report.params_sha256, *digests}) == 1 + len(changes)


def test_a_profile_that_is_not_used_decides_nothing():
    wanted = generator_parameters(n_events=100, part_events=40)
    others = {name: profile for name, profile in wanted.profiles.items() if name == wanted.profile}
    assert 0 < len(others) < len(wanted.profiles)
    assert find_digest(wanted.model_copy(update={"profiles": others})) == find_digest(wanted)
