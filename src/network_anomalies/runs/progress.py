"""How far the days of a source are: what the registry recorded of each stage, compared with what is there now.

Nothing is run and nothing is read here: the records and the parameters come in as values.
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
"""The stages of its own day that a stage reads. Training reads the silver of the days before."""
UNFINISHED = ("FAILED", "ABANDONED", "RUNNING")
NOT_RECORDED: Facts = {"recorded": "nothing"}
"""Stands for the inputs of a batch that the registry has without a record of how it was made."""


@dataclass(frozen=True)
class Choices:
    """What a run of now would use.

    Attributes:
        parameters: its parameters.
        features: the sha256 of the feature specification.
        logged: how many flows of each day the log files hold, where they were counted.
    """

    parameters: Parameters
    features: str
    logged: Mapping[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StageState:
    """How far a stage of a day is.

    Attributes:
        source: whose day.
        day: the day.
        stage: the pipeline's name.
        state: ``done``; ``stale``: its record is about other inputs than those of now, or it waits; ``missing``: it has
            no record; ``failed``: it is not done, and the last run that should have made it failed.
        why: the reason, "" if it is done or simply missing.
        waits_for: stages and days before it that are not done. Its own inputs are still those of now, but will change.
    """

    source: str
    day: date
    stage: str
    state: State
    why: str = ""
    waits_for: tuple[tuple[str, date], ...] = ()


def judge_days(records: SourceRecords, choices: Choices, days: Iterable[date]) -> dict[date, list[StageState]]:
    """Compare what was recorded of some days with what is there now.

    A stage is judged on what is recorded of the stages before it. So a stage after a stale one is not stale by itself;
    it is shown as stale since it waits for that one.

    Returns:
        Each day's stages, in the order in which a day goes through them.
    """
    changing = {day for day in records.list_silver() if _will_silver_change(records, choices, day)}
    return {day: _judge_day(records, choices, day, changing) for day in sorted(days)}


def list_present_facts(records: SourceRecords, choices: Choices, day: date) -> dict[str, Facts | None]:
    """Return the facts that would decide each stage of a day now; None where a thing that the stage reads is not there.

    ``ingestion`` stands for the ingestion of logs too, and ``truth`` is the ground truth of synthetic events.
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
    """Tell whether a day's silver is of other inputs than those of now, or of events that are."""
    facts = list_present_facts(records, choices, day)
    judged = [_judge_ingestion(records, choices, facts, day), _judge_stage(records, facts, "transformation", day)]
    return any(state.state != "done" for state in judged)


def _judge_day(records: SourceRecords, choices: Choices, day: date, changing: set[date]) -> list[StageState]:
    """Judge each stage by its own record, then see what it waits for, and which run failed to make it.

    Args:
        records: of the source.
        choices: what a run of now would use.
        day: the day.
        changing: the days whose silver is going to change.
    """
    facts = list_present_facts(records, choices, day)
    states = [_judge_ingestion(records, choices, facts, day)]
    states += [_judge_stage(records, facts, stage, day) for stage in MODELLING]
    window = choices.parameters.training.window_days
    past = [other for other in records.list_silver() if 0 < (day - other).days <= window]
    awaited = tuple(("transformation", other) for other in sorted(past) or [day] if other in changing)
    return _name_failed(records, _let_wait(states, awaited))


def _judge_ingestion(
    records: SourceRecords, choices: Choices, facts: Mapping[str, Facts | None], day: date
) -> StageState:
    """Judge the batch, and the ground truth that belongs to it: one pipeline makes both."""
    stage = INGESTION_OF[records.kind]
    if day not in records.batches:
        return StageState(records.source, day, stage, "missing")
    why = _explain(records.stages.get(("ingestion", day)), facts["ingestion"])
    if why:
        return StageState(records.source, day, stage, "stale", why)
    if (more := choices.logged.get(day, 0) - records.batches[day].flows) > 0:
        return StageState(records.source, day, stage, "missing", f"the log files hold {more} more flows of the day")
    if records.kind == "synthetic" and _explain(records.stages.get(("truth", day)), facts["truth"]):
        return StageState(records.source, day, stage, "missing", "the ground truth of this revision is missing")
    return StageState(records.source, day, stage, "done")


def _judge_stage(records: SourceRecords, facts: Mapping[str, Facts | None], stage: str, day: date) -> StageState:
    record = records.stages.get((stage, day))
    if record is None:
        return StageState(records.source, day, stage, "missing")
    why = _explain(record, facts[stage])
    return StageState(records.source, day, stage, "stale" if why else "done", why)


def _explain(record: StageRecord | None, facts: Facts | None) -> str:
    """Say how a record differs from the facts of now, "" if it does not."""
    if facts is None:
        return "what it was made of is gone"
    return explain_change(record.inputs if record else NOT_RECORDED, facts)


def _let_wait(states: list[StageState], awaited: tuple[tuple[str, date], ...]) -> list[StageState]:
    """Make done stages wait for those that they read and that are not done.

    Args:
        states: of a day, in the order of the stages.
        awaited: the silver that the training reads and that is not done.
    """
    settled: dict[str, StageState] = {}
    for state in states:
        before = [name for name in READS.get(state.stage, ()) if name in settled and settled[name].state != "done"]
        waits_for = (*((name, state.day) for name in before), *(awaited if state.stage == "training" else ()))
        if state.state == "done" and waits_for:
            stage, day = waits_for[0]
            why = f"waits for {stage}" + (f" of {day}" if day != state.day else "")
            settled[state.stage] = replace(state, state="stale", why=why, waits_for=waits_for)
        else:
            settled[state.stage] = state
    return list(settled.values())


def _name_failed(records: SourceRecords, states: list[StageState]) -> list[StageState]:
    """Give an error to the stage at which the last run of it ended: the first that is not done and not made by it."""
    named: list[StageState] = []
    blamed: set[str] = set()
    for state in states:
        run = _find_last_run(records, state) if state.state != "done" and not state.waits_for else None
        if run is None or run.run_id in blamed or run.status not in UNFINISHED:
            named.append(state)
            continue
        blamed.add(run.run_id)
        if run.status == "RUNNING":
            named.append(replace(state, why=f"run {run.run_id} is at work on it, or was killed"))
        else:
            named.append(replace(state, state="failed", why=run.error or run.status.lower()))
    return named


def _find_last_run(records: SourceRecords, state: StageState) -> RunRecord | None:
    """Return the last run that should have made a stage, None if that run did record it, or there is none."""
    runs = [run for run in records.runs.get(state.day, ()) if state.stage in run.stages]
    record = records.stages.get((_name_record(state.stage), state.day))
    return runs[-1] if runs and not (record and record.run_id == runs[-1].run_id) else None


def _name_record(stage: str) -> str:
    return "ingestion" if stage in INGESTION else stage
