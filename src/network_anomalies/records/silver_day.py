"""A day's silver, as later stages load it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.transformation import SilverObject

Slices = dict[str, Callable[[], pd.DataFrame]]
"""From the first hour of a slice, two digits, to a function that reads its events."""


@dataclass(frozen=True)
class SilverDay:
    """The current silver of a source on one day.

    Attributes:
        logical_date: the day.
        revision: revision of the batch that it was made from.
        run_id: id of the transformation's run.
        inputs_sha256: digest of the facts that decided it.
        objects: its objects.
        raw_objects: the RAW objects that it was made from.
        slices: its slices.
        read_summary: function that reads the bytes of its summary.
    """

    logical_date: date
    revision: int
    run_id: str
    inputs_sha256: str
    objects: Sequence[SilverObject] = field(repr=False)
    raw_objects: Sequence[LakeObject] = field(repr=False)
    slices: Slices = field(repr=False)
    read_summary: Callable[[], bytes] = field(repr=False)
