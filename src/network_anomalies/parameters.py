"""Types of the project's parameters. Their values are in ``conf/base/parameters_<stage>.yml`` only."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from network_anomalies.detection.limits import DetectorLimits
from network_anomalies.errors import ProjectError

Share = Annotated[float, Field(ge=0, le=1)]
Hour = Annotated[float, Field(ge=0, lt=24)]
PartEvents = Annotated[int, Field(ge=1, le=10_000_000)]
RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
NAME_IN_WORDS = "a name has 1 to 63 small letters, digits, _ and -, no path, and begins with a letter or digit"
Name = Annotated[str, StringConstraints(pattern=NAME)]
MINUTES_A_DAY = 1440
SHARE_TOLERANCE = 1e-3
SCENARIO_GROUPS = (("generator", "lookalikes"), ("generator", "attacks"))


def _require_moment(value: object) -> str:
    """Return a day or a minute of a day as text in ISO form."""
    text = value.isoformat() if isinstance(value, date) else str(value)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:00)?)?", text) or not _is_time(text):
        raise ValueError("not a day as YYYY-MM-DD or a minute as YYYY-MM-DDTHH:MM (UTC)")
    return text


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


Moment = Annotated[str, BeforeValidator(_require_moment)]


class Strict(BaseModel):
    """Parameters that refuse unknown keys and have no defaults: all values come from the YAML files."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceParameters(Strict):
    """A service of a network: its share of the flows, its number of servers, and how many of them a client uses."""

    protocol: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9-]+$")]
    share: Annotated[float, Field(gt=0, le=1)]
    servers: Annotated[int, Field(ge=1, le=10_000)]
    per_client: Annotated[int, Field(ge=1, le=20)]
    outside: bool
    size: tuple[Share, Share]


class AllowedParameters(Strict):
    """An exception: until a day, alerts of a kind about an address or network are suppressed; its owner is named."""

    entity: str
    kind: Literal[
        "*",
        "anomaly",
        "beaconing",
        "brute_force",
        "ddos",
        "exfiltration",
        "horizontal_scan",
        "lateral_movement",
        "new_service",
        "vertical_scan",
    ]
    owner: Annotated[str, StringConstraints(min_length=1)]
    expires: date
    reason: Annotated[str, StringConstraints(min_length=1)]

    @field_validator("entity")
    @classmethod
    def _check_entity(cls, entity: str) -> str:
        ip_network(entity)
        return entity


