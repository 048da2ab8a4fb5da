"""Limits of the named detectors: rules of thumb, the same for every network; higher where there is no past."""

from dataclasses import dataclass

SCAN_SPREAD = 0.5  # standard deviation of ln(bytes) between the pairs of one scan
SCAN_DARK = 20  # without a past: private hosts that nobody else talks to
SCAN_HOUR_FACTOR, SCAN_DAY_FACTOR = 3, 2  # times the widest hour and day of the past

LOGIN_BYTES = (300, 20_000)
LOGIN_SPREAD = 0.6
LOGIN_FELLOWS = 3  # known sources that do the same to one destination in one hour; more are a crowd
LOGIN_PACE = 5  # sessions per active minute
LOGIN_FACTOR = 4  # times the pair's busiest hour of the past

EMPTY_BYTES, EMPTY_SECONDS = 2_000, 0.1
FLOOD_PACE = 100  # flows per active minute
FLOOD_FACTOR = 10  # times the pair's busiest hour of the past, or a destination's strangers in its median hour
PASSING_HOURS = 2  # an hour seldom begins on the hour
CROWD_FLOWS, CROWD_SOURCES = 500, 30  # of a destination in an hour
CROWD_FLOWS_FACTOR, CROWD_SOURCES_FACTOR = 5, 3  # times the destination's busiest hour of the past
CROWD_STRANGERS = 0.5  # share of sources that nobody knew

LEAK_FACTOR = 3  # times the source's largest day with any destination
DRIP_FLOWS, DRIP_HOURS = 20, 3
DRIP_LARGEST = 0.2  # share of the largest flow in the bytes of the day
DRIP_FACTOR = 5  # times the pair's largest day
LONE_LEAK_FACTOR = 3  # without a past: times all else that the source moved

BEACON_SECONDS = (20, 5 * 3_600)
BEACON_SPREAD = 0.45  # standard deviation of ln(gap): uniform jitter of 50 % has 0.31, chance 1.28
SHORT_BEACON_SPREAD = 0.35  # of a few calls, which then are to be an hour apart
SHORT_BEACON_SECONDS = 3_000
BEACON_SIZE_SPREAD = 0.5
BEACON_BYTES = 1e6  # a call; more is a transfer
BEACON_HOURS = 3  # without a past: hours of the day with calls
CLOCK_BYTES = 400  # a time query or two, and the answers
HABIT_HOURS = 6

SESSION_BYTES = 500
PEERS, LONE_PEERS = 5, 8  # clients that a private source never met; ... of a source that nobody knew

CONTROL_PROTOCOLS = ("ICMP", "IPV6-ICMP", "IGMP")
SERVICE_FLOWS, SERVICE_SOURCES = 20, 2
SPEAKERS = 0.1  # share of the day's sources that speak a rare protocol at most

HABIT_WEIGHT = 2  # destinations of the whole day that count beside a source's own
SHARED = 0.5  # share of a source's other destinations that others talk to as well


@dataclass(frozen=True)
class Limits:
    """What depends on whether there is a past.

    Attributes:
        scan_hour: unmet destinations of a source in an hour.
        scan_day: ... and in a day.
        logins: sessions of a pair in an hour; without a past, in its few hours of the day.
        strangers: sources of a destination in an hour that talk to nobody else.
        flood: flows of a pair in an hour.
        leak_bytes: bytes of a pair in a day.
        beacon_flows: calls of a pair in a day.
        long_beacon_flows: calls from which on ``BEACON_SPREAD`` is allowed.
        beacon_sources: other hosts that call the same destination, plus one.
        burst_hours: hours of the day that a pair may talk in and still be a burst.
    """

    scan_hour: int
    scan_day: int
    logins: int
    strangers: int
    flood: int
    leak_bytes: float
    beacon_flows: int
    long_beacon_flows: int
    beacon_sources: int
    burst_hours: int


WITH_PAST = Limits(
    scan_hour=20,
    scan_day=30,
    logins=60,
    strangers=30,
    flood=1_000,
    leak_bytes=50e6,
    beacon_flows=5,
    long_beacon_flows=8,
    beacon_sources=2,
    burst_hours=24,
)
WITHOUT_PAST = Limits(
    scan_hour=100,
    scan_day=100,
    logins=100,
    strangers=50,
    flood=3_000,
    leak_bytes=300e6,
    beacon_flows=12,
    long_beacon_flows=12,
    beacon_sources=1,
    burst_hours=3,
)
LATE_START_HOURS = 6  # without a past, the day's first hours stand for it
