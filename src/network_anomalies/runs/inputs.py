"""The facts that decide the output of each stage. Nodes record them; `kedro status` compares them with today's facts.

A fact is a name with a digest or a version. Stages are deterministic, so equal facts mean equal output. So a stage
records the digest of an earlier stage's facts instead of a digest of its output.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import pandas as pd

from network_anomalies.detection.limits import DetectorLimits
from network_anomalies.parameters import (
    AlertsParameters,
    EvaluationParameters,
    GateParameters,
    GeneratorParameters,
    LogsParameters,
    RegistrationParameters,
    TrainingParameters,
    TransformationParameters,
    digest_parameters,
)
from network_anomalies.records.receipt import StageReceipt
from network_anomalies.records.registration import JudgedDifference

Facts = dict[str, str]

METHODS = {"transformation": 1, "training": 2, "evaluation": 2, "registration": 1, "scoring": 3}
"""Version of each stage's method. Increase it when the code gives other results for equal inputs."""

NOTHING = "none"
"""The fact about something that does not exist."""
NOTHING_JUDGED = JudgedDifference()
DECIDING = ("budget", "allowlist")
"""The parameters of alerts that decide which alerts a day has. The others decide what is made of them later."""


def digest_facts(facts: Mapping[str, str]) -> str:
    """Return the sha256 of facts as sorted JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def digest_synthetic_choices(generator: GeneratorParameters, gate: GateParameters) -> str:
    """Digest the parameters that decide a batch of synthetic events. Profiles that are not used do not count."""
    profile = {generator.profile: generator.profiles[generator.profile].model_dump(exclude={"allowed"})}
    return _digest_choices(generator.model_dump(exclude={"profiles"}) | {"profile": profile}, gate)


def digest_log_choices(logs: LogsParameters, gate: GateParameters) -> str:
    """Digest the parameters that decide a batch of logs. The path and the way of reading do not count."""
    return _digest_choices(logs.model_dump(exclude={"path", "block_bytes", "skip_foreign"}), gate)


def extend_allowlist(alerts: AlertsParameters, generator: GeneratorParameters, kind: str) -> AlertsParameters:
    """Return the parameters of alerts for a kind of source; for synthetic events with the exceptions of the profile."""
    if kind != "synthetic":
        return alerts
    allowed = generator.profiles[generator.profile].allowed
    return alerts.model_copy(update={"allowlist": [*alerts.allowlist, *allowed]})


def choose_alerts_policy(
    alerts: AlertsParameters,
    generator: GeneratorParameters,
    source_record: pd.DataFrame,
    after_transformation: StageReceipt,
) -> AlertsParameters:
    """Return the parameters of alerts for a source. Two stages have this node.

    ``source_record`` is the source's row of ``sources``, which exists when ``after_transformation`` does.
    """
    return extend_allowlist(alerts, generator, str(source_record["kind"].iloc[0]))


def _digest_choices(source: Mapping[str, object], gate: GateParameters) -> str:
    """Digest the parameters that decide a batch's content, and no others: equal content must have equal bytes."""
    return digest_parameters({"drop_duplicates": gate.drop_duplicates, "source": dict(source)})


def list_ingestion_facts(choices_sha256: str, contract_version: str) -> Facts:
    """Return the facts that decide a batch, besides its events."""
    return {"parameters": choices_sha256, "contract": contract_version}


def list_truth_facts(raw_sha256: str) -> Facts:
    """Return the facts that decide the ground truth of a synthetic day."""
    return {"raw": raw_sha256}


def list_transformation_facts(raw_sha256: str, transformation: TransformationParameters, features: str) -> Facts:
    """Return the facts that decide a day's silver: batch content, slice length, feature specification.

    ``slice_rows`` does not count: pieces of a slice have the columns that the whole slice has.
    """
    return _list_common("transformation", transformation, features, exclude={"slice_rows"}) | {"raw": raw_sha256}


