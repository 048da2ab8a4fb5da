"""The champion of a day: its record in the registry, and the record with its model."""

from collections.abc import Callable, Sequence
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
        source: name of the source.
        version: number of the model among the source's models.
        model_sha256: sha256 of the model's bytes.
        model_uri: URI of the model's object.
        run_id: the run that registered it.
        reason: why it was registered as champion or challenger.
        train_start: start of the time that it was trained on.
        train_end: end of that time, not included.
        input_objects: the objects of each day that it was trained on.
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
    """A champion with its model.

    Another process gets it without its model, and reads the model when it is needed.

    Attributes:
        read: function that returns the model's bytes.
    """

    read: Callable[[], bytes]

    @cached_property
    def model(self) -> "Model":
        """The model, read from its bytes.

        Raises:
            ProjectError: the model was made for another feature specification.
        """
        from network_anomalies.detection import from_bytes

        return from_bytes(self.read())

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "model"}

    def __repr__(self) -> str:
        """Return a short text without the model's bytes."""
        return f"Champion({self.source}, version {self.version}, {self.model_sha256[:12]}, from {self.champion_from})"
