"""The receipt of a transformation, and the objects in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from network_anomalies.records.receipt import Json, LakeObject, StageReceipt


class RawObject(LakeObject):
    """A RAW object that silver was made from.

    Attributes:
        record_count: number of its events.
    """

    record_count: int


class SilverObject(LakeObject):
    """An object of silver: a slice of the day or a piece of it, or the day's summary.

    Attributes:
        kind: ``slice`` or ``summary``.
        size_bytes: its size.
        record_count: number of its events, 0 for a summary.
        hour: first hour of a slice, two digits.
        hours: length of the slice in hours.
        piece: number of the piece, from 1, in order of time; 0 if the slice is one object.
    """

    kind: Literal["slice", "summary"]
    size_bytes: int
    record_count: int
    hour: str = ""
    hours: int = 0
    piece: int = 0

    def to_json(self) -> Json:
        """Return the record as JSON, with the name of the file."""
        return super().to_json() | {"file_name": self.file_name}


@dataclass(frozen=True, kw_only=True)
class TransformationReceipt(StageReceipt):
    """The receipt of a day's silver.

    Attributes:
        revision: revision of the batch that it was made from.
        record_count: number of its events.
        size_bytes: size of all its objects.
        feature_spec_sha256: sha256 of the feature specification of its columns.
        input_objects: the RAW objects that it was made from.
        outputs: its objects.
    """

    revision: int
    record_count: int
    size_bytes: int
    feature_spec_sha256: str
    input_objects: Sequence[RawObject]
    outputs: Sequence[SilverObject] = ()

    def count_events(self) -> dict[str, int]:
        """Return the number of events of each slice, by the slice's first hour."""
        events: dict[str, int] = {}
        for output in self.outputs:
            if output.kind == "slice":
                events[output.hour] = events.get(output.hour, 0) + output.record_count
        return events

    def list_hours(self, slices: Sequence[str]) -> list[int]:
        """Return the hours of the day that some slices cover; ``slices`` are the slices' first hours."""
        lengths = {output.hour: output.hours for output in self.outputs if output.kind == "slice"}
        return [hour for first in slices for hour in range(int(first), int(first) + lengths[first])]
