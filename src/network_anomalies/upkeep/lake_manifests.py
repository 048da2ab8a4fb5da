"""The manifests that lie in the lake, and what they say against the registry."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from network_anomalies.errors import ProjectError
from network_anomalies.registry.manifests import TABLES, Commit, ManifestName, decode_manifest, parse_name
from network_anomalies.upkeep.stores import StoredFile, Stores

AT_ONCE = 100
"""How many manifests are asked for together: a store across a network answers one after the other slowly."""


@dataclass(frozen=True)
class StoredManifest:
    """A manifest as it lies in the lake.

    Attributes:
        path: below the RAW bucket.
        name: what its name says.
        sha256: of its bytes.
        commit: the batch that it describes, None if it cannot be trusted.
        fault: why not, or "".
    """

    path: str
    name: ManifestName
    sha256: str
    commit: Commit | None
    fault: str = ""

    @property
    def day(self) -> tuple[str, date]:
        """Its source and date."""
        return self.name.source, self.name.logical_date


def read_manifests(stores: Stores, files: Iterable[StoredFile]) -> list[StoredManifest]:
    """Read and check those of some files of the RAW bucket that are manifests by their names, in their order."""
    root = stores.buckets["raw"]
    named = [(file.path, name) for file in files if (name := parse_name(file.path.removeprefix(f"{root}/")))]
    found = []
    for start in range(0, len(named), AT_ONCE):
        some = named[start : start + AT_ONCE]
        contents = stores.lake.cat([path for path, _ in some])
        found += [_check(path.removeprefix(f"{root}/"), name, contents[path]) for path, name in some]
    return found


def compare_commits(registered: Commit, stored: Commit) -> list[str]:
    """Return the differences between the registry's rows of a batch and those of its manifest, in words."""
    found = []
    for part, table in TABLES.items():
        keys = [column.name for column in table.primary_key.columns if column.name not in ("run_id", "name")]
        sides = (registered.rows(part), stored.rows(part))
        ours, theirs = ({tuple(row[name] for name in keys): row for row in rows} for rows in sides)
        for key in sorted(ours.keys() | theirs.keys()):
            owner = registered.batch["source"] if part == "source" else registered.name
            name = ", ".join([f"{table.name} of {owner}", *map("{} {}".format, keys, key)])
            if key not in ours or key not in theirs:
                found.append(f"{name}: the row is {'missing' if key not in ours else 'not in the manifest'}")
                continue
            found += [
                f"{name}: {column} is {ours[key][column]}, {value} in the manifest"
                for column, value in theirs[key].items()
                if ours[key][column] != value
            ]
    return found


def _check(path: str, name: ManifestName, data: bytes) -> StoredManifest:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return StoredManifest(path, name, sha256, decode_manifest(path, data))
    except ProjectError as error:
        return StoredManifest(path, name, sha256, None, error.message)
