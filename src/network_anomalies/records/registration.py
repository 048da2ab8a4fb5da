"""Results of the registration stage: the decision about a model, its registration, its copy in MLflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from network_anomalies.records.receipt import LakeObject, StageReceipt


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
