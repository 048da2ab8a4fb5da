"""What a stage leaves in the registry, and what the stages after it load: its receipt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]
"""A record as JSON, as it is written into a file or a column."""


class JsonRecord(BaseModel):
    """A record that is stored as JSON, in a file or in a column of the registry.

    Names that this version does not know are ignored, so that it reads what another version wrote.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_json(self) -> Json:
        """Return the record as JSON has it, without what was never set."""
        return self.model_dump(mode="json", exclude_unset=True)


class LakeObject(JsonRecord):
    """An object or a file of the lake.

    Attributes:
        uri: where it lies. A node names it relative to the folder of its dataset, which puts the folder before it.
        sha256: digest of its bytes, in hexadecimal digits.
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
        run_id: of the run.
        source: whose events.
        logical_date: of which UTC day.
        inputs: the facts that decide the output, see ``network_anomalies.runs.inputs``.
        outputs: the objects and files that were written.
        inputs_sha256: digest of ``inputs``, as the registry holds it. The registry sets it; a node leaves it empty.
            It is also empty where the run was recorded by a version that did not record inputs.
    """

    run_id: str
    source: str
    logical_date: date
    inputs: Mapping[str, str]
    outputs: Sequence[LakeObject] = ()
    inputs_sha256: str = ""

    def locate(self, folder: str, files: Sequence[LakeObject] = ()) -> Self:
        """Return the receipt with its outputs in ``folder``, and other ``files`` after them."""
        return replace(self, outputs=(*(output.put_into(folder) for output in self.outputs), *files))
