"""What is known of a run before it works."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """What a run's row says from the start: the columns of ``pipeline_runs`` that the registry does not set.

    Attributes:
        run_id: its id.
        parent_run_id: the run that started it, None without one.
        pipeline: its pipelines, with commas between them.
        source: whose events.
        logical_date: the UTC day.
        env: Kedro's environment.
        code_version: of this package.
        params_sha256: digest of its parameters.
        selection: which part of its pipelines it was asked for, None for the whole.
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
