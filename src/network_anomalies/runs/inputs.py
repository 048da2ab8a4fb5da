"""What decides the output of each stage: facts that nodes record, and that `kedro status` compares with those of today.

A fact is a name and a digest or version. Stages are deterministic, so a later stage names an earlier one by the digest
of that one's facts: equal facts mean equal output, without reading it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
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

Facts = dict[str, str]

METHODS = {"transformation": 1, "training": 1, "evaluation": 1, "registration": 1, "scoring": 2}
"""Versions of the stages' methods. Raise one when its code gives other results for equal inputs."""

NOTHING = "none"
DECIDING = ("budget", "allowlist")
"""The parameters of alerts that decide which alerts a day has. The others decide what is made of them later."""


def digest_facts(facts: Mapping[str, str]) -> str:
    """Return the sha256 of facts as sorted JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def digest_synthetic_choices(generator: GeneratorParameters, gate: GateParameters) -> str:
    """Digest the parameters that decide a batch of synthetic events: of the profiles only the one that is used."""
    profile = {generator.profile: generator.profiles[generator.profile].model_dump(exclude={"allowed"})}
    return _digest_choices(generator.model_dump(exclude={"profiles"}) | {"profile": profile}, gate)


def digest_log_choices(logs: LogsParameters, gate: GateParameters) -> str:
    """Digest the parameters that decide a batch of logs, wherever the logs lie and however they are read."""
    return _digest_choices(logs.model_dump(exclude={"path", "block_bytes", "skip_foreign"}), gate)


def extend_allowlist(alerts: AlertsParameters, generator: GeneratorParameters, kind: str) -> AlertsParameters:
    """Return the alerts' parameters for a kind of source: synthetic events have the exceptions of their profile too."""
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
    """Return the alerts' parameters for a source: a node of two stages.

    Args:
        alerts: of every source.
        generator: its profile has the exceptions of synthetic events.
        source_record: the source's row of ``sources``.
        after_transformation: the receipt of the day's silver; the source has its row by then.
    """
    return extend_allowlist(alerts, generator, str(source_record["kind"].iloc[0]))


def _digest_choices(source: Mapping[str, object], gate: GateParameters) -> str:
    """Digest the parameters that decide a batch's content, and no others, so that equal content has equal bytes."""
    return digest_parameters({"drop_duplicates": gate.drop_duplicates, "source": dict(source)})


def list_ingestion_facts(choices_sha256: str, contract_version: str) -> Facts:
    """Return what decides a batch beside the events themselves."""
    return {"parameters": choices_sha256, "contract": contract_version}


def list_truth_facts(raw_sha256: str) -> Facts:
    """Return what decides the ground truth of a committed synthetic day."""
    return {"raw": raw_sha256}


def list_transformation_facts(raw_sha256: str, transformation: TransformationParameters, features: str) -> Facts:
    """Return what decides a day's silver: the batch's content, the slices' length, the feature specification."""
    return _list_common("transformation", transformation, features) | {"raw": raw_sha256}


def list_training_facts(silver: Mapping[date, str], day: date, training: TrainingParameters, features: str) -> Facts:
    """Return what decides a day's model.

    Args:
        silver: the digest of the transformation's facts, by day; days outside the window are left out.
        day: the day that the model is trained for. It is trained on the days before, the first day on its first hours:
            that is another fact, or the first day's model would have the same facts as that of the day after it.
        training: the window's parameters.
        features: the sha256 of the feature specification.
    """
    first = day - timedelta(days=training.window_days)
    window = {other: digest for other, digest in silver.items() if first <= other < day}
    days = {f"silver of {other}": digest for other, digest in sorted(window.items())}
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
    """Return what decides an evaluation: the model, the champion before it, the flows, and the truth about them."""
    evaluation, detectors = parameters[0].model_dump(), parameters[2].model_dump()
    alerts = parameters[1].model_dump(include=set(DECIDING))
    chosen = digest_parameters({"evaluation": evaluation, "alerts": alerts, "detectors": detectors})
    return {
        "method": str(METHODS["evaluation"]),
        "features": features,
        "parameters": chosen,
        "training": training_sha256,
        "silver": silver_sha256,
        "champion": champion_sha256 or NOTHING,
        "truth": truth_sha256 or NOTHING,
    }


def list_registration_facts(evaluation_sha256: str, registration: RegistrationParameters) -> Facts:
    """Return what decides whether a model becomes champion."""
    chosen = digest_parameters(registration.model_dump())
    return {"method": str(METHODS["registration"]), "parameters": chosen, "evaluation": evaluation_sha256}


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
    """Say which facts differ, or return "" if none does.

    >>> explain_change({"raw": "a", "features": "f"}, {"raw": "b", "features": "f", "silver of 2024-04-18": "s"})
    'new revision, silver of 2024-04-18 is new'
    """
    changes = []
    for name in sorted(set(recorded) | set(present)):
        if recorded.get(name) == present.get(name):
            continue
        if name in _WORDS:
            changes.append(_WORDS[name])
        elif name not in recorded:
            changes.append(f"{name} is new")
        elif name not in present:
            changes.append(f"{name} is gone")
        else:
            changes.append(f"{name} changed")
    return ", ".join(sorted(changes)) if "recorded" not in recorded else "its inputs were not recorded then"


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


def _list_common(stage: str, parameters: Any, features: str) -> Facts:
    chosen = digest_parameters(parameters.model_dump())
    return {"method": str(METHODS[stage]), "features": features, "parameters": chosen}
