"""What an evaluation measures, and what the registry holds of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from pydantic import Field

from network_anomalies.detection.limits import AppliedLimits
from network_anomalies.records.receipt import JsonRecord, StageReceipt


@dataclass(frozen=True)
class FlowScores:
    """Scores of the flows to test on, by the date's model (``candidate``) and by the champion before it.

    Attributes:
        flows: frame of ``event_key`` (uint64) and a column of scores for each model, ``candidate`` and ``champion``;
            higher is more anomalous. Without a champion that can score there is one column of scores.
        findings: for each of these models its findings, a frame of ``detection.FINDING_COLUMNS``.
        limits: those that the findings of the date's model went by.
        slices: first hours of the slices that were tested, two digits each.
        champion_sha256: of the champion, None if there was none before the date.
        champion_note: why the champion cannot score, or "".
    """

    flows: pd.DataFrame
    findings: Mapping[str, pd.DataFrame]
    limits: AppliedLimits
    slices: Sequence[str]
    champion_sha256: str | None
    champion_note: str


class Ranking(JsonRecord):
    """How well scores rank attack flows above the others; None where there are not both kinds of flows.

    Attributes:
        roc_auc: area under the ROC curve, 0 to 1.
        average_precision: area under the curve of precision against recall, 0 to 1.
    """

    roc_auc: float | None = None
    average_precision: float | None = None


class AttackResult(JsonRecord):
    """What became of an attack that is known.

    Attributes:
        scenario: its name.
        kind: which alert should name it.
        stealth: how well it hides, 0 (open) to 1.
        found: whether an alert within the budget names it.
        delay_seconds: from its start to the first flow that its first alert points to; None if it was not found.
    """

    scenario: str
    kind: str
    stealth: float
    found: bool
    delay_seconds: float | None


class AlertMeasures(JsonRecord):
    """How many alerts there are within the budget and, where attacks are known, what they found.

    Attributes:
        alerts: how many.
        alerts_by_kind: how many of each kind.
        precision_at_budget: the share of alerts that name an attack; None without alerts.
        recall_at_budget: the share of attacks that an alert names.
        recall_of_open_attacks: the same for attacks that do not hide; None if all do.
        false_alerts: how many alerts name no attack.
        attacks: what became of each attack.
    """

    alerts: int
    alerts_by_kind: dict[str, int]
    precision_at_budget: float | None = None
    recall_at_budget: float | None = None
    recall_of_open_attacks: float | None = None
    false_alerts: int | None = None
    attacks: tuple[AttackResult, ...] = ()


class ModelMeasures(AlertMeasures, Ranking):
    """What is measured of a model."""


class Drift(JsonRecord):
    """How far scores have moved from those of the training.

    Attributes:
        psi: population stability index.
        drifted: whether it reaches the limit, and there are enough flows.
        flows_enough: whether there are enough flows to tell.
    """

    psi: float
    drifted: bool
    flows_enough: bool = True


class EvaluationMetrics(JsonRecord):
    """What an evaluation measured: the content of ``evaluation_metrics``.

    Attributes:
        labelled: whether attacks are known among the tested flows.
        test_flows: how many flows were tested.
        test_slices: first hours of their slices.
        attack_flows: how many of the flows belong to attacks.
        model_sha256: of the date's model.
        drift: of that model's scores.
        champion: measures of the champion before the date; None if there is none, or it cannot score.
        champion_sha256: of that champion.
        champion_note: why it cannot score, or "".
        candidate: measures of the date's model.
        limits: of the detectors, by kind and name; empty where an earlier version recorded none.
    """

    labelled: bool
    test_flows: int
    test_slices: tuple[str, ...]
    attack_flows: int
    model_sha256: str
    drift: Drift
    champion: ModelMeasures | None
    champion_sha256: str | None = None
    champion_note: str = ""
    candidate: ModelMeasures
    limits: AppliedLimits = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationReceipt(StageReceipt):
    """An evaluation.

    Attributes:
        metrics: what was measured. The digests of the two models are among it.
    """

    metrics: EvaluationMetrics
