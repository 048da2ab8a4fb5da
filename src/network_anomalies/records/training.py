"""What a model is trained on, the receipt of a training, and the names of a model's files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from network_anomalies.records.receipt import JsonRecord, LakeObject, StageReceipt
from network_anomalies.records.silver_day import SilverDay, Slice


@dataclass(frozen=True)
class TrainingSlice:
    """A slice of silver to train on.

    Attributes:
        logical_date: its UTC day.
        hour: its first hour, two digits.
        start: its first instant.
        hours: its length in hours.
        record_count: number of its events.
        silver: its events.
    """

    logical_date: date
    hour: str
    start: datetime
    hours: int
    record_count: int
    silver: Slice = field(repr=False)

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return self.start + timedelta(hours=self.hours)


@dataclass(frozen=True)
class TrainingSplit:
    """Silver split in time into a part to train on and a part to test on.

    Attributes:
        slices: the slices to train on, in order of time.
        days: the days of these slices.
        train_start: start of the time to train on.
        train_end: end of that time, not included.
        test_end: end of the day to test on.
        inputs: the facts that decide the model.
    """

    slices: Sequence[TrainingSlice]
    days: Sequence[SilverDay]
    train_start: datetime
    train_end: datetime
    test_end: datetime
    inputs: Mapping[str, str] = field(repr=False)

    def list_slices(self, day: date) -> list[TrainingSlice]:
        """Return the slices of a day to train on."""
        return [chosen for chosen in self.slices if chosen.logical_date == day]


class TrainedSlice(LakeObject):
    """A slice of silver that a model was trained on.

    Attributes:
        hour: its first hour, two digits.
    """

    hour: str


class TrainingDay(JsonRecord):
    """The objects of a day that a model was trained on.

    Attributes:
        logical_date: the UTC day.
        revision: revision of the batch that the silver was made from.
        transformation_run_id: id of the run that made the silver.
        silver: the slices that the model was trained on.
        raw: the RAW objects that the silver was made from.
    """

    logical_date: date
    revision: int
    transformation_run_id: str
    silver: tuple[TrainedSlice, ...]
    raw: tuple[LakeObject, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingReceipt(StageReceipt):
    """The receipt of a training: the model, and everything that it was made from.

    Attributes:
        size_bytes: size of the model.
        train_start: start of the time that it was trained on.
        train_end: end of that time, not included.
        test_end: end of the day to test on.
        record_count: number of flows that it was trained on.
        input_objects: the objects of each day that it was trained on.
        parameters: the training's parameters.
        reference_scores: quantiles of the scores of the latest training slices, at equal steps from 0 to 1.
        feature_spec_sha256: sha256 of the feature specification.
        library_versions: versions of the libraries that the model depends on. The registry sets them.
        code_version: version of this package. The registry sets it.
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
        """The model's object, which is the only output."""
        return self.outputs[0]

    def list_trained(self, day: date) -> set[str]:
        """Return the first hours of the slices of a day that the model was trained on."""
        return {item.hour for trained in self.input_objects if trained.logical_date == day for item in trained.silver}


def name_model(data: bytes) -> LakeObject:
    """Return the URI and sha256 of a model's object; its folder is named after the sha256."""
    sha256 = hashlib.sha256(data).hexdigest()
    return LakeObject(uri=f"{sha256[:12]}/model.arrow", sha256=sha256)


def name_card(model: LakeObject) -> str:
    """Return the URI of a model's card, which is in the model's folder."""
    return f"{model.uri.rpartition('/')[0]}/model_card.md"
