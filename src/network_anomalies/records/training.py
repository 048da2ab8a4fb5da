"""What a model is trained on, what the registry holds of a training, and where a model lies."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pandas as pd

from network_anomalies.records.receipt import JsonRecord, LakeObject, StageReceipt
from network_anomalies.records.silver_day import SilverDay


@dataclass(frozen=True)
class TrainingSlice:
    """A slice of silver to train on.

    Attributes:
        logical_date: its UTC day.
        hour: its first hour, two digits.
        start: its first instant.
        hours: how many hours it covers.
        record_count: how many events it holds.
        read: reads its events.
    """

    logical_date: date
    hour: str
    start: datetime
    hours: int
    record_count: int
    read: Callable[[], pd.DataFrame] = field(repr=False)

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return self.start + timedelta(hours=self.hours)


@dataclass(frozen=True)
class TrainingSplit:
    """Silver split in time, and what decides the model.

    Attributes:
        slices: what to train on, in order of time.
        days: the days of these slices.
        train_start: the first instant of what is trained on.
        train_end: the first instant after it.
        test_end: the end of the day to test on.
        inputs: the facts that decide the model.
    """

    slices: Sequence[TrainingSlice]
    days: Sequence[SilverDay]
    train_start: datetime
    train_end: datetime
    test_end: datetime
    inputs: Mapping[str, str] = field(repr=False)

    def list_slices(self, day: date) -> list[TrainingSlice]:
        """Return the slices of a day that are trained on."""
        return [chosen for chosen in self.slices if chosen.logical_date == day]


class TrainedSlice(LakeObject):
    """A slice of silver that a model was trained on.

    Attributes:
        hour: its first hour, two digits.
    """

    hour: str


class TrainingDay(JsonRecord):
    """The exact objects that a day gave to a training.

    Attributes:
        logical_date: the UTC day.
        revision: of the batch that its silver was made of.
        transformation_run_id: the run that made the silver.
        silver: the slices that were trained on.
        raw: the RAW objects that the silver was made of.
    """

    logical_date: date
    revision: int
    transformation_run_id: str
    silver: tuple[TrainedSlice, ...]
    raw: tuple[LakeObject, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingReceipt(StageReceipt):
    """A training: the model, and everything that it was made of.

    Attributes:
        size_bytes: of the model.
        train_start: the first instant of what it was trained on.
        train_end: the first instant after it.
        test_end: the end of the day to test on.
        record_count: how many flows it was trained on.
        input_objects: what each day gave to it.
        parameters: the training's parameters.
        reference_scores: quantiles of the scores of the latest training slices, at equal steps from 0 to 1.
        feature_spec_sha256: digest of the feature specification.
        library_versions: versions of the libraries that the model depends on. The registry sets them.
        code_version: of this package. The registry sets it.
    """

    size_bytes: int
    train_start: datetime
    train_end: datetime
    test_end: datetime
    record_count: int
    input_objects: Sequence[TrainingDay]
    parameters: Mapping[str, float]
    reference_scores: Sequence[float]
    feature_spec_sha256: str
    library_versions: Mapping[str, str] = field(default_factory=dict)
    code_version: str = ""

    @property
    def model(self) -> LakeObject:
        """The model's object, the only output."""
        return self.outputs[0]

    def list_trained(self, day: date) -> set[str]:
        """Return the first hours of the slices of a day that the model was trained on."""
        return {item.hour for trained in self.input_objects if trained.logical_date == day for item in trained.silver}


def name_model(data: bytes) -> LakeObject:
    """Return the object that a model's bytes are stored as, in a folder that its digest names."""
    sha256 = hashlib.sha256(data).hexdigest()
    return LakeObject(uri=f"{sha256[:12]}/model.arrow", sha256=sha256)


def name_card(model: LakeObject) -> str:
    """Return the URI of a model's card, which lies beside the model."""
    return f"{model.uri.rpartition('/')[0]}/model_card.md"
