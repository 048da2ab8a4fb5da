"""Nodes that decide whether a model becomes champion, and record the reason."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd

from network_anomalies.detection import Model, to_bytes
from network_anomalies.detection.limits import AppliedLimits
from network_anomalies.errors import ContractError
from network_anomalies.parameters import RegistrationParameters
from network_anomalies.records.champion import Champion
from network_anomalies.records.evaluation import AttackResult, EvaluationReceipt, ModelMeasures
from network_anomalies.records.registration import (
    JudgedDifference,
    MlflowRun,
    ModelRegistration,
    PromotionDecision,
    compare_by_verdicts,
)
from network_anomalies.records.training import TrainingReceipt, name_card
from network_anomalies.records.verdicts import read_verdicts
from network_anomalies.runs.inputs import list_registration_facts

PLOTS = ("score_distribution.html", "precision_recall.html")


def decide_promotion(
    evaluation_events: EvaluationReceipt,
    training_events: TrainingReceipt,
    previous_champion: Champion | None,
    current_revisions: pd.DataFrame,
    verdicts: pd.DataFrame,
    registration: RegistrationParameters,
) -> PromotionDecision:
    """Decide whether the date's model becomes champion from the date on. A worse model never does.

    With ground truth, its average precision on the same flows must exceed that of the champion before the date by
    ``min_gain``. Without ground truth, it may raise at most ``max_alert_ratio`` times the champion's alerts, and the
    champion must be at least ``max_age_days`` old or know only a part of a day. A model that is as good as the champion
    replaces it if the champion was trained on revisions that are no longer current.

    Without ground truth, verdicts about findings that only one of the two models raises come first. A model that loses
    a confirmed finding, or raises more dismissed ones than it spares, does not become champion. One that spares
    dismissed findings, or gains confirmed ones, need not wait for ``max_age_days``.

    Args:
        evaluation_events: the receipt of the date's evaluation.
        training_events: the receipt of the date's training.
        previous_champion: the champion before the date, None if there was none.
        current_revisions: ``logical_date`` and ``revision`` of the source's batches with the current content.
        verdicts: what people decided about alerts of the source.
        registration: the parameters of the rules.

    Raises:
        ContractError: the last evaluation was of another model.
    """
    metrics, sha256 = evaluation_events.metrics, training_events.model.sha256
    if metrics.model_sha256 != sha256:
        raise ContractError(f"model {sha256[:12]} was trained and not evaluated: run the evaluation pipeline")
    if previous_champion is None:
        return PromotionDecision(True, f"first model of this source up to {training_events.logical_date}")
    if previous_champion.model_sha256 == sha256:
        return PromotionDecision(False, f"it is the champion already: {previous_champion.reason}")
    if metrics.champion is None:
        return PromotionDecision(True, f"the champion cannot score: {metrics.champion_note}")
    outdated = _list_outdated(previous_champion, current_revisions)
    candidate, champion = metrics.candidate, metrics.champion
    if candidate.average_precision is not None and champion.average_precision is not None:
        decision = _decide_by_truth(candidate.average_precision, champion.average_precision, registration, outdated)
    else:
        ages, day = (training_events, previous_champion), training_events.logical_date
        judged = compare_by_verdicts(metrics, read_verdicts(verdicts), day, registration.verdict_days)
        decision = _decide_by_volume((candidate.alerts, champion.alerts), ages, registration, outdated, judged)
    if not outdated:
        return decision
    cause = f"the champion was trained on revisions that are no longer current ({', '.join(outdated)})"
    return replace(decision, reason=f"{decision.reason}; {cause}")


def write_model_card(
    decision: PromotionDecision, evaluation_events: EvaluationReceipt, training_events: TrainingReceipt
) -> str:
    """Return the model's Markdown card: data, metrics, limits, decision."""
    metrics, days = evaluation_events.metrics, training_events.input_objects
    lines = [
        f"# Model {training_events.model.sha256[:12]} of source {training_events.source}",
        "",
        f"Trained {training_events.logical_date} by run {training_events.run_id}, code {training_events.code_version}.",
        "",
        "## Data",
        "",
        f"{training_events.record_count} flows from {_show(training_events.train_start)} to "
        f"{_show(training_events.train_end)}, of {len(days)} days: "
        + ", ".join(f"{day.logical_date} (revision {day.revision})" for day in days)
        + ".",
        f"Tested on {metrics.test_flows} later flows, until {_show(training_events.test_end)}.",
        "",
        "## Metrics",
        "",
        "| measure | value |",
        "|---|---|",
        *(f"| {name} | {_show(value)} |" for name, value in _list_measures(metrics.candidate).items()),
        f"| population stability index of the scores | {_show(metrics.drift.psi)} |",
        *_list_attacks(metrics.candidate.attacks),
        "",
        "## What the model cannot know",
        "",
        "It uses six columns of flows: no payload, no ports. It knows the hosts and sizes of its window; a new host or",
        "a new habit is rare at first. Without ground truth the metrics tell the number of alerts, not their quality.",
        "",
        *_list_limits(metrics.limits),
        "",
        "## Decision",
        "",
        f"{'Champion' if decision.promote else 'Challenger'}: {decision.reason}.",
        "",
    ]
    return "\n".join(lines)


