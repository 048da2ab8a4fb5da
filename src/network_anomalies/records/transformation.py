"""A day's silver in the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from network_anomalies.records.receipt import Json, LakeObject, StageReceipt


class RawObject(LakeObject):
    """A RAW object that silver was made of.

    Attributes:
        record_count: how many events it holds.
    """

    record_count: int


class SilverObject(LakeObject):
    """An object of silver: a slice of the day, or the day's summary.

    Attributes:
        kind: which of the two.
        size_bytes: how long it is.
        record_count: how many events it holds, 0 for a summary.
        hour: the first hour of a slice, two digits.
        hours: how many hours the slice covers.
    """

    kind: Literal["slice", "summary"]
    size_bytes: int
    record_count: int
    hour: str = ""
    hours: int = 0

    def to_json(self) -> Json:
        """Return the record as JSON has it, with the file's name."""
        return super().to_json() | {"file_name": self.file_name}


@dataclass(frozen=True, kw_only=True)
class TransformationReceipt(StageReceipt):
    """A day's silver: what it was made of, and which objects it is.

    Attributes:
        revision: of the batch that it was made of.
        record_count: how many events it holds.
        size_bytes: of all its objects.
        feature_spec_sha256: digest of the feature specification that its columns follow.
        input_objects: the RAW objects that it was made of.
        outputs: its objects.
    """

    revision: int
    record_count: int
    size_bytes: int
    feature_spec_sha256: str
    input_objects: Sequence[RawObject]
    outputs: Sequence[SilverObject] = ()

    @property
    def slices(self) -> Sequence[SilverObject]:
        """The slices, by hour."""
        return [output for output in self.outputs if output.kind == "slice"]

    def list_hours(self, slices: Sequence[str]) -> list[int]:
        """Return the hours of the day that some slices cover, which are named by their first hour."""
        lengths = {output.hour: output.hours for output in self.slices}
        return [hour for first in slices for hour in range(int(first), int(first) + lengths[first])]
