"""Nodes that score the flows after the training window, and measure the model on them."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.detection import (
    DetectorLimits,
    Model,
    Summary,
    conclude,
    feature_spec_sha256,
    list_limits,
    name_attacks,
    take_hours,
)
from network_anomalies.errors import NothingToTest, ProjectError
from network_anomalies.parameters import AlertsParameters, EvaluationParameters
from network_anomalies.pipelines.evaluation.counting import Judge, KnownAttacks, judge_counted
from network_anomalies.pipelines.evaluation.metrics import (
    find_instances,
    measure_alerts,
    measure_drift,
    measure_model,
)
from network_anomalies.pipelines.evaluation.plots import draw_distribution, draw_precision_recall
from network_anomalies.records.champion import Champion
from network_anomalies.records.evaluation import EvaluationMetrics, EvaluationReceipt, FlowScores, TestBasis
from network_anomalies.records.receipt import Json, StageReceipt
from network_anomalies.records.silver_day import Slices, join_slices
from network_anomalies.records.training import TrainingReceipt
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.runs.inputs import list_evaluation_facts


def name_test_attacks(
    silver_slices: Slices,
    day_summary: Summary,
    transformation_events: TransformationReceipt,
    training_events: TrainingReceipt,
    anomaly_model: Model,
    previous_champion: Champion | None,
    detectors: DetectorLimits,
) -> TestBasis:
    """Choose the slices that neither the model nor the champion before it was trained on, and name attacks in them.

    Raises:
        NothingToTest: the model was trained on every slice of the date.
    """
    hours = _find_untrained(silver_slices, training_events)
    has_past = len(hours) == len(silver_slices)
    tested = take_hours(day_summary, transformation_events.list_hours(hours))
    champion_model, note = _read_champion(previous_champion)
    models = _list_models(anomaly_model, champion_model)
    return TestBasis(
        slices=hours,
        has_past=has_past,
        named={name: name_attacks(tested, model, has_past, detectors) for name, model in models.items()},
        limits=list_limits(detectors, anomaly_model, has_past),
        champion_sha256=previous_champion.model_sha256 if previous_champion else None,
        champion_note=note,
    )


def score_test_flows(
    silver_slices: Slices,
    test_basis: TestBasis,
    transformation_events: TransformationReceipt,
    anomaly_model: Model,
    previous_champion: Champion | None,
    ground_truth: pd.DataFrame,
    detectors: DetectorLimits,
) -> FlowScores:
    """Score the tested flows with the model and with the champion before it.

    Scores are counted slice by slice: a conversation-hour has one, so few numbers tell about many flows.
    """
    models = _list_models(anomaly_model, _read_champion(previous_champion)[0])
    named, has_past = test_basis.named, test_basis.has_past
    judges = {name: Judge(model, named[name], has_past, detectors) for name, model in models.items()}
    attacks = KnownAttacks.of(ground_truth)
    tested = {hour: silver_slices[hour] for hour in test_basis.slices}
    slices = join_slices(tested, transformation_events.count_events())
    judged = [judge_counted(silver, judges, attacks) for silver in slices.values()]
    return FlowScores(
        flows=pd.concat([each.flows for each in judged], ignore_index=True),
        attack_keys=np.concatenate([each.attack_keys for each in judged]),
        flagged={name: [each.flagged[name] for each in judged] for name in models},
    )


def gather_test_findings(
    test_scores: FlowScores,
    test_basis: TestBasis,
    day_summary: Summary,
    transformation_events: TransformationReceipt,
    detectors: DetectorLimits,
) -> dict[str, pd.DataFrame]:
    """Return the findings of each model on the tested slices, named ones and anomalies, the highest score first."""
    tested = take_hours(day_summary, transformation_events.list_hours(test_basis.slices))
    return {
        name: conclude(flagged, test_basis.named[name], tested, detectors)
        for name, flagged in test_scores.flagged.items()
    }


def evaluate_models(
    test_scores: FlowScores,
    test_findings: Mapping[str, pd.DataFrame],
    test_basis: TestBasis,
    ground_truth: pd.DataFrame,
    training_events: TrainingReceipt,
    evaluation: EvaluationParameters,
    alerts_policy: AlertsParameters,
    logical_date: date,
) -> Json:
    """Measure the model and the champion on the same flows: against ground truth if there is any, else by alert counts.

    Returns:
        ``EvaluationMetrics`` as JSON.
    """
    flows = test_scores.flows
    attacks = ground_truth[ground_truth["attack"].astype("bool")]
    label, counts = flows["attack"].to_numpy(), flows["flows"].to_numpy()
    seen = attacks[attacks["event_key"].astype("uint64").isin(test_scores.attack_keys)]
    instances = find_instances(seen) if len(seen) else None
    measures = {
        name: measure_model(
            label, flows[name].to_numpy(), counts, measure_alerts(findings, instances, alerts_policy, logical_date)
        )
        for name, findings in test_findings.items()
    }
    return EvaluationMetrics(
        labelled=instances is not None,
        test_flows=int(counts.sum()),
        test_slices=tuple(test_basis.slices),
        attack_flows=int(counts[label].sum()),
        model_sha256=training_events.model.sha256,
        drift=measure_drift(training_events.reference_scores, flows["candidate"].to_numpy(), counts, evaluation),
        champion=measures.get("champion"),
        champion_sha256=test_basis.champion_sha256,
        champion_note=test_basis.champion_note,
        candidate=measures["candidate"],
        limits=test_basis.limits,
    ).to_json()


def plot_evaluation(test_scores: FlowScores) -> tuple[Any, Any]:
    """Plot the scores of attack and other flows, and precision against recall."""
    flows = test_scores.flows
    label, counts = flows["attack"].to_numpy(), flows["flows"].to_numpy()
    scores = {name: flows[name].to_numpy() for name in test_scores.flagged}
    return draw_distribution(scores["candidate"], label, counts), draw_precision_recall(scores, label, counts)


def assemble_evaluation(
    evaluation_metrics: Json,
    training_events: TrainingReceipt,
    transformation_events: TransformationReceipt,
    truth_events: StageReceipt | None,
    evaluation: EvaluationParameters,
    alerts_policy: AlertsParameters,
    detectors: DetectorLimits,
    run_id: str,
) -> EvaluationReceipt:
    """Make the receipt of the evaluation: the metrics, and the facts that decided them."""
    metrics = EvaluationMetrics.model_validate(evaluation_metrics)
    inputs = list_evaluation_facts(
        training_events.inputs_sha256,
        transformation_events.inputs_sha256,
        metrics.champion_sha256,
        truth_events.inputs_sha256 if truth_events else None,
        (evaluation, alerts_policy, detectors),
        feature_spec_sha256(),
    )
    source, logical_date = training_events.source, training_events.logical_date
    return EvaluationReceipt(run_id=run_id, source=source, logical_date=logical_date, inputs=inputs, metrics=metrics)


def _list_models(candidate: Model, champion: Model | None) -> dict[str, Model]:
    return {"candidate": candidate} | ({"champion": champion} if champion else {})


def _read_champion(champion: Champion | None) -> tuple[Model | None, str]:
    """Return a champion's model and "", or None and the reason why it cannot score ("" without a champion)."""
    if champion is None:
        return None, ""
    try:
        return champion.model, ""
    except ProjectError as error:
        return None, str(error)


def _find_untrained(silver_slices: Iterable[str], training_events: TrainingReceipt) -> list[str]:
    """Return the first hours of the slices of the date that the model was not trained on."""
    logical_date = training_events.logical_date
    trained = training_events.list_trained(logical_date)
    if hours := [hour for hour in silver_slices if hour not in trained]:
        return hours
    raise NothingToTest(
        f"all {len(trained)} slices of {logical_date} were trained on, so nothing is left to test: "
        "ingest another day, or more than one hour of this one"
    )