class ProfileParameters(Strict):
    """A network's normal traffic, and the exceptions for its alerts."""

    clients: Annotated[int, Field(ge=100, le=60_000)]
    client_shift: Annotated[float, Field(ge=0, le=100)]
    night: Annotated[float, Field(gt=0, le=1)]
    weekend: Share
    one_offs: Annotated[float, Field(ge=0, lt=1)]
    zero_duration: Annotated[float, Field(ge=0, lt=0.5)]
    allowed: list[AllowedParameters]
    services: Annotated[dict[Name, ServiceParameters], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        total = sum(service.share for service in self.services.values())
        if abs(total - 1) > SHARE_TOLERANCE:
            raise ValueError(f"the shares of its services add up to {total:.3f}: make it 1")
        return self


class ScenarioParameters(Strict):
    """A scenario in a day's traffic: number of hosts, share of the day's events, time, and how well it hides."""

    hosts: Annotated[int, Field(ge=1, le=10_000)]
    share: Annotated[float, Field(gt=0, le=1)]
    start_hour: tuple[Hour, Hour]
    minutes: Annotated[float, Field(gt=0)]
    stealth: Share

    @model_validator(mode="after")
    def _check_hours(self) -> Self:
        earliest, latest = self.start_hour
        if earliest > latest:
            raise ValueError(f"start_hour is from {earliest} to {latest}: give the earlier hour first")
        if latest * 60 + self.minutes > MINUTES_A_DAY:
            raise ValueError(f"starts by {latest} h and lasts {self.minutes} minutes: it must end within the day")
        return self


class BurstParameters(ScenarioParameters):
    """A scenario of many flows in a short time."""

    kind: Literal[
        "horizontal_scan",
        "brute_force",
        "ddos",
        "lateral_movement",
        "new_service",
        "allowed_scanner",
        "morning_crowd",
        "visitors",
    ]


class PeriodicParameters(ScenarioParameters):
    """A scenario of flows at regular times.

    A gap is the period plus or minus up to half of ``jitter`` times the period. With ``shortening`` it is the period
    minus up to ``jitter`` times the period.
    """

    kind: Literal["beaconing", "time_sync", "update_check", "telemetry"]
    period_seconds: Annotated[float, Field(ge=1, le=86_400)]
    jitter: Annotated[float, Field(ge=0, le=0.5)]
    shortening: bool


class TransferParameters(ScenarioParameters):
    """A scenario that transfers much data: megabytes per host and day, to a known peer or to a new one."""

    kind: Literal["exfiltration", "nightly_backup"]
    megabytes: Annotated[float, Field(gt=0, le=1_000_000)]
    known_peer: bool


Scenario = BurstParameters | PeriodicParameters | TransferParameters
Scenarios = dict[Name, Annotated[Scenario, Field(discriminator="kind")]]


class GeneratorParameters(Strict):
    """Synthetic events of a day."""

    n_events: Annotated[int, Field(ge=10, le=100_000_000)]
    seed: Annotated[int, Field(ge=0)]
    part_events: PartEvents
    profile: Name
    profiles: dict[Name, ProfileParameters]
    lookalikes: Scenarios
    attack_spread: Annotated[float, Field(ge=1, le=10)]
    attacks: Scenarios

    @model_validator(mode="after")
    def _check_names_and_shares(self) -> Self:
        if self.profile not in self.profiles:
            raise ValueError(f"there is no profile {self.profile}: there are {', '.join(sorted(self.profiles))}")
        if both := sorted(set(self.lookalikes) & set(self.attacks)):
            raise ValueError(f"{', '.join(both)} is the name of a look-alike and of an attack: rename one")
        total = sum(scenario.share for scenario in (*self.lookalikes.values(), *self.attacks.values()))
        if total > 1:
            raise ValueError(f"the shares of lookalikes and attacks add up to {total:.3f}: make it at most 1")
        return self


class MissingParameters(Strict):
    """What the gate does with a flow that lacks a value: set the value to 0, or reject the flow."""

    duration: Literal["zero", "reject"]
    bytes: Literal["zero", "reject"]


class MappingParameters(Strict):
    """Which column of a plain CSV or Parquet file gives which column of an event: see ``formats.mapping``."""

    columns: dict[str, str]
    time: str = "auto"
    duration: str = "s"
    delimiter: str = ","


class LogsParameters(Strict):
    """Where flow logs are and how they are read."""

    path: Annotated[str, StringConstraints(min_length=1)]
    format: Name
    columns: list[Literal["src_port", "dst_port", "packets", "src_bytes", "dst_bytes", "flow_id"]]
    missing: MissingParameters
    timezone: Annotated[str, StringConstraints(min_length=1)]
    mapping: MappingParameters | None
    skip_foreign: bool
    part_events: PartEvents
    block_bytes: Annotated[int, Field(ge=1_048_576)]


class GateParameters(Strict):
    """Limits and choices of the gate."""

    max_rejected_share: Share
    drop_duplicates: bool
    preview_rows: Annotated[int, Field(ge=0, le=100)]


class ReplayParameters(Strict):
    """Which quarantined rows go through the gate again: those that broke a rule, or all (None)."""

    rule: str | None


class WorkersParameters(Strict):
    """Where files, parts and slices are worked on: in threads of the run, or by Dask workers."""

    dask: bool
    local_processes: Annotated[int, Field(ge=0, le=1024)]


class TransformationParameters(Strict):
    """How a day is split into slices for modelling."""

    slice_hours: Annotated[int, Field(ge=1, le=24)]
    slice_rows: Annotated[int, Field(ge=1)]


class TrainingParameters(Strict):
    """What a model is trained on."""

    window_days: Annotated[int, Field(ge=0, le=366)]
    row_cap: Annotated[int, Field(ge=1)]
    train_share: Annotated[float, Field(gt=0, lt=1)]


class EvaluationParameters(Strict):
    """From which size on a drift of the scores counts."""

    drift_psi: Annotated[float, Field(ge=0)]
    drift_rows: Annotated[int, Field(ge=1)]


class RegistrationParameters(Strict):
    """When a challenger becomes champion."""

    min_gain: Annotated[float, Field(ge=0, le=1)]
    max_age_days: Annotated[int, Field(ge=0)]
    max_alert_ratio: Annotated[float, Field(ge=0)]
    verdict_days: Annotated[int, Field(ge=0, le=3650)]


class AlertsParameters(Strict):
    """How many alerts a day may have, which are let pass, and how they are grouped into incidents.

    ``incident_days`` lie between two alerts of an incident, at most. A dismissed habit is suppressed for
    ``dismissed_days`` from the day of the decision on, unless the person gives another date.
    """

    budget: Annotated[int, Field(ge=1, le=10_000)]
    incident_days: Annotated[int, Field(ge=0, le=365)]
    dismissed_days: Annotated[int, Field(ge=0, le=3650)]
    allowlist: list[AllowedParameters]


class DeliveryParameters(Strict):
    """How ``kedro alerts send`` posts alerts."""

    format: Literal["ocsf", "ecs"]
    attempts: Annotated[int, Field(ge=1, le=10)]
    timeout_seconds: Annotated[float, Field(gt=0, le=60)]


class HuntingParameters(Strict):
    """Which flows ``flows`` and ``kedro query`` see, what a query may use, and how much of its result is shown."""

    layer: Literal["raw", "silver", "scores"]
    start: Moment | None
    end: Moment | None
    memory_mb: Annotated[int, Field(ge=64)]
    temp_mb: Annotated[int, Field(ge=0)]
    shown_rows: Annotated[int, Field(ge=1)]


class RetentionParameters(Strict):
    """What ``kedro verify --prune`` may delete: files from an age in days on, and a share of a bucket at once."""

    local_days: Annotated[int, Field(ge=0)]
    quarantine_days: Annotated[int, Field(ge=0)]
    orphan_days: Annotated[int, Field(ge=0)]
    max_share: Share
    always_files: Annotated[int, Field(ge=0)]


def _require_iso_date(value: object) -> object:
    if not isinstance(value, date) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):
        raise ValueError("not a date as YYYY-MM-DD")
    return value


