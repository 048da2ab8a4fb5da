"""The champion of a day, as the registry describes it and as the stages take it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from network_anomalies.records.training import TrainingDay

if TYPE_CHECKING:
    from network_anomalies.detection import Model


@dataclass(frozen=True, kw_only=True)
class ChampionRecord:
    """A registered model and why it is champion.

    Attributes:
        source: whose events it knows.
        version: its number among the source's models.
        model_sha256: digest of the model's bytes.
        model_uri: where it lies.
        run_id: the run that registered it.
        reason: why it was registered as what it is.
        train_start: the first instant of what it was trained on.
        train_end: the first instant after.
        input_objects: what each day gave to its training.
        champion_from: the first day that it is champion for.
        promoted_by: ``registration``, or the person who chose it.
        promotion_reason: why it was chosen.
    """

    source: str
    version: int
    model_sha256: str
    model_uri: str
    run_id: str
    reason: str
    train_start: datetime
    train_end: datetime
    input_objects: Sequence[TrainingDay] = field(repr=False)
    champion_from: date
    promoted_by: str
    promotion_reason: str


@dataclass(frozen=True, kw_only=True)
class Champion(ChampionRecord):
    """A champion together with its model.

    Attributes:
        data: the model's bytes.
    """

    data: bytes

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
