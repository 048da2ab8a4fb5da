"""Results of an evaluation, and its receipt in the registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from network_anomalies.detection.limits import AppliedLimits
from network_anomalies.records.receipt import JsonRecord, StageReceipt


@dataclass(frozen=True)
class TestBasis:
    """What of the date is tested, with which models, and what the named detectors find in it.

    Attributes:
        slices: first hours of the tested slices, two digits each.
        has_past: whether no slice of the date was trained on; else the models' past is too short for the detectors.
        named: per model, ``candidate`` (the date's) and ``champion`` (before the date, if it can score), all findings
            of the named detectors, a frame with ``detection.FINDING_COLUMNS``.
        limits: the limits of the detectors for the findings of the date's model.
        champion_sha256: sha256 of the champion, None if there was none before the date.
        champion_note: why the champion cannot score, or "".
    """

    slices: Sequence[str]
    has_past: bool
    named: Mapping[str, pd.DataFrame]
    limits: AppliedLimits
    champion_sha256: str | None
    champion_note: str


@dataclass(frozen=True)
class FlowScores:
    """Scores of the tested flows, by each model of the basis.

    Attributes:
        flows: frame with a column of scores for each model, where a higher score is more anomalous; ``attack``, whether
            the flows belong to an attack; and ``flows``, how many of a slice are alike in all of that.
        attack_keys: event keys of the tested flows that belong to an attack.
        flagged: per model, the conversation-hours that each slice flags.
    """

    flows: pd.DataFrame
    attack_keys: np.ndarray
    flagged: Mapping[str, Sequence[pd.DataFrame]]


class Ranking(JsonRecord):
    """How well scores rank attack flows above others; None unless there are flows of both kinds.

    Attributes:
        roc_auc: area under the ROC curve, 0 to 1.
        average_precision: area under the curve of precision against recall, 0 to 1.
    """

    roc_auc: float | None = None
    average_precision: float | None = None


class AttackResult(JsonRecord):
    """Whether a known attack was found.

    Attributes:
        scenario: name of its scenario.
        kind: the kind of alert that should name it.
        stealth: how well it hides, from 0 (open) to 1.
        found: whether an alert within the budget names it.
        delay_seconds: seconds from its start to the first flow of its first alert; None if it was not found.
    """

    scenario: str
    kind: str
    stealth: float
    found: bool
    delay_seconds: float | None


class RaisedFinding(JsonRecord):
    """A finding that a model raises within the budget.

    Attributes:
        kind: what was found.
        entity: the host that it is about.
        peer: the other host, None if there is none.
    """

    kind: str
    entity: str
    peer: str | None = None


class AlertMeasures(JsonRecord):
    """Number of alerts within the budget and, if attacks are known, what the alerts found.

    Attributes:
        alerts: number of alerts.
        alerts_by_kind: number of alerts of each kind.
        precision_at_budget: share of alerts that name an attack, 0 to 1; None without alerts.
        recall_at_budget: share of attacks that an alert names, 0 to 1.
        recall_of_open_attacks: the same for attacks that do not hide; None without such attacks.
        false_alerts: number of alerts that name no attack.
        attacks: the result for each attack.
        raised: the findings behind the alerts, if no attacks are known; None where an earlier version recorded none.
    """

    alerts: int
    alerts_by_kind: dict[str, int]
    precision_at_budget: float | None = None
    recall_at_budget: float | None = None
    recall_of_open_attacks: float | None = None
    false_alerts: int | None = None
    attacks: tuple[AttackResult, ...] = ()
    raised: tuple[RaisedFinding, ...] | None = None


class ModelMeasures(AlertMeasures, Ranking):
    """All measures of a model."""


class Drift(JsonRecord):
    """How far scores differ from those of the training.

    Attributes:
        psi: population stability index.
        drifted: whether ``psi`` reaches the limit, and there are enough flows.
        flows_enough: whether there are enough flows to judge.
    """

    psi: float
    drifted: bool
    flows_enough: bool = True


class EvaluationMetrics(JsonRecord):
    """The results of an evaluation: the content of ``evaluation_metrics``.

    Attributes:
        labelled: whether attacks are known among the tested flows.
        test_flows: number of tested flows.
        test_slices: first hours of their slices.
        attack_flows: number of tested flows that belong to attacks.
        model_sha256: sha256 of the date's model.
        drift: drift of that model's scores.
        champion: measures of the champion before the date; None if there is none, or it cannot score.
        champion_sha256: sha256 of that champion.
        champion_note: why it cannot score, or "".
        candidate: measures of the date's model.
        limits: limits of the detectors, by kind and name; empty if an earlier version recorded none.
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
    """The receipt of an evaluation.

    Attributes:
        metrics: the results, including the digests of the two models.
    """

    metrics: EvaluationMetrics
