"""Nodes that score the flows after the training window, and measure what that tells of a model."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import pandas as pd

from network_anomalies.detection import (
    DetectorLimits,
    Model,
    Summary,
    conclude,
    feature_spec_sha256,
    judge_slice,
    list_limits,
    take_hours,
)
from network_anomalies.errors import ContractError, ProjectError
from network_anomalies.generator.truth import find_keys
from network_anomalies.parameters import AlertsParameters, EvaluationParameters
from network_anomalies.pipelines.evaluation.metrics import (
    find_instances,
    measure_alerts,
    measure_drift,
    measure_ranking,
)
from network_anomalies.pipelines.evaluation.plots import draw_distribution, draw_hours, draw_precision_recall
from network_anomalies.records.champion import Champion
from network_anomalies.records.silver_day import Slices
from network_anomalies.runs.inputs import list_evaluation_facts

Report = dict[str, Any]


def score_test_flows(
    silver_slices: Slices,
    day_summary: Summary,
    transformation_events: Report,
    training_events: Report,
    anomaly_model: Model,
    previous_champion: Champion | None,
    detectors: DetectorLimits,
    logical_date: str,
) -> Report:
    """Score the flows of the date that the model was not trained on, with the model and with the champion before it.

    That champion was chosen for an earlier day, so it was not trained on the date either.

    Returns:
        ``flows``: frame of ``event_key`` and a column of scores per model; ``findings`` per model; the
        ``limits`` of the first model's findings; ``hours`` tested; ``champion_sha256``, None without a champion;
        ``note``: why the champion could not be asked, or "".

    Raises:
        ContractError: the model was trained on every slice of the date.
    """
    hours = _find_untrained(silver_slices, training_events, logical_date)
    models = {"candidate": anomaly_model}
    note = ""
    if previous_champion:
        try:
            models["champion"] = previous_champion.model
        except ProjectError as error:
            note = str(error)
    flows: list[pd.DataFrame] = []
    flagged: dict[str, list[pd.DataFrame]] = {name: [] for name in models}
    for hour in hours:
        events = silver_slices[hour]()
        judged = {name: judge_slice(events, model) for name, model in models.items()}
        scores = {name: scored["score"].to_numpy() for name, (scored, _) in judged.items()}
        flows.append(pd.DataFrame({"event_key": find_keys(events), **scores}))
        for name, (_, some) in judged.items():
            flagged[name].append(some)
    whole = len(hours) == len(silver_slices)
    covered = _list_hours(transformation_events["output_objects"], hours)
    tested = day_summary if whole else take_hours(day_summary, covered)
    # Hours of the same day are too short a past for the named detectors.
    findings = {name: conclude(flagged[name], tested, model, whole, detectors) for name, model in models.items()}
    return {
        "flows": pd.concat(flows, ignore_index=True),
        "findings": findings,
        "limits": list_limits(detectors, anomaly_model, whole),
        "hours": hours,
        "champion_sha256": previous_champion.model_sha256 if previous_champion else None,
        "note": note,
    }


def evaluate_models(
    test_scores: Report,
    ground_truth: pd.DataFrame,
    training_events: Report,
    evaluation: EvaluationParameters,
    alerts_policy: AlertsParameters,
    logical_date: str,
) -> Report:
    """Measure the model, and the champion on the same flows: against the truth where there is one, else by volume.

    Returns:
        ``labelled``; per model the ranking, the alerts at the budget and the drift; what was tested.
    """
    flows = test_scores["flows"]
    attacks = ground_truth[ground_truth["attack"].astype("bool")]
    label = flows["event_key"].isin(attacks["event_key"].astype("uint64")).to_numpy()
    seen = attacks[attacks["event_key"].astype("uint64").isin(flows["event_key"])]
    instances = find_instances(seen) if len(seen) else None
    measured = {
        name: measure_ranking(label, flows[name].to_numpy())
        | measure_alerts(findings, instances, alerts_policy, date.fromisoformat(logical_date))
        for name, findings in test_scores["findings"].items()
    }
    reference = training_events["parameters"]["reference_scores"]
    return {
        "labelled": instances is not None,
        "test_flows": len(flows),
        "test_slices": test_scores["hours"],
        "attack_flows": int(label.sum()),
        "model_sha256": training_events["model_sha256"],
        "drift": measure_drift(reference, flows["candidate"].to_numpy(), evaluation),
        "champion": None,
        "champion_sha256": test_scores["champion_sha256"],
        "champion_note": test_scores["note"],
        "limits": test_scores["limits"],
        **measured,
    }


def plot_evaluation(test_scores: Report, ground_truth: pd.DataFrame) -> tuple[Any, Any, Any]:
    """Plot the scores of attack and other flows, precision against recall, and the findings by hour."""
    flows = test_scores["flows"]
    attacks = ground_truth.loc[ground_truth["attack"].astype("bool"), "event_key"].astype("uint64")
    label = flows["event_key"].isin(attacks).to_numpy()
    scores = {name: flows[name].to_numpy() for name in test_scores["findings"]}
    return (
        draw_distribution(scores["candidate"], label),
        draw_precision_recall(scores, label),
        draw_hours(test_scores["findings"]["candidate"]),
    )


def assemble_evaluation(
    evaluation_metrics: Report,
    training_events: Report,
    transformation_events: Report,
    truth_events: Report,
    evaluation: EvaluationParameters,
    alerts_policy: AlertsParameters,
    detectors: DetectorLimits,
    run_id: str,
) -> Report:
    """Make the row of ``evaluation_events``, and what decided it."""
    inputs = list_evaluation_facts(
        training_events["inputs_sha256"],
        transformation_events["inputs_sha256"],
        evaluation_metrics["champion_sha256"],
        truth_events.get("inputs_sha256"),
        (evaluation, alerts_policy, detectors),
        feature_spec_sha256(),
    )
    return {
        "run_id": run_id,
        "inputs": inputs,
        "outputs": [],
        "model_sha256": evaluation_metrics["model_sha256"],
        "champion_sha256": evaluation_metrics["champion_sha256"],
        "labelled": evaluation_metrics["labelled"],
        "metrics": evaluation_metrics,
    }


def _find_untrained(silver_slices: Iterable[str], training_events: Report, logical_date: str) -> list[str]:
    """Return the slices of the date that the model has not seen."""
    days = [one for one in training_events["input_objects"] if one["logical_date"] == logical_date]
    trained = {item["hour"] for one in days for item in one["silver"]}
    if hours := [hour for hour in silver_slices if hour not in trained]:
        return hours
    raise ContractError(
        f"all {len(trained)} slices of {logical_date} were trained on, so nothing is left to test: "
        "ingest another day, or more than one hour of this one"
    )


def _list_hours(objects: list[Report], slices: list[str]) -> list[int]:
    """Return the hours of the day that some slices cover."""
    lengths = {item["hour"]: item["hours"] for item in objects if item["kind"] == "slice"}
    return [hour for name in slices for hour in range(int(name), int(name) + lengths[name])]
