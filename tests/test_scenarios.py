"""What is staged in synthetic traffic: whether it happens, as said, and whether the truth about it is the truth."""

from datetime import date, timedelta
from ipaddress import ip_address

import numpy as np
import pandas as pd
import pytest
from conftest import generator_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.generator import TRUTH_COLUMNS, draw_part, find_keys, label_parts, plan_day
from network_anomalies.generator.population import PUBLIC_HOSTS, build_population, name_public
from network_anomalies.generator.scenarios import draw_flows, vary_attacks
from network_anomalies.parameters import GeneratorParameters

DAY = date(2026, 11, 18)
NEXT_DAY = date(2026, 11, 19)
MIDNIGHT = pd.Timestamp(DAY, tz="UTC")
DEFAULT = generator_parameters()
GENTLE = {"hosts": 1, "share": 0.05, "start_hour": [2, 4], "minutes": 60, "stealth": 0.0}


def draw(generator: GeneratorParameters, day: date = DAY) -> tuple[pd.DataFrame, pd.DataFrame]:
    plan = plan_day(generator, day)
    parts = plan.parts
    events = pd.concat([draw_part(plan, part) for part in parts], ignore_index=True)
    truth = pd.concat([label_parts(plan, run) for run in plan.runs], ignore_index=True)
    return events, truth


