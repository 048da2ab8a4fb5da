"""The champion of a day, as the stages take it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from network_anomalies.detection import Model


@dataclass(frozen=True)
class Champion:
    """A registered model and why it is champion.

    Attributes:
        source: whose events it knows.
        version: its number among the source's models.
        model_sha256: digest of ``data``.
        model_uri: where it lies.
        reason: why it was registered as what it is.
        train_start: the first instant of what it was trained on.
        train_end: the first instant after.
        input_objects: per day that it was trained on, the revision and the objects.
        champion_from: the first day that it is champion for.
        promoted_by: ``registration``, or the person who chose it.
        promotion_reason: why it was chosen.
        data: the model's bytes.
    """

    source: str
    version: int
    model_sha256: str
    model_uri: str
    reason: str
    train_start: datetime
    train_end: datetime
    input_objects: Sequence[dict[str, Any]]
    champion_from: date
    promoted_by: str
    promotion_reason: str
    data: bytes

    FIELDS: ClassVar = (
        *("source", "version", "model_sha256", "model_uri", "reason", "train_start", "train_end", "input_objects"),
        *("champion_from", "promoted_by", "promotion_reason"),
    )

    @cached_property
    def model(self) -> "Model":
        """The model itself, read from its bytes.

        Raises:
            ProjectError: it was made for another feature specification.
        """
        from network_anomalies.detection import from_bytes

        return from_bytes(self.data)

    def __repr__(self) -> str:
        """Name the champion; its bytes would fill the screen."""
        return f"Champion({self.source}, version {self.version}, {self.model_sha256[:12]}, from {self.champion_from})"