def assemble_model(
    decision: PromotionDecision,
    evaluation_events: EvaluationReceipt,
    training_events: TrainingReceipt,
    verdicts: pd.DataFrame,
    registration: RegistrationParameters,
    run_id: str,
    after_model_card: str,
) -> ModelRegistration:
    """Return the registration that the registry commits in one transaction, after the model card is written."""
    day, metrics = training_events.logical_date, evaluation_events.metrics
    judged = compare_by_verdicts(metrics, read_verdicts(verdicts), day, registration.verdict_days)
    return ModelRegistration(
        run_id=run_id,
        source=training_events.source,
        logical_date=day,
        inputs=list_registration_facts(evaluation_events.inputs_sha256, registration, judged),
        training_run_id=training_events.run_id,
        model=training_events.model,
        card_uri=name_card(training_events.model),
        tested_against=metrics.champion_sha256,
        decision=decision,
    )


def describe_for_mlflow(
    decision: PromotionDecision,
    evaluation_events: EvaluationReceipt,
    training_events: TrainingReceipt,
    anomaly_model: Model,
    *plots: Any,
) -> MlflowRun:
    """Describe the model for MLflow: parameters, metrics, and functions that return the bytes of model and plots."""
    metrics = evaluation_events.metrics
    measures = {name: value for name, value in _list_measures(metrics.candidate).items() if value is not None}
    return MlflowRun(
        name=f"{training_events.source} {training_events.logical_date}",
        parameters=training_events.parameters,
        metrics=measures | {"drift_psi": metrics.drift.psi},
        tags={
            "run_id": training_events.run_id,
            "model_sha256": training_events.model.sha256,
            "promoted": str(decision.promote),
            "reason": decision.reason,
        },
        files={"model.arrow": partial(to_bytes, anomaly_model)}
        | {name: partial(_to_html, plot) for name, plot in zip(PLOTS, plots, strict=True)},
    )


def _decide_by_truth(
    candidate: float, champion: float, registration: RegistrationParameters, outdated: list[str]
) -> PromotionDecision:
    """Decide by the average precision of model and champion."""
    gain = candidate - champion
    facts = f"average precision {candidate:.3f} against {champion:.3f} of the champion"
    promote = (gain > 0 and gain >= registration.min_gain) or (bool(outdated) and gain >= 0)
    return _say_outcome(promote, f"{facts}; a gain of {registration.min_gain} is required")


