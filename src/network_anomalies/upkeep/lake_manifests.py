"""The manifests in the lake, and how they differ from the registry."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from network_anomalies.errors import ProjectError
from network_anomalies.registry.manifests import TABLES, Commit, ManifestName, decode_manifest, parse_name
from network_anomalies.upkeep.stores import StoredFile, Stores

AT_ONCE = 100
"""Number of manifests that are fetched together: one by one, a store across a network would take long."""


@dataclass(frozen=True)
class StoredManifest:
    """A manifest in the lake: its path below the RAW bucket, the parts of the path, and the sha256 of its bytes.

    ``commit`` is the batch that it describes. If it cannot be trusted, ``commit`` is None and ``fault`` says why.
    """

    path: str
    name: ManifestName
    sha256: str
    commit: Commit | None
    fault: str = ""

    @property
    def day(self) -> tuple[str, date]:
        """Source and date."""
        return self.name.source, self.name.logical_date


def read_manifests(stores: Stores, files: Iterable[StoredFile]) -> list[StoredManifest]:
    """Read and check the files of the RAW bucket that have the name of a manifest, in their order."""
    root = stores.buckets["raw"]
    listed = [(file.path, name) for file in files if (name := parse_name(file.path.removeprefix(f"{root}/")))]
    manifests = []
    for start in range(0, len(listed), AT_ONCE):
        block = listed[start : start + AT_ONCE]
        contents = stores.lake.cat([path for path, _ in block])
        manifests += [_check(path.removeprefix(f"{root}/"), name, contents[path]) for path, name in block]
    return manifests


def compare_commits(registered: Commit, stored: Commit) -> list[str]:
    """Return the differences between the registry's rows of a batch and those of its manifest, in words."""
    differences = []
    for part, table in TABLES.items():
        keys = [column.name for column in table.primary_key.columns if column.name not in ("run_id", "name")]
        rows, listed = (
            {tuple(row[name] for name in keys): row for row in commit.rows(part)} for commit in (registered, stored)
        )
        owner = registered.batch["source"] if part == "source" else registered.name
        for key in sorted(rows.keys() | listed.keys()):
            name = ", ".join([f"{table.name} of {owner}", *map("{} {}".format, keys, key)])
            if key not in rows or key not in listed:
                differences.append(f"{name}: the row is {'missing' if key not in rows else 'not in the manifest'}")
                continue
            differences += [
                f"{name}: {column} is {rows[key][column]}, {value} in the manifest"
                for column, value in listed[key].items()
                if rows[key][column] != value
            ]
    return differences


def _check(path: str, name: ManifestName, data: bytes) -> StoredManifest:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return StoredManifest(path, name, sha256, decode_manifest(path, data))
    except ProjectError as error:
        return StoredManifest(path, name, sha256, None, error.message)
