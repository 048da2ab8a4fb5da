"""What even calls count, what uneven ones do not, and what surrounds a conversation."""

import numpy as np
import pandas as pd
import pytest
from scenarios import CLIENTS, MONDAY, make_day, make_flows

from network_anomalies.detection import fit_reference, remember, score, summarise
from network_anomalies.detection.scoring.columns import encode_events
from network_anomalies.detection.scoring.levels import compute_levels
from network_anomalies.detection.scoring.model import look_around, prepare

OUTSIDE = "203.0.113.77"
GAPS = {
    "even": np.full(23, 120.0),
    "with jitter": np.tile([90.0, 150.0], 12)[:23],
    "in bursts": np.tile([0.1, 0.1, 350.0], 8)[:23],
    "pairs": np.tile([0.01, 240.0], 12)[:23],
}


@pytest.fixture(scope="module")
def day() -> pd.DataFrame:
    return make_day(0)


def add_calls(day: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a day with 24 calls of a client to a host that nobody else knows, and which flows these are."""
    times = MONDAY + 10 * 3_600 + np.append(0.0, np.cumsum(GAPS[kind]))
    events = pd.concat([day, make_flows(times, CLIENTS[4], OUTSIDE, 900.0, 0.4)], ignore_index=True)
    return events, (events["dst_ip"] == OUTSIDE).to_numpy()


@pytest.mark.parametrize(
    ("kind", "is_even"), [("even", True), ("with jitter", True), ("in bursts", False), ("pairs", False)]
)
def test_calls_less_even_than_calls_at_random_times_have_no_rhythm(day, kind, is_even):
    events, called = add_calls(day, kind)
    levels = compute_levels(*prepare(events), remember(summarise(events)), inside=True)["lone_rhythm"]
    none = levels[~called].max()
    assert (levels[called] < none).all() if is_even else (levels[called] == none).all()


def test_even_calls_are_the_strongest_facet_of_their_flows(day):
    events, called = add_calls(day, "even")
    history = remember(summarise(events))
    scores = score(events, fit_reference([lambda: events], history), inside=True)
    assert set(scores.loc[called, "facet_1"]) == {"rhythm"}
    assert scores.loc[called, "score"].min() > scores.loc[~called, "score"].quantile(0.95)


def test_a_conversation_does_not_confirm_itself_where_it_is_alone():
    """The odd conversation is all that its destination has, and one of two of its source."""
    pairs = pd.DataFrame([("a", "x"), ("a", "y"), ("b", "y")], columns=["src_ip", "dst_ip"])
    coded = encode_events(pairs.assign(timestamp=0.0, bytes=1, duration=0.0, protocol="TCP"))
    found = look_around(coded, np.array([10.0, 2.0, 0.0]))
    assert found == pytest.approx([(10 + 6) / 2, (2 + 1) / 2, (0 + 0) / 2])
