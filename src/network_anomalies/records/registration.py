"""Results of the registration stage: the decision about a model, its registration, its copy in MLflow."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from network_anomalies.records.evaluation import EvaluationMetrics
from network_anomalies.records.receipt import LakeObject, StageReceipt
from network_anomalies.records.verdicts import Judgement, Latest, Subject, judge_habit


@dataclass(frozen=True)
class JudgedDifference:
    """What people said of the findings that one of two models raises and the other does not, as "kind entity".

    Attributes:
        lost: confirmed ones that only the champion raises.
        gained: confirmed ones that only the date's model raises.
        quieter: dismissed ones that only the champion raises.
        noisier: dismissed ones that only the date's model raises.
    """

    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    quieter: tuple[str, ...] = ()
    noisier: tuple[str, ...] = ()


def compare_by_verdicts(metrics: EvaluationMetrics, latest: Latest, day: date, days: int) -> JudgedDifference:
    """Compare the findings of the date's model and of the champion before it by what people said of such habits.

    Args:
        metrics: of the evaluation. With ground truth, or from an earlier version, it has no findings to compare.
        latest: the verdicts that count.
        day: the date.
        days: how long a confirmation counts.
    """
    if metrics.champion is None or metrics.candidate.raised is None or metrics.champion.raised is None:
        return JudgedDifference()
    sides = {"candidate": set(metrics.candidate.raised), "champion": set(metrics.champion.raised)}
    habits = {name: {(finding.kind, finding.entity) for finding in found} for name, found in sides.items()}
    listed: dict[tuple[str, Judgement], list[str]] = defaultdict(list)
    for name, other in (("candidate", "champion"), ("champion", "candidate")):
        for finding in sides[name]:
            if (finding.kind, finding.entity) in habits[other]:
                continue
            subject = Subject("", day, finding.kind, finding.entity, finding.peer)
            if verdict := judge_habit(latest, subject, days):
                listed[name, verdict].append(f"{finding.kind} {finding.entity}")
    return JudgedDifference(
        lost=tuple(sorted(listed["champion", "confirmed"])),
        gained=tuple(sorted(listed["candidate", "confirmed"])),
        quieter=tuple(sorted(listed["champion", "dismissed"])),
        noisier=tuple(sorted(listed["candidate", "dismissed"])),
    )


@dataclass(frozen=True)
class PromotionDecision:
    """Whether the date's model becomes champion.

    Attributes:
        promote: whether it becomes champion.
        reason: the reason in words.
    """

    promote: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class ModelRegistration(StageReceipt):
    """A model to register. The registry may still refuse the promotion: see ``registry.model_rows.register_model``.

    Attributes:
        training_run_id: the run that trained it.
        model: the model's object.
        card_uri: URI of its card.
        tested_against: sha256 of the champion that it was compared with, None if there was none.
        decision: whether it becomes champion.
    """

    training_run_id: str
    model: LakeObject
    card_uri: str
    tested_against: str | None
    decision: PromotionDecision


@dataclass(frozen=True)
class MlflowRun:
    """A training as it is logged to MLflow.

    Attributes:
        name: name of the run.
        parameters: parameters of the training.
        metrics: numbers by name.
        tags: texts by name.
        files: functions that return the bytes of a file, by file name.
    """

    name: str
    parameters: Mapping[str, float]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: Mapping[str, Callable[[], bytes]] = field(repr=False)
