"""The project's parameters, typed. Values stand in ``conf/base/parameters_<stage>.yml`` and nowhere else."""

import difflib
import hashlib
import json
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from network_anomalies.errors import ProjectError

Share = Annotated[float, Field(ge=0, le=1)]
PartEvents = Annotated[int, Field(ge=1, le=10_000_000)]
RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class Strict(BaseModel):
    """Refuses unknown keys, has no defaults: the YAML files are the only source of values."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GeneratorParameters(Strict):
    """Synthetic events of a day."""

    n_events: Annotated[int, Field(ge=10, le=100_000_000)]
    seed: Annotated[int, Field(ge=0)]
    part_events: PartEvents


class LogsParameters(Strict):
    """Where flow logs lie and how they are read."""

    path: Annotated[str, StringConstraints(min_length=1)]
    format: Name
    missing_duration: Literal["zero", "reject"]
    part_events: PartEvents
    block_bytes: Annotated[int, Field(ge=1_048_576)]


class GateParameters(Strict):
    """How strict the gate is."""

    max_rejected_share: Share
    drop_duplicates: bool
    preview_rows: Annotated[int, Field(ge=0, le=100)]


class RetentionParameters(Strict):
    """Age in days at which ``kedro verify --prune`` deletes."""

    local_days: Annotated[int, Field(ge=0)]
    quarantine_days: Annotated[int, Field(ge=0)]
    orphan_days: Annotated[int, Field(ge=0)]


def _check_date(text: str) -> str:
    date.fromisoformat(text)
    return text


class Parameters(Strict):
    """Every parameter of the project."""

    logical_date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_check_date)]
    source: Name
    run_id: RunId
    parent_run_id: RunId | None
    generator: GeneratorParameters
    logs: LogsParameters
    gate: GateParameters
    retention: RetentionParameters


def check_parameters(raw: dict[str, Any]) -> dict[str, Any]:
    """Refuse unknown names and unusable values, by name; return ``raw`` as it came.

    Raises:
        ProjectError: names the parameter, what is wrong, and the nearest known name.
    """
    try:
        Parameters.model_validate(raw)
    except ValidationError as error:
        raise ProjectError("; ".join(_describe(fault) for fault in error.errors())) from None
    if date.fromisoformat(raw["logical_date"]) > datetime.now(UTC).date():
        raise ProjectError(f"logical_date {raw['logical_date']} is in the future (UTC): give a day that has begun")
    return raw


def digest_parameters(parameters: dict[str, Any]) -> str:
    """Return the sha256 of parameters as canonical JSON, for audit rows and Parquet footers."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()


def _describe(fault: Any) -> str:
    path = [str(part) for part in fault["loc"]]
    name = ".".join(path)
    if fault["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path[-1], _known_names(path[:-1]), n=1)
        hint = f"did you mean {'.'.join([*path[:-1], close[0]])}?" if close else "see conf/base/parameters_*.yml"
        return f"unknown parameter {name}: {hint}"
    if fault["type"] == "missing":
        return f"parameter {name} is missing: give it a value in conf/base/parameters_*.yml"
    if name == "logical_date":
        return f"parameter {name} is {fault['input']!r}: write a date as YYYY-MM-DD"
    return f"parameter {name} is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _known_names(path: list[str]) -> list[str]:
    model: Any = Parameters
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))
