"""Nodes that decide whether a model becomes champion, and write down why."""

from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pandas as pd

from network_anomalies.detection import Model, to_bytes
from network_anomalies.errors import ContractError
from network_anomalies.parameters import RegistrationParameters
from network_anomalies.records.champion import Champion
from network_anomalies.runs.inputs import list_registration_facts

Report = dict[str, Any]


def decide_promotion(
    evaluation_events: Report,
    training_events: Report,
    previous_champion: Champion | None,
    current_revisions: pd.DataFrame,
    registration: RegistrationParameters,
) -> Report:
    """Decide whether the date's model becomes champion from the date on: a worse one never does.

    Where there is truth, it must beat the average precision of the champion before the date, on the same flows, by
    ``min_gain``; without truth it may raise at most ``max_alert_ratio`` times that champion's alerts, and replaces one
    that is older than ``max_age_days`` or knows only a part of a day. A champion that was trained on revisions which
    are no longer current is replaced by a model that is as good.

    Args:
        evaluation_events: of the date.
        training_events: of the date.
        previous_champion: the champion of the days before, None if there was none.
        current_revisions: ``logical_date`` and ``revision`` of the source's batches whose content is the current one.
        registration: the rules' parameters.

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
    if previous_champion is None:
        return {"promote": True, "reason": f"first model of this source up to {training_events['logical_date']}"}
    if previous_champion.model_sha256 == training_events["model_sha256"]:
        return {"promote": False, "reason": f"it is the champion already: {previous_champion.reason}"}
    if metrics["champion"] is None:
        return {"promote": True, "reason": f"the champion cannot score: {metrics['champion_note']}"}
    outdated = _list_outdated(previous_champion, current_revisions)
    if metrics["candidate"]["average_precision"] is not None:
        decision = _decide_by_truth(metrics, registration, bool(outdated))
    else:
        decision = _decide_by_volume(metrics, training_events, previous_champion, registration, bool(outdated))
    if not outdated:
        return decision
    said = f"the champion was trained on revisions that are no longer current ({', '.join(outdated)})"
    return decision | {"reason": f"{said}; {decision['reason']}"}


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
    limits = [
        f"| {kind} | {name} | {_show(value)} |"
        for kind, values in metrics.get("limits", {}).items()  # an evaluation of before has none
        for name, value in values.items()
    ]
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
        "## Limits of the detectors in this evaluation",
        "",
        "| kind | limit | value |",
        "|---|---|---|",
        *limits,
        "",
        "## Decision",
        "",
        f"{'Champion' if decision['promote'] else 'Challenger'}: {decision['reason']}.",
        "",
    ]
    return {f"{training_events['model_sha256'][:12]}/model_card": "\n".join(lines)}


def assemble_model(
    decision: Report,
    model_card: Any,
    evaluation_events: Report,
    training_events: Report,
    registration: RegistrationParameters,
    run_id: str,
) -> Report:
    """Make what the registry decides on in one transaction; the card is there before it."""
    return {
        "run_id": run_id,
        "inputs": list_registration_facts(evaluation_events["inputs_sha256"], registration),
        "training_run_id": training_events["run_id"],
        "model_sha256": training_events["model_sha256"],
        "model_uri": training_events["model_uri"],
        "card_uri": f"{training_events['model_uri'].rpartition('/')[0]}/model_card.md",
        "tested_against": evaluation_events["champion_sha256"],
        **decision,
    }


def describe_for_mlflow(
    decision: Report, evaluation_events: Report, training_events: Report, anomaly_model: Model, *plots: Any
) -> Report:
    """Describe the model for MLflow: parameters, metrics, plots and the model; files as functions that give bytes."""
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
        "files": {"model.arrow": partial(to_bytes, anomaly_model)}
        | {name: partial(_to_png, plot) for name, plot in zip(names, plots, strict=True)},
    }


def _decide_by_truth(metrics: Report, registration: RegistrationParameters, outdated: bool) -> Report:
    candidate, champion = (metrics[name]["average_precision"] for name in ("candidate", "champion"))
    gain = candidate - champion
    facts = f"average precision {candidate:.3f} against {champion:.3f} of the champion"
    rule = f"a gain of {registration.min_gain} is asked for"
    return {
        "promote": (gain > 0 and gain >= registration.min_gain) or (outdated and gain >= 0),
        "reason": f"{facts}; {rule}",
    }


def _decide_by_volume(
    metrics: Report,
    training_events: Report,
    previous_champion: Champion,
    registration: RegistrationParameters,
    outdated: bool,
) -> Report:
    candidate, champion = metrics["candidate"]["alerts"], metrics["champion"]["alerts"]
    age = (training_events["train_end"] - previous_champion.train_end).days
    partial = _is_part_of_a_day(previous_champion.train_start, previous_champion.train_end)
    longer = partial and not _is_part_of_a_day(training_events["train_start"], training_events["train_end"])
    facts = f"no truth; the champion is {age} days old{', knows a part of a day only' if partial else ''}"
    rule = f"from {registration.max_age_days} days on, and up to {registration.max_alert_ratio} times its alerts"
    promote = candidate <= registration.max_alert_ratio * max(champion, 1) and (
        age >= registration.max_age_days or longer or outdated
    )
    return {
        "promote": promote,
        "reason": f"{facts}, alerts {candidate} against {champion}; it is replaced {rule}",
    }


def _list_outdated(champion: Champion, current_revisions: pd.DataFrame) -> list[str]:
    """Return the days that a champion was trained on with another content than the current one."""
    current = current_revisions.assign(day=current_revisions["logical_date"].astype("str"))
    revisions = {day: rows["revision"].tolist() for day, rows in current.groupby("day")}
    return [
        f"{day['logical_date']}: {day['revision']}, now {max(revisions.get(day['logical_date'], [0])) or 'none'}"
        for day in champion.input_objects
        if day["revision"] not in revisions.get(day["logical_date"], [])
    ]


def _is_part_of_a_day(start: datetime, end: datetime) -> bool:
    return end < datetime(start.year, start.month, start.day, tzinfo=start.tzinfo) + timedelta(days=1)


def _to_png(picture: Any) -> bytes:
    sink = BytesIO()
    picture.save(sink, format="PNG")
    return sink.getvalue()


def _show(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