def stage(n_events: int = 20_000, **attack: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the events and truth of a day with nothing but one attack."""
    attacks = {"attack": GENTLE | attack}
    return draw(generator_parameters(n_events=n_events, lookalikes={}, attack_spread=1, attacks=attacks))


def select(events: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    return events[np.isin(find_keys(events), truth["event_key"])]


@pytest.fixture(scope="module")
def default_day() -> tuple[pd.DataFrame, pd.DataFrame]:
    return draw(DEFAULT)


def test_every_kind_of_scenario_is_staged_on_the_default_day(default_day):
    _, truth = default_day
    assert set(truth.loc[~truth["attack"], "scenario"]) == set(DEFAULT.lookalikes)
    assert set(truth.loc[truth["attack"], "scenario"]) == set(DEFAULT.attacks)
    assert set(truth.loc[truth["attack"], "kind"]) == {
        *("horizontal_scan", "brute_force", "exfiltration", "ddos", "beaconing", "lateral_movement", "new_service"),
    }


def test_attacks_are_a_twentieth_of_a_percent_to_one_percent_of_the_default_day_give_or_take_their_spread(default_day):
    events, truth = default_day
    assert 0.0005 <= sum(scenario.share for scenario in DEFAULT.attacks.values()) <= 0.01
    assert 0.0005 / DEFAULT.attack_spread <= truth["attack"].sum() / len(events) <= 0.01 * DEFAULT.attack_spread


def test_the_truth_names_each_staged_event_once(default_day):
    events, truth = default_day
    keys = pd.Series(find_keys(events))
    assert truth["event_key"].is_unique
    assert keys.isin(truth["event_key"]).sum() == len(truth)
    assert dict(truth.dtypes.astype("str")) == TRUTH_COLUMNS


def test_the_truth_knows_ends_and_interval_of_each_event(default_day):
    events, truth = default_day
    joined = truth.merge(events.assign(event_key=find_keys(events)), on="event_key", suffixes=("", "_event"))
    assert len(joined) == len(truth)
    for name in ("src_ip", "dst_ip"):
        assert (joined[name] == joined[f"{name}_event"].astype("str")).all()
    assert joined["timestamp"].between(joined["first_seen"], joined["last_seen"]).all()


def test_the_key_is_the_same_for_events_that_come_back_as_text(default_day):
    events, _ = default_day
    read = events.astype({name: "str" for name in ("src_ip", "dst_ip", "protocol")}).sample(1000, random_state=1)
    assert (find_keys(read) == find_keys(events.loc[read.index])).all()
    assert not set(TRUTH_COLUMNS) & {"event_key"} & set(events.columns)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**64), n_events=st.integers(10, 4000), parts=st.integers(1, 9))
def test_events_and_truth_do_not_depend_on_where_a_day_is_cut(seed, n_events, parts):
    attacks = {"scan": GENTLE | {"kind": "horizontal_scan"}, "flood": GENTLE | {"kind": "ddos", "minutes": 1.0}}
    cut, whole = (
        generator_parameters(seed=seed, n_events=n_events, part_events=size, lookalikes={}, attacks=attacks)
        for size in (-(-n_events // parts), n_events)
    )
    events, truth = draw(cut)
    assert len(events) == n_events
    assert np.isin(truth["event_key"], find_keys(events)).all()
    pd.testing.assert_frame_equal(
        *(found.sort_values("event_key", ignore_index=True) for found in (truth, draw(whole)[1]))
    )


def test_ten_events_with_everything_staged_are_ten_events_and_the_truth_says_what_fitted():
    strong = {name: block.model_dump() | {"share": 0.06} for name, block in DEFAULT.attacks.items()}
    events, truth = draw(generator_parameters(n_events=10, attacks=strong, lookalikes={}, attack_spread=1))
    assert (len(events), len(truth)) == (10, 0)
    strong = {"scan": GENTLE | {"kind": "horizontal_scan", "share": 0.31}, "flood": GENTLE | {"kind": "ddos"}}
    events, truth = draw(generator_parameters(n_events=10, attacks=strong, lookalikes={}, attack_spread=1))
    assert (len(events), truth["scenario"].tolist()) == (10, ["scan"] * 3)


def test_a_day_may_be_nothing_but_attacks():
    events, truth = stage(kind="ddos", share=1.0, hosts=50, n_events=1000)
    assert (len(events), len(truth)) == (1000, 1000)


def test_look_alikes_are_the_same_hosts_every_day_and_attackers_others():
    days = [draw(DEFAULT, day)[1] for day in (DAY, NEXT_DAY)]
    ends = [truth.groupby("scenario")[["src_ip", "dst_ip"]].agg(frozenset) for truth in days]
    same = (ends[0] == ends[1]).all(axis=1)
    # A crowd is drawn anew from its members, and visitors are strangers; everything else benign is the same pair.
    assert same[list(set(DEFAULT.lookalikes) - {"morning_crowd", "visitors"})].all()
    assert not same[list(DEFAULT.attacks)].any()


def test_a_scan_touches_every_host_but_once_within_its_minutes():
    events, truth = stage(kind="horizontal_scan", minutes=10)
    scan = select(events, truth)
    assert len(scan) == 1000
    assert (scan["src_ip"].nunique(), scan["dst_ip"].nunique()) == (1, 1000)
    assert scan["timestamp"].max() - scan["timestamp"].min() <= pd.Timedelta(minutes=10)


def test_brute_force_is_one_pair_and_a_flood_is_many_strangers_on_one_server():
    events, truth = stage(kind="brute_force")
    assert select(events, truth)[["src_ip", "dst_ip"]].drop_duplicates().shape == (1, 2)
    events, truth = stage(kind="ddos", hosts=80, minutes=5)
    flood = select(events, truth)
    assert (flood["src_ip"].nunique(), flood["dst_ip"].nunique()) == (80, 1)
    known = set(build_population(DEFAULT.profiles["enterprise"], DEFAULT.seed).addresses)
    assert not known & set(flood["src_ip"].astype("str"))


@pytest.mark.parametrize("known_peer", [True, False])
def test_exfiltration_moves_its_megabytes_to_a_known_or_a_new_place(known_peer):
    events, truth = stage(kind="exfiltration", share=0.001, megabytes=500.0, known_peer=known_peer)
    moved = select(events, truth)
    known = build_population(DEFAULT.profiles["enterprise"], DEFAULT.seed).addresses
    assert moved["dst_ip"].isin(known).all() == known_peer
    assert 350e6 < moved["bytes"].sum() < 650e6


@settings(max_examples=25, deadline=None)
@given(period=st.floats(30, 14_400), jitter=st.floats(0, 0.5), shortening=st.booleans(), seed=st.integers(0, 2**32))
def test_beacons_keep_their_period_within_their_jitter(period, jitter, shortening, seed):
    block = {"kind": "beaconing", "share": 0.9, "start_hour": [0, 0], "minutes": 1440, "period_seconds": period}
    attacks = {"attack": GENTLE | block | {"jitter": jitter, "shortening": shortening}}
    day = plan_day(
        generator_parameters(seed=seed, n_events=20_000, lookalikes={}, attack_spread=1, attacks=attacks), DAY
    )
    times = draw_flows(day.instances[0], 0, 86_400_000_000)["time"]
    gaps = np.diff(times) / 1e6 / period
    low, high = (1 - jitter, 1) if shortening else (1 - jitter / 2, 1 + jitter / 2)
    assert len(times) >= 86_400 / period / high - 1
    assert ((gaps >= low - 1e-6) & (gaps <= high + 1e-6)).all()


def test_stealth_stretches_and_thins_an_attack():
    loud, hidden = (stage(kind="brute_force", minutes=10, stealth=stealth)[1] for stealth in (0.0, 1.0))
    assert len(hidden) == len(loud) / 2
    spans = [truth["last_seen"].iloc[0] - truth["first_seen"].iloc[0] for truth in (loud, hidden)]
    assert spans[1] / spans[0] == pytest.approx(21, rel=0.01)


def test_an_hour_that_is_asked_for_is_kept():
    _, truth = stage(kind="brute_force", start_hour=[2, 4])
    assert truth["first_seen"].between(MIDNIGHT + pd.Timedelta(hours=2), MIDNIGHT + pd.Timedelta(hours=4)).all()


def test_strangers_are_strangers():
    generator = generator_parameters()
    events = [draw(generator, day)[0] for day in (DAY, NEXT_DAY)]
    known = set(build_population(DEFAULT.profiles["enterprise"], DEFAULT.seed).addresses)
    strange = [set(frame["dst_ip"].astype("str")) - known for frame in events]
    assert len(strange[0]) > 100
    assert len(strange[0] & strange[1]) <= 2


def find_outside(events: pd.DataFrame) -> set[str]:
    hosts = set(events["src_ip"].astype("str")) | set(events["dst_ip"].astype("str"))
    return {host for host in hosts if not host.startswith("10.")}


@pytest.mark.parametrize("profile", sorted(DEFAULT.profiles))
def test_no_outside_address_tells_whether_it_is_an_attackers(profile):
    events, truth = draw(generator_parameters(profile=profile))
    outside = find_outside(events)
    attackers = find_outside(truth[truth["attack"]])
    benign = outside - attackers
    assert len(attackers) > 50 and len(benign) > 500
    assert all(ip_address(host).is_global for host in outside)
    # Each byte of an address is spread alike on both sides: Kolmogorov and Smirnov's distance at a level of 1 in 1,000.
    for place in range(4):
        ours, theirs = (np.sort([int(host.split(".")[place]) for host in side]) for side in (benign, attackers))
        at = np.arange(256)
        distance = np.abs(
            np.searchsorted(ours, at, "right") / len(ours) - np.searchsorted(theirs, at, "right") / len(theirs)
        ).max()
        assert distance < 1.95 * np.sqrt(1 / len(ours) + 1 / len(theirs))


@given(seed=st.integers(0, 2**64), begin=st.integers(0, PUBLIC_HOSTS - 5_000))
def test_outside_hosts_have_addresses_of_their_own(seed, begin):
    assert len(set(name_public(seed, begin + np.arange(5_000)))) == 5_000


def test_an_attack_varies_by_date_around_its_parameters():
    days = [vary_attacks(DEFAULT, DAY + timedelta(days=shift)).attacks for shift in range(200)]
    for name, scenario in DEFAULT.attacks.items():
        for strength in ("share", "minutes", "megabytes", "period_seconds"):
            if hasattr(scenario, strength):
                ratio = np.array([getattr(day[name], strength) for day in days]) / getattr(scenario, strength)
                assert 1 / DEFAULT.attack_spread <= ratio.min() < 0.6 and 1.7 < ratio.max() <= DEFAULT.attack_spread
                assert 0.9 < np.exp(np.log(ratio).mean()) < 1.1
    assert len({day["ddos"].hosts for day in days}) > 50
    assert {day["fast_scan"].hosts for day in days} == {1}
    assert vary_attacks(DEFAULT, DAY) == vary_attacks(DEFAULT, DAY)
    plain = generator_parameters(attack_spread=1)
    assert vary_attacks(plain, DAY).attacks == plain.attacks


def test_a_periodic_attack_calls_as_often_as_its_share_allows():
    block = {"kind": "beaconing", "period_seconds": 60, "jitter": 0.0, "shortening": False, "minutes": 900}
    _, truth = stage(**block, share=0.002)
    assert len(truth) == 40


def list_strengths(limits: DetectorLimits) -> dict[str, set[float]]:
    """Return the limits by what they count: flows of an attack, hosts, bytes, seconds between calls."""
    plain = limits.model_dump(mode="python")
    both = lambda group, name: set(plain[group][name].values())  # noqa: E731
    return {
        "flows": set().union(
            both("horizontal_scan", "hour_destinations"),
            both("horizontal_scan", "day_destinations"),
            both("brute_force", "sessions"),
            both("ddos", "pair_flows"),
            both("beaconing", "calls"),
            both("beaconing", "many_calls"),
            {plain["horizontal_scan"]["lone_destinations"], plain["ddos"]["crowd_flows"]},
            {plain["exfiltration"]["drip_flows"], plain["lateral_movement"]["peers"], plain["new_service"]["flows"]},
        ),
        "hosts": {*both("ddos", "strangers"), plain["ddos"]["crowd_sources"], plain["new_service"]["sources"]},
        "bytes": both("exfiltration", "pair_bytes"),
        "seconds": {*plain["beaconing"]["period_seconds"], plain["beaconing"]["few_period_seconds"]},
    }


@pytest.mark.parametrize("n_events", [20_000, 60_000, 100_000, 1_000_000])
def test_no_limit_equals_a_number_of_the_generator(n_events):
    limits = list_strengths(DEFAULT_LIMITS)
    for scenario in (*DEFAULT.attacks.values(), *DEFAULT.lookalikes.values()):
        strengths = {
            "flows": scenario.share * n_events * (1 - scenario.stealth / 2) / scenario.hosts,
            "hosts": scenario.hosts if scenario.hosts > 1 else None,
            "bytes": getattr(scenario, "megabytes", 0) * 1e6 * (1 - 0.9 * scenario.stealth),
            "seconds": getattr(scenario, "period_seconds", 0),
        }
        assert not {name for name, value in strengths.items() if value in limits[name]}, scenario