class Parameters(Strict):
    """Every parameter of the project.

    ``extra`` is for your own parameters with any names; nodes read them as ``params:extra.<name>``.
    """

    logical_date: Annotated[date, BeforeValidator(_require_iso_date)]
    source: Name
    run_id: RunId
    parent_run_id: RunId | None
    workers: WorkersParameters
    generator: GeneratorParameters
    logs: LogsParameters
    gate: GateParameters
    replay: ReplayParameters
    transformation: TransformationParameters
    training: TrainingParameters
    evaluation: EvaluationParameters
    registration: RegistrationParameters
    alerts: AlertsParameters
    detectors: DetectorLimits
    retention: RetentionParameters
    delivery: DeliveryParameters
    hunting: HuntingParameters
    extra: dict[str, Any]

    @field_validator("detectors")
    @classmethod
    def _check_complete(cls, limits: DetectorLimits) -> DetectorLimits:
        """Refuse missing limits: ``DetectorLimits`` has defaults, but only for use without a configuration."""
        if missing := list(_list_missing(limits)):
            raise ValueError(f"{', '.join(missing)} is missing: give it a value in conf/base/parameters_*.yml")
        return limits


def check_parameters(raw: dict[str, Any]) -> dict[str, Any]:
    """Check the names and values of all parameters.

    This is the only check: Kedro passes the models to nodes without another one.

    Returns:
        The parameters by name: ``logical_date`` as a date, each group as its model, ``extra`` unchanged.

    Raises:
        ProjectError: a name or value is wrong; the error names the parameter, and the nearest known name.
    """
    try:
        checked = Parameters.model_validate(raw)
    except ValidationError as error:
        raise ProjectError("; ".join(_describe(fault) for fault in error.errors())) from None
    if checked.logical_date > datetime.now(UTC).date():
        raise ProjectError(f"logical_date {checked.logical_date} is in the future (UTC): give a day that has begun")
    return dict(checked)


def digest_parameters(parameters: dict[str, Any]) -> str:
    """Return the sha256 of parameters as canonical JSON."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()


def _describe(fault: Any) -> str:
    path = [str(part) for part in fault["loc"]]
    if tuple(path[:2]) in SCENARIO_GROUPS:
        del path[3:4]  # here pydantic adds the scenario's kind, which is not a key
    name = ".".join(path)
    if fault["type"] == "value_error" and isinstance(fault["input"], dict):
        return f"parameter {name}: {fault['ctx']['error']}"
    if fault["type"] == "extra_forbidden":
        similar = difflib.get_close_matches(path[-1], _known_names(path[:-1]), n=1)
        hint = f"did you mean {'.'.join([*path[:-1], similar[0]])}?" if similar else "see conf/base/parameters_*.yml"
        extra = "" if path[:-1] else f" (a parameter of your own is extra.{name})"
        return f"unknown parameter {name}: {hint}{extra}"
    if fault["type"] == "missing":
        return f"parameter {name} is missing: give it a value in conf/base/parameters_*.yml"
    if name == "logical_date":
        return f"parameter {name} is {fault['input']!r}: write a date as YYYY-MM-DD"
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] == NAME:
        return f"parameter {name} is {fault['input']!r}: {NAME_IN_WORDS}"
    return f"parameter {name} is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _list_missing(model: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of values that were not given."""
    for name, value in model:
        if name not in model.model_fields_set:
            yield f"{prefix}{name}"
        elif isinstance(value, BaseModel):
            yield from _list_missing(value, f"{prefix}{name}.")


def _known_names(path: list[str]) -> list[str]:
    model: Any = Parameters
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))
