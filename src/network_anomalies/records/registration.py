"""Which model becomes champion, as its stage passes it on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from network_anomalies.records.receipt import LakeObject, StageReceipt


@dataclass(frozen=True)
class PromotionDecision:
    """Whether the date's model becomes champion.

    Attributes:
        promote: whether it does.
        reason: why, for people.
    """

    promote: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class ModelRegistration(StageReceipt):
    """A model to be registered. The decision about it is made again, in one transaction, by the registry.

    Attributes:
        training_run_id: the run that trained it.
        model: its object.
        card_uri: where its card lies.
        tested_against: digest of the champion before the date that it was compared with, None if there was none.
        decision: whether it becomes champion.
    """

    training_run_id: str
    model: LakeObject
    card_uri: str
    tested_against: str | None
    decision: PromotionDecision


@dataclass(frozen=True)
class MlflowRun:
    """What MLflow is told of a training.

    Attributes:
        name: of the run.
        parameters: of the training.
        metrics: numbers by name.
        tags: texts by name.
        files: names to functions that give bytes.
    """

    name: str
    parameters: Mapping[str, float]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: Mapping[str, Callable[[], bytes]] = field(repr=False)
