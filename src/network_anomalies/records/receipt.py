"""The receipt of a stage: its record in the registry, which later stages load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]
"""A record as a JSON object."""


class JsonRecord(BaseModel):
    """A record that is stored as JSON, in a file or in a column of the registry.

    Unknown names are ignored, so that this version reads records of other versions.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_json(self) -> Json:
        """Return the record as JSON, without values that were not set."""
        return self.model_dump(mode="json", exclude_unset=True)


class LakeObject(JsonRecord):
    """An object or a file of the lake.

    Attributes:
        uri: its URI. A node gives it relative to the folder of the dataset; the dataset adds the folder.
        sha256: sha256 of its bytes, in hexadecimal digits.
    """

    uri: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The last part of the URI."""
        return self.uri.rpartition("/")[2]

    def put_into(self, folder: str) -> Self:
        """Return the object with ``folder`` before its URI."""
        return self.model_copy(update={"uri": f"{folder}/{self.uri}"})


@dataclass(frozen=True, kw_only=True)
class StageReceipt:
    """What one run of a stage read and wrote.

    Attributes:
        run_id: id of the run.
        source: name of the source.
        logical_date: the UTC day.
        inputs: the facts that decide the output, see ``network_anomalies.runs.inputs``.
        outputs: the objects and files that were written.
        inputs_sha256: digest of ``inputs``. The registry sets it; a node leaves it empty. It is also empty if an
            earlier version, which did not record inputs, recorded the run.
    """

    run_id: str
    source: str
    logical_date: date
    inputs: Mapping[str, str]
    outputs: Sequence[LakeObject] = ()
    inputs_sha256: str = ""

    def locate(self, folder: str, files: Sequence[LakeObject] = ()) -> Self:
        """Return the receipt with ``folder`` before the URIs of its outputs, and with ``files`` after them."""
        return replace(self, outputs=(*(output.put_into(folder) for output in self.outputs), *files))