def _decide_by_volume(
    alerts: tuple[int, int],
    trained: tuple[TrainingReceipt, Champion],
    registration: RegistrationParameters,
    outdated: list[str],
    judged: JudgedDifference,
) -> PromotionDecision:
    """Decide by verdicts, by the number of alerts of model and champion, and by the time that they were trained on."""
    candidate, champion = alerts
    if refusal := _refuse_by_verdicts(judged):
        return _say_outcome(False, f"no truth; {refusal}")
    training_events, previous_champion = trained
    age = (training_events.train_end - previous_champion.train_end).days
    partial_day = _is_part_of_a_day(previous_champion.train_start, previous_champion.train_end)
    longer = partial_day and not _is_part_of_a_day(training_events.train_start, training_events.train_end)
    facts = f"no truth; the champion is {age} days old{' and knows only a part of a day' if partial_day else ''}"
    rule = f"from {registration.max_age_days} days on, and up to {registration.max_alert_ratio} times its alerts"
    better = bool(judged.quieter or judged.gained)
    if better:
        facts += f"; it spares {len(judged.quieter)} dismissed findings and gains {len(judged.gained)} confirmed ones"
    promote = candidate <= registration.max_alert_ratio * max(champion, 1) and (
        age >= registration.max_age_days or longer or better or bool(outdated)
    )
    return _say_outcome(promote, f"{facts}, alerts {candidate} against {champion}; it is replaced {rule}")


def _say_outcome(promote: bool, why: str) -> PromotionDecision:
    """Return the decision; its reason begins with what was decided."""
    return PromotionDecision(promote, f"{'replaces' if promote else 'does not replace'} the champion: {why}")


def _refuse_by_verdicts(judged: JudgedDifference) -> str:
    """Say why people's verdicts speak against a model; "" if they do not."""
    if judged.lost:
        return f"it no longer raises what was confirmed: {', '.join(judged.lost)}"
    if len(judged.noisier) > len(judged.quieter):
        return f"it raises what was dismissed: {', '.join(judged.noisier)}"
    return ""


def _list_outdated(champion: Champion, current_revisions: pd.DataFrame) -> list[str]:
    """Return the days whose content has changed since a champion was trained on them."""
    revisions = {day: rows["revision"].tolist() for day, rows in current_revisions.groupby("logical_date")}
    return [
        f"{day.logical_date}: {day.revision}, now {max(revisions.get(day.logical_date, [0])) or 'none'}"
        for day in champion.input_objects
        if day.revision not in revisions.get(day.logical_date, [])
    ]


def _is_part_of_a_day(start: datetime, end: datetime) -> bool:
    return end - start < timedelta(days=1)


def _list_measures(measures: ModelMeasures) -> dict[str, float | None]:
    """Return the measures that are a number or None."""
    return {
        name: value for name, value in measures.to_json().items() if value is None or isinstance(value, (int, float))
    }


def _list_limits(limits: AppliedLimits) -> list[str]:
    """Return the lines of a Markdown table; it has no rows if an earlier version recorded no limits."""
    rows = [
        f"| {kind} | {name} | {_show(value)} |" for kind, values in limits.items() for name, value in values.items()
    ]
    return ["## Limits of the detectors in this evaluation", "", "| kind | limit | value |", "|---|---|---|", *rows]


def _list_attacks(attacks: Sequence[AttackResult]) -> list[str]:
    """Return the lines of a Markdown table of attacks; no lines without attacks."""
    rows = [
        f"| {attack.scenario} | {attack.kind} | {attack.stealth} | {'yes' if attack.found else 'no'} | "
        f"{_show(attack.delay_seconds)} |"
        for attack in attacks
    ]
    return ["", "| attack | kind | stealth | found | delay, s |", "|---|---|---|---|---|", *rows] if rows else []


def _to_html(plot: Any) -> bytes:
    """Return a page that MLflow shows; as MLflow's own figures it loads Plotly from the network."""
    return str(plot.to_html(include_plotlyjs="cdn")).encode()


def _show(value: datetime | float | None) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "unknown" if value is None else str(value)
