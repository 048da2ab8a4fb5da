"""Nodes that decide whether a model becomes champion, and write down why."""

from datetime import datetime
from typing import Any

from network_anomalies.errors import ContractError
from network_anomalies.parameters import RegistrationParameters

Report = dict[str, Any]


def decide_promotion(
    evaluation_events: Report, training_events: Report, previous_champion: Report, registration: RegistrationParameters
) -> Report:
    """Decide whether the date's model becomes champion: a worse one never does.

    Where there is truth, it must beat the champion's average precision on the same flows by ``min_gain``. Without
    truth it replaces a champion older than ``max_age_days`` if it raises at most ``max_alert_ratio`` times its alerts.

    Returns:
        ``promote`` and ``reason``.

    Raises:
        ContractError: what was evaluated last is another model.
    """
    if evaluation_events["model_sha256"] != training_events["model_sha256"]:
        raise ContractError(
            f"model {training_events['model_sha256'][:12]} was trained and not evaluated: run the evaluation pipeline"
        )
    metrics = evaluation_events["metrics"]
    candidate, champion = metrics["candidate"], metrics["champion"]
    if not previous_champion:
        return {"promote": True, "reason": "first model of this source"}
    if previous_champion["model_sha256"] == training_events["model_sha256"]:
        return {"promote": True, "reason": previous_champion["reason"]}
    if champion is None:
        return {"promote": True, "reason": f"the champion cannot score: {metrics['champion_note']}"}
    if candidate["average_precision"] is not None:
        gain = candidate["average_precision"] - champion["average_precision"]
        facts = f"average precision {candidate['average_precision']:.3f} against {champion['average_precision']:.3f}"
        rule = f"a gain of {registration.min_gain} is asked for"
        return {"promote": gain > 0 and gain >= registration.min_gain, "reason": f"{facts} of the champion; {rule}"}
    return _decide_by_volume(candidate, champion, training_events, previous_champion, registration)


def write_model_card(
    decision: Report, evaluation_events: Report, training_events: Report, logical_date: str
) -> dict[str, str]:
    """Write the Markdown card that lies beside the model: data, metrics, limits, decision."""
    days, metrics = training_events["input_objects"], evaluation_events["metrics"]
    candidate = metrics["candidate"]
    rows = [f"| {name} | {_show(value)} |" for name, value in candidate.items() if not isinstance(value, (list, dict))]
    attacks = [
        f"| {attack['scenario']} | {attack['kind']} | {attack['stealth']} | {'yes' if attack['found'] else 'no'} | "
        f"{_show(attack['delay_seconds'])} |"
        for attack in candidate.get("attacks", [])
    ]
    found = ["", "| attack | kind | stealth | found | delay, s |", "|---|---|---|---|---|", *attacks] if attacks else []
    lines = [
        f"# Model {training_events['model_sha256'][:12]} of source {training_events['source']}",
        "",
        f"Trained {logical_date} by run {training_events['run_id']}, code {training_events['code_version']}.",
        "",
        "## Data",
        "",
        f"{training_events['record_count']} flows from {_show(training_events['train_start'])} to "
        f"{_show(training_events['train_end'])}, of {len(days)} days: "
        + ", ".join(f"{one['logical_date']} (revision {one['revision']})" for one in days)
        + ".",
        f"Tested on {metrics['test_flows']} later flows, until {_show(training_events['test_end'])}.",
        "",
        "## Metrics",
        "",
        "| measure | value |",
        "|---|---|",
        *rows,
        f"| population stability index of the scores | {_show(metrics['drift']['psi'])} |",
        *found,
        "",
        "## Limits",
        "",
        "Six columns of flows: no payload, no ports. It knows the hosts and sizes of its window; a new host or a new",
        "habit is rare at first. Without ground truth the metrics say how much it alerts, not how well.",
        "",
        "## Decision",
        "",
        f"{'Champion' if decision['promote'] else 'Challenger'}: {decision['reason']}.",
        "",
    ]
    return {f"{training_events['model_sha256'][:12]}/model_card": "\n".join(lines)}


def assemble_model(
    decision: Report, model_card: Any, evaluation_events: Report, training_events: Report, run_id: str
) -> Report:
    """Make what the registry decides on in one transaction; the card is there before it."""
    return {
        "run_id": run_id,
        "training_run_id": training_events["run_id"],
        "model_sha256": training_events["model_sha256"],
        "model_uri": training_events["model_uri"],
        "card_uri": f"{training_events['model_uri'].rpartition('/')[0]}/model_card.md",
        "tested_against": evaluation_events["champion_sha256"],
        **decision,
    }


def describe_for_mlflow(
    decision: Report, evaluation_events: Report, training_events: Report, anomaly_model: bytes, *plots: bytes
) -> Report:
    """Describe the model for MLflow: parameters, metrics, plots, and the bytes themselves."""
    metrics = evaluation_events["metrics"]
    measured = metrics["candidate"].items()
    names = ("score_distribution.png", "precision_recall.png", "alerts_per_hour.png")
    return {
        "name": f"{training_events['source']} {training_events['logical_date']}",
        "parameters": {
            name: value for name, value in training_events["parameters"].items() if name != "reference_scores"
        },
        "metrics": {name: value for name, value in measured if isinstance(value, (int, float))}
        | {"drift_psi": metrics["drift"]["psi"]},
        "tags": {
            "run_id": training_events["run_id"],
            "model_sha256": training_events["model_sha256"],
            "promoted": str(decision["promote"]),
            "reason": decision["reason"],
        },
        "files": {"model.arrow": anomaly_model, **dict(zip(names, plots, strict=True))},
    }


def _decide_by_volume(
    candidate: Report,
    champion: Report,
    training_events: Report,
    previous_champion: Report,
    registration: RegistrationParameters,
) -> Report:
    age = (training_events["train_end"] - previous_champion["train_end"]).days
    ratio = candidate["alerts"] / max(champion["alerts"], 1)
    facts = f"no truth; the champion is {age} days old, alerts {candidate['alerts']} against {champion['alerts']}"
    rule = f"from {registration.max_age_days} days on, and up to {registration.max_alert_ratio} times its alerts"
    promote = age >= registration.max_age_days and ratio <= registration.max_alert_ratio
    return {"promote": promote, "reason": f"{facts}; it is replaced {rule}"}


def _show(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
