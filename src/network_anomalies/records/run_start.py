"""What is known of a run when it starts."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """The columns of ``pipeline_runs`` that are known at the start and that the registry does not set.

    ``pipeline`` has the names of the run's pipelines, separated by commas. ``selection`` has the options that select a
    part of them, None if they run whole.
    """

    run_id: str
    parent_run_id: str | None
    pipeline: str
    source: str
    logical_date: date
    env: str
    code_version: str
    params_sha256: str
    selection: str | None = None
