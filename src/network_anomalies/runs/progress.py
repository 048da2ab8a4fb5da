"""The state of each stage of a source's days: the registry's records compared with the present facts.

This module runs and reads nothing: the records and the parameters are arguments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

from network_anomalies.events.contract import CONTRACT_VERSION
from network_anomalies.parameters import Parameters
from network_anomalies.records.source_history import INGESTION_OF, Kind, RunRecord, SourceRecords, StageRecord
from network_anomalies.runs.inputs import (
    Facts,
    digest_log_choices,
    digest_synthetic_choices,
    explain_change,
    extend_allowlist,
    list_evaluation_facts,
    list_ingestion_facts,
    list_registration_facts,
    list_scoring_facts,
    list_training_facts,
    list_transformation_facts,
    list_truth_facts,
)
from network_anomalies.runs.stages import INGESTION, MODELLING

State = Literal["done", "stale", "missing", "failed"]
READS = {
    "transformation": INGESTION,
    "evaluation": ("transformation", "training"),
    "registration": ("evaluation",),
    "scoring": ("transformation", "registration"),
}
"""The stages of the same day that a stage reads. Training reads the silver of the days before."""
UNFINISHED = ("FAILED", "ABANDONED", "RUNNING")
NOT_RECORDED: Facts = {"recorded": "nothing"}
"""The inputs of a batch without a record of its inputs."""


@dataclass(frozen=True)
class Choices:
    """What a run would use now.

    Attributes:
        parameters: the parameters.
        features: the sha256 of the feature specification.
        logged: number of flows of each day in the log files; empty if they were not counted.
    """

    parameters: Parameters
    features: str
    logged: Mapping[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StageState:
    """The state of a stage of a day.

    Attributes:
        source: name of the source.
        day: the day.
        stage: the pipeline's name.
        state: ``done``; ``stale``: its recorded inputs differ from the present ones, or it waits for another stage;
            ``missing``: it has no record; ``failed``: it is not done, and its last run failed.
        why: the reason, "" if it is done or has no record.
        waits_for: stages and days before it that are not done, so its inputs will change.
    """

    source: str
    day: date
    stage: str
    state: State
    why: str = ""
    waits_for: tuple[tuple[str, date], ...] = ()


def judge_days(records: SourceRecords, choices: Choices, days: Iterable[date]) -> dict[date, list[StageState]]:
    """Compare the records of some days with the present facts.

    A stage is compared with the records of the stages before it. So a stage after a stale one has no difference of its
    own; it is ``stale`` because it waits for that stage.

    Returns:
        The states of each day's stages, in the order in which they run.
    """
    changing = {day for day in records.list_silver() if _will_silver_change(records, choices, day)}
    return {day: _judge_day(records, choices, day, changing) for day in sorted(days)}


def list_present_facts(records: SourceRecords, choices: Choices, day: date) -> dict[str, Facts | None]:
    """Return the facts that would decide each stage of a day now; None if something that the stage reads is missing.

    The facts of ``log_ingestion`` are under ``ingestion`` too. ``truth`` is the ground truth of synthetic events.
    """
    parameters, features = choices.parameters, choices.features
    batch, champion = records.batches.get(day), records.find_champion(day)
    silver = records.find_digest("transformation", day)
    training, evaluation = records.find_digest("training", day), records.find_digest("evaluation", day)
    policy = extend_allowlist(parameters.alerts, parameters.generator, records.kind)
    facts: dict[str, Facts | None] = dict.fromkeys(("truth", *MODELLING))
    facts["ingestion"] = list_ingestion_facts(_digest_choices(records.kind, parameters), CONTRACT_VERSION)
    if batch:
        facts["truth"] = list_truth_facts(batch.content_sha256)
        facts["transformation"] = list_transformation_facts(batch.content_sha256, parameters.transformation, features)
    if silver is not None:
        facts["training"] = list_training_facts(records.list_silver(), day, parameters.training, features)
    if silver is not None and training is not None:
        before, truth = records.find_champion(day - timedelta(days=1)), records.find_digest("truth", day)
        rules = (parameters.evaluation, policy, parameters.detectors)
        facts["evaluation"] = list_evaluation_facts(training, silver, before, truth, rules, features)
    if evaluation is not None:
        facts["registration"] = list_registration_facts(evaluation, parameters.registration)
    if silver is not None and champion:
        facts["scoring"] = list_scoring_facts(silver, champion, (policy, parameters.detectors), features)
    return facts


def _digest_choices(kind: Kind, parameters: Parameters) -> str:
    if kind == "synthetic":
        return digest_synthetic_choices(parameters.generator, parameters.gate)
    return digest_log_choices(parameters.logs, parameters.gate)


def _will_silver_change(records: SourceRecords, choices: Choices, day: date) -> bool:
    """Tell whether the ingestion or the transformation of a day is not done."""
    facts = list_present_facts(records, choices, day)
    states = [_judge_ingestion(records, choices, facts, day), _judge_stage(records, facts, "transformation", day)]
    return any(state.state != "done" for state in states)


def _judge_day(records: SourceRecords, choices: Choices, day: date, changing: set[date]) -> list[StageState]:
    """Judge each stage by its own record, then find what it waits for, and the run that failed to make it.

    ``changing`` are the days whose silver will change.
    """
    facts = list_present_facts(records, choices, day)
    states = [_judge_ingestion(records, choices, facts, day)]
    states += [_judge_stage(records, facts, stage, day) for stage in MODELLING]
    window = choices.parameters.training.window_days
    past = [silver_day for silver_day in records.list_silver() if 0 < (day - silver_day).days <= window]
    awaited = tuple(("transformation", read_day) for read_day in sorted(past) or [day] if read_day in changing)
    return _name_failed(records, _let_wait(states, awaited))


def _judge_ingestion(
    records: SourceRecords, choices: Choices, facts: Mapping[str, Facts | None], day: date
) -> StageState:
    """Judge the batch and its ground truth: one pipeline makes both."""
    state: tuple[State, str] = ("done", "")
    if day not in records.batches:
        state = ("missing", "")
    elif why := _explain(records.stages.get(("ingestion", day)), facts["ingestion"]):
        state = ("stale", why)
    elif (more := choices.logged.get(day, 0) - records.batches[day].flows) > 0:
        state = ("missing", f"the log files hold {more} more flows of the day")
    elif records.kind == "synthetic" and _explain(records.stages.get(("truth", day)), facts["truth"]):
        state = ("missing", "the ground truth of this revision is missing")
    return StageState(records.source, day, INGESTION_OF[records.kind], *state)


def _judge_stage(records: SourceRecords, facts: Mapping[str, Facts | None], stage: str, day: date) -> StageState:
    record = records.stages.get((stage, day))
    if record is None:
        return StageState(records.source, day, stage, "missing")
    why = _explain(record, facts[stage])
    return StageState(records.source, day, stage, "stale" if why else "done", why)


def _explain(record: StageRecord | None, facts: Facts | None) -> str:
    """Say how a record differs from the present facts, "" if it does not."""
    if facts is None:
        return "what it was made of is gone"
    return explain_change(record.inputs if record else NOT_RECORDED, facts)


def _let_wait(states: list[StageState], awaited: tuple[tuple[str, date], ...]) -> list[StageState]:
    """Make a ``done`` stage ``stale`` if a stage that it reads is not done; training waits for ``awaited`` silver."""
    not_done: set[str] = set()
    results: list[StageState] = []
    for state in states:
        before = [(name, state.day) for name in READS.get(state.stage, ()) if name in not_done]
        waits_for = (*before, *(awaited if state.stage == "training" else ()))
        if state.state == "done" and waits_for:
            stage, day = waits_for[0]
            why = f"waits for {stage}" + (f" of {day}" if day != state.day else "")
            results.append(replace(state, state="stale", why=why, waits_for=waits_for))
        else:
            results.append(state)
        if results[-1].state != "done":
            not_done.add(state.stage)
    return results


def _name_failed(records: SourceRecords, states: list[StageState]) -> list[StageState]:
    """Give the error of an unfinished run to the stage at which it ended: the first one that it did not make."""
    results: list[StageState] = []
    named_runs: set[str] = set()
    for state in states:
        run = _find_last_run(records, state) if state.state != "done" and not state.waits_for else None
        if run is None or run.run_id in named_runs or run.status not in UNFINISHED:
            results.append(state)
            continue
        named_runs.add(run.run_id)
        if run.status == "RUNNING":
            results.append(replace(state, why=f"run {run.run_id} is running, or was killed"))
        else:
            results.append(replace(state, state="failed", why=run.error or run.status.lower()))
    return results


def _find_last_run(records: SourceRecords, state: StageState) -> RunRecord | None:
    """Return the last run of a stage, None if there is none, or if it recorded the stage."""
    runs = [run for run in records.runs.get(state.day, ()) if state.stage in run.stages]
    record = records.stages.get(("ingestion" if state.stage in INGESTION else state.stage, state.day))
    return runs[-1] if runs and not (record and record.run_id == runs[-1].run_id) else None