def list_training_facts(silver: Mapping[date, str], day: date, training: TrainingParameters, features: str) -> Facts:
    """Return the facts that decide a day's model.

    Args:
        silver: the digest of the transformation's facts, by day; days outside the window are left out.
        day: the day that the model is trained for. It is trained on the days before. A first day is trained on its own
            first hours; that fact has another name, so that the models of the first two days have different facts.
        training: the window's parameters.
        features: the sha256 of the feature specification.
    """
    first = day - timedelta(days=training.window_days)
    window = {past: digest for past, digest in silver.items() if first <= past < day}
    days = {f"silver of {past}": digest for past, digest in sorted(window.items())}
    on_first_day = {} if window or day not in silver else {f"first hours of {day}": silver[day]}
    return _list_common("training", training, features) | days | on_first_day


def list_evaluation_facts(
    training_sha256: str,
    silver_sha256: str,
    champion_sha256: str | None,
    truth_sha256: str | None,
    parameters: tuple[EvaluationParameters, AlertsParameters, DetectorLimits],
    features: str,
) -> Facts:
    """Return the facts that decide an evaluation: model, champion before it, flows, ground truth and parameters."""
    evaluation, detectors = parameters[0].model_dump(), parameters[2].model_dump()
    alerts = parameters[1].model_dump(include=set(DECIDING))
    return {
        "method": str(METHODS["evaluation"]),
        "features": features,
        "parameters": digest_parameters({"evaluation": evaluation, "alerts": alerts, "detectors": detectors}),
        "training": training_sha256,
        "silver": silver_sha256,
        "champion": champion_sha256 or NOTHING,
        "truth": truth_sha256 or NOTHING,
    }


def list_registration_facts(
    evaluation_sha256: str, registration: RegistrationParameters, judged: JudgedDifference = NOTHING_JUDGED
) -> Facts:
    """Return the facts that decide whether a model becomes champion; verdicts only where they say something of it."""
    parameters = digest_parameters(registration.model_dump(exclude={"verdict_days"}))
    facts = {"method": str(METHODS["registration"]), "parameters": parameters, "evaluation": evaluation_sha256}
    return facts if judged == NOTHING_JUDGED else facts | {"verdicts": digest_parameters(asdict(judged))}


def list_scoring_facts(
    silver_sha256: str,
    champion_sha256: str,
    parameters: tuple[AlertsParameters, DetectorLimits],
    features: str,
    dismissed: Sequence[str] = (),
) -> Facts:
    """Return what decides a day's scores and alerts.

    Args:
        silver_sha256: digest of the transformation's facts.
        champion_sha256: of the champion for the day.
        parameters: of the alerts and of the detectors.
        features: the sha256 of the feature specification.
        dismissed: ids of the alerts whose dismissal decides which alerts the day has, see ``verdicts.list_dismissed``.
    """
    alerts, detectors = parameters[0].model_dump(include=set(DECIDING)), parameters[1].model_dump()
    return {
        "method": str(METHODS["scoring"]),
        "features": features,
        "parameters": digest_parameters({"alerts": alerts, "detectors": detectors}),
        "silver": silver_sha256,
        "champion": champion_sha256,
        **({"verdicts": digest_facts({"dismissed": ",".join(dismissed)})} if dismissed else {}),
    }


def explain_change(recorded: Mapping[str, str], present: Mapping[str, str]) -> str:
    """Say which facts differ; "" if none does.

    >>> explain_change({"raw": "a", "features": "f"}, {"raw": "b", "features": "f", "silver of 2024-04-18": "s"})
    'new revision, silver of 2024-04-18 is new'
    """
    if "recorded" in recorded:
        return "its inputs were not recorded then"
    changes = []
    for name in recorded.keys() | present.keys():
        if recorded.get(name) != present.get(name):
            change = "is new" if name not in recorded else "is gone" if name not in present else "changed"
            changes.append(_WORDS.get(name, f"{name} {change}"))
    return ", ".join(sorted(changes))


_WORDS = {
    "raw": "new revision",
    "parameters": "parameters",
    "features": "features",
    "method": "method",
    "contract": "contract",
    "champion": "another champion",
    "verdicts": "verdicts",
    "truth": "ground truth",
    "silver": "new silver",
    "training": "new model",
    "evaluation": "new evaluation",
}


def _list_common(stage: str, parameters: Any, features: str, exclude: Collection[str] = ()) -> Facts:
    digest = digest_parameters(parameters.model_dump(exclude=set(exclude)))
    return {"method": str(METHODS[stage]), "features": features, "parameters": digest}
