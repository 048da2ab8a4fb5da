"""Limits of the detectors, and what turns a passed limit into a score.

They are rules of thumb, the same for every network, and higher where there is no past to compare with. The pipelines
take their values from ``detectors`` in ``conf/base/parameters_scoring.yml``, which also gives the reason for each. The
defaults here are the same values, for use without a configuration.

A group is named like the kind of its findings, so that the kind of an alert names the limits that it was raised by.
"""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Count = Annotated[int, Field(ge=1)]
HoursOfDay = Annotated[int, Field(ge=0, le=24)]
Positive = Annotated[float, Field(gt=0)]
Part = Annotated[float, Field(ge=0, le=1)]
Ports = tuple[Annotated[int, Field(ge=0, le=65_535)], ...]
Points = Annotated[float, Field(ge=0, le=100)]


def _check_range(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("its first number is the larger one: swap them")
    return ends


AppliedLimits = dict[str, dict[str, Any]]
"""Limits that held for some findings: kind to name to plain value."""
Range = Annotated[tuple[Positive, Positive], AfterValidator(_check_range)]


class LimitGroup(BaseModel):
    """Limits that belong together. Unknown names and values that are no finite number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class LimitByPast(LimitGroup):
    """A limit that depends on whether there is a past to compare with."""

    with_past: Count
    without_past: Count

    def choose(self, has_past: bool) -> int:
        """Return the limit that holds."""
        return self.with_past if has_past else self.without_past


def _by_past(with_past: int, without_past: int) -> LimitByPast:
    return LimitByPast(with_past=with_past, without_past=without_past)


class ScanLimits(LimitGroup):
    """A source that probes many destinations.

    Attributes:
        hour_destinations: destinations that a source probes in an hour.
        day_destinations: destinations that a source probes in the day.
        hour_factor: times the most destinations that the source probed in an hour of the past.
        day_factor: times the most destinations that the source probed in a day of the past.
        lone_destinations: without a past, probed private hosts that nobody else talks to.
        size_spread: standard deviation of ln(bytes) between the pairs of one scan, at most.
    """

    hour_destinations: LimitByPast = _by_past(20, 100)
    day_destinations: LimitByPast = _by_past(30, 100)
    hour_factor: Positive = 3
    day_factor: Positive = 2
    lone_destinations: Count = 20
    size_spread: Positive = 0.5


class VerticalScanLimits(LimitGroup):
    """A source that probes many ports of one destination.

    Attributes:
        hour_ports: ports in an hour.
        day_ports: ports in the day, those of each hour added up.
        least_ports: ports of an hour that count for the day, at least.
        ports_factor: times the most ports of one destination that the source probed in an hour of the past.
    """

    hour_ports: Count = 50
    day_ports: Count = 100
    least_ports: Count = 15
    ports_factor: Positive = 3


class BruteForceLimits(LimitGroup):
    """A source that guesses passwords at a destination.

    Attributes:
        sessions: of a pair in an hour; without a past, in the day.
        sessions_factor: times the sessions of the pair's busiest hour of the past.
        hours: hours of the day in which the pair talks, at most.
        sessions_per_minute: sessions per minute in which there are any, at least.
        session_bytes: bytes of a session, from and to.
        size_spread: standard deviation of ln(bytes) between the sessions, at most.
        sources: sources that do so to one destination in an hour; if there are more, known ones are a crowd.
        login_sessions: of a pair in an hour, if the port is one for logins.
        login_ports: ports where hosts log in.
    """

    sessions: LimitByPast = _by_past(60, 100)
    sessions_factor: Positive = 4
    hours: LimitByPast = _by_past(24, 3)
    sessions_per_minute: Positive = 5
    session_bytes: Range = (300, 20_000)
    size_spread: Positive = 0.6
    sources: Count = 3
    login_sessions: Count = 60
    login_ports: Ports = (21, 22, 23, 110, 143, 389, 445, 993, 995, 1433, 3306, 3389, 5432, 5900, 5985, 5986)


class FloodLimits(LimitGroup):
    """A destination that one source, or many, flood with flows that are almost empty.

    Attributes:
        empty_bytes: bytes of a flow that is almost empty, at most.
        empty_seconds: seconds of such a flow, at most.
        pair_flows: such flows of a pair in an hour.
        pair_flows_factor: times the flows of the pair's busiest hour of the past.
        pair_flows_per_minute: flows per minute in which there are any, at least.
        pair_hours: hours of the day in which the pair talks, at most.
        strangers: sources of a destination in an hour that nobody knew and that talk to nobody else.
        strangers_factor: times such sources in the destination's median hour of the day.
        stranger_hours: hours of the day in which such a source talks, at most.
        crowd_flows: such flows to a destination in an hour, from a crowd that is larger than ever.
        crowd_sources: sources of that crowd.
        crowd_flows_factor: times the flows of the destination's busiest hour of the past.
        crowd_sources_factor: times the sources of the destination's busiest hour of the past.
        crowd_strangers_share: share of the crowd that nobody knew, at least.
    """

    empty_bytes: Positive = 2_000
    empty_seconds: Positive = 0.1
    pair_flows: LimitByPast = _by_past(1_000, 3_000)
    pair_flows_factor: Positive = 10
    pair_flows_per_minute: Positive = 100
    pair_hours: LimitByPast = _by_past(24, 3)
    strangers: LimitByPast = _by_past(30, 50)
    strangers_factor: Positive = 10
    stranger_hours: Count = 2
    crowd_flows: Count = 500
    crowd_sources: Count = 30
    crowd_flows_factor: Positive = 5
    crowd_sources_factor: Positive = 3
    crowd_strangers_share: Part = 0.5


class ExfiltrationLimits(LimitGroup):
    """A source that moves far more bytes than before.

    Attributes:
        pair_bytes: bytes of a pair in the day.
        source_factor: to a new destination, times the most bytes that the source moved with any one in a day.
        pair_factor: to a known destination, times the most bytes that the pair moved in a day.
        drip_flows: flows with a known destination, at least.
        drip_hours: hours with such flows, at least.
        drip_largest_share: share of the largest of these flows in their bytes, at most.
        lone_factor: without a past, times all other bytes that the source moved in the day.
    """

    pair_bytes: LimitByPast = _by_past(50_000_000, 300_000_000)
    source_factor: Positive = 3
    pair_factor: Positive = 5
    drip_flows: Count = 20
    drip_hours: HoursOfDay = 3
    drip_largest_share: Part = 0.2
    lone_factor: Positive = 3


class BeaconLimits(LimitGroup):
    """A source that calls a destination at even intervals.

    Attributes:
        calls: of a pair in the day.
        many_calls: calls from which on ``gap_spread`` is allowed.
        sources: sources of the destination in the day, at most.
        period_seconds: mean seconds between calls, from and to.
        rapid_seconds: mean seconds between calls, at least, if there are ``rapid_calls``.
        rapid_calls: calls from which on they may follow each other so fast.
        gap_spread: standard deviation of ln(gap) between many calls, at most: over the day, or within its hours.
        hourly_share: gaps within hours for each call, at least, to judge the hours by themselves.
        few_gap_spread: the same between few calls, which also have to be ``few_period_seconds`` apart.
        few_period_seconds: mean seconds between few calls, at least.
        size_spread: standard deviation of ln(bytes) between the calls, at most.
        call_bytes: bytes of a call, at most.
        hours: without a past, hours of the day with calls, at least.
        slow_days: days on which a pair has calls, at least, to count those of all days since it began to talk.
        slow_calls: of these, at least.
        alone_share: hours with calls for each of them, at least: they come one by one.
        late_start_hours: without a past, hours of the day after which a first call counts as new.
        clock_bytes: bytes of a UDP call that may ask for the time, at most.
        clock_hours: hours of the past in which the source sent such calls, at least.
        clock_ports: ports of time servers.
    """

    calls: LimitByPast = _by_past(5, 12)
    many_calls: LimitByPast = _by_past(8, 12)
    sources: LimitByPast = _by_past(2, 1)
    period_seconds: Range = (20, 18_000)
    rapid_seconds: Positive = 2
    rapid_calls: Count = 100
    gap_spread: Positive = 0.45
    hourly_share: Part = 0.75
    few_gap_spread: Positive = 0.35
    few_period_seconds: Positive = 3_000
    size_spread: Positive = 0.5
    call_bytes: Positive = 1_000_000
    hours: HoursOfDay = 3
    slow_days: Count = 3
    slow_calls: Count = 10
    alone_share: Part = 0.9
    late_start_hours: HoursOfDay = 6
    clock_bytes: Positive = 400
    clock_hours: Count = 6
    clock_ports: Ports = (123,)


class LateralMovementLimits(LimitGroup):
    """A private host that opens sessions to private hosts that it never met.

    Attributes:
        session_bytes: mean bytes of a session, at least.
        peers: clients that a known source opens sessions to.
        unknown_source_peers: clients that a source opens sessions to that the past does not know; of a known source,
            those that it began to talk to on all days since the first hours of the past.
        remote_ports: ports by which hosts are worked on from afar.
    """

    session_bytes: Positive = 500
    peers: Count = 5
    unknown_source_peers: Count = 8
    remote_ports: Ports = (22, 23, 135, 139, 445, 3389, 5900, 5985, 5986)


class NewServiceLimits(LimitGroup):
    """A destination that is talked to over a protocol that is new to the network.

    Attributes:
        flows: to the destination over that protocol in the day.
        sources: of these flows.
        speakers_share: share of the day's sources that speak a rare protocol, at most.
        control_protocols: protocols that are no service.
    """

    flows: Count = 20
    sources: Count = 2
    speakers_share: Part = 0.1
    control_protocols: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z0-9-]+$")], ...] = (
        *("ICMP", "IPV6-ICMP", "IGMP", "ARP", "LLDP"),
    )


class AnomalyLimits(LimitGroup):
    """A host with conversations whose score reaches the model's alert score.

    Attributes:
        nats_per_doubling: nats above the alert score that count like twice a detector's limit.
        flows: of the host in such conversations, at least.
    """

    nats_per_doubling: Positive = 4
    flows: Count = 2


class PastLimits(LimitGroup):
    """What counts as a past, and what stands for it on a day without one.

    Attributes:
        least_hours: hours that a past has, at least.
        day_weight: destinations by which the whole day counts beside the other destinations of a source.
        settling_hours: first hours of the past; what begins later is not normal yet.
        shared_share: share of a source's other destinations that others talk to as well, at least; then one that
            nobody else talks to is an exception.
    """

    least_hours: Count = 6
    day_weight: Positive = 2
    settling_hours: Count = 24
    shared_share: Part = 0.5

    def is_enough(self, hours: int) -> bool:
        """Return whether a past of some hours is long enough to call something new."""
        return hours >= self.least_hours


class ScoreLimits(LimitGroup):
    """The score of a finding, from 0 to 100.

    Attributes:
        at_limit: points of a finding that just reaches its limit.
        per_doubling: points for each doubling above it.
    """

    at_limit: Points = 50
    per_doubling: Positive = 12.5


class SeverityLimits(LimitGroup):
    """The lowest score of each severity; below ``medium`` it is low."""

    medium: Points = 60
    high: Points = 75
    critical: Points = 90

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.medium <= self.high <= self.critical:
            raise ValueError("medium, high and critical are not in order: give rising scores")
        return self


class DetectorLimits(LimitGroup):
    """All limits: a group per kind of finding, and what they share."""

    horizontal_scan: ScanLimits = ScanLimits()
    vertical_scan: VerticalScanLimits = VerticalScanLimits()
    brute_force: BruteForceLimits = BruteForceLimits()
    ddos: FloodLimits = FloodLimits()
    exfiltration: ExfiltrationLimits = ExfiltrationLimits()
    beaconing: BeaconLimits = BeaconLimits()
    lateral_movement: LateralMovementLimits = LateralMovementLimits()
    new_service: NewServiceLimits = NewServiceLimits()
    anomaly: AnomalyLimits = AnomalyLimits()
    past: PastLimits = PastLimits()
    score: ScoreLimits = ScoreLimits()
    severity: SeverityLimits = SeverityLimits()

    def list_applied(self, has_past: bool) -> AppliedLimits:
        """Return plain values by group and name; of a limit that depends on the past, the one that holds."""
        side = "with_past" if has_past else "without_past"
        return {
            group: {name: value[side] if isinstance(value, dict) else value for name, value in limits.items()}
            for group, limits in self.model_dump(mode="json").items()
        }


DEFAULT_LIMITS = DetectorLimits()
