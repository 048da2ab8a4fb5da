"""What is known of a run when it starts."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """The columns of ``pipeline_runs`` that are known at the start and that the registry does not set.

    Attributes:
        run_id: id of the run.
        parent_run_id: id of the run that started it, or None.
        pipeline: names of its pipelines, separated by commas.
        source: name of the source.
        logical_date: the UTC day.
        env: Kedro's environment.
        code_version: version of this package.
        params_sha256: digest of its parameters.
        selection: options that select a part of the pipelines, None if they run whole.
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
