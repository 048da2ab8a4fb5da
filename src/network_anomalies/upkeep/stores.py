"""The lake and the registry of an environment, opened without a pipeline."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from sqlalchemy import Engine

from network_anomalies.lake import open_lake
from network_anomalies.parameters import RetentionParameters
from network_anomalies.registry.engine import connect, migrate, read_version


@dataclass(frozen=True)
class StoredFile:
    """A file of the lake or of the local copies."""

    path: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True)
class Stores:
    """An environment's stores.

    Attributes:
        engine: the registry.
        lake: the filesystem that holds the buckets.
        buckets: bucket paths on it, by layer (`raw`, `quarantine`, ...).
        local_copies: folder of `ingested_events`.
        retention: the ages at which ``prune`` deletes.
    """

    engine: Engine
    lake: Any
    buckets: dict[str, str]
    local_copies: Path
    retention: RetentionParameters


def load_stores(env: str | None, project_path: Path | None = None) -> Stores:
    """Open the stores that the configuration of ``env`` names; nothing is read or made yet."""
    with settings.SESSION_CLASS.create(project_path, env=env) as session:
        context = session.load_context()
        config, root = context.config_loader, context.project_path
        places, credentials = config["globals"], config["credentials"]
        lake, base = open_lake(_anchor(places["lake"], root), credentials["minio"])
        return Stores(
            engine=connect(credentials["postgres"]["con"]),
            lake=lake,
            buckets={layer: f"{base}/{name}".lstrip("/" * (not base)) for layer, name in places["buckets"].items()},
            local_copies=root / config["catalog"]["ingested_events"]["path"],
            retention=RetentionParameters(**config["parameters"]["retention"]),
        )


def setup_stores(stores: Stores) -> Iterator[str]:
    """Make what is missing, and say of each thing whether it was made or there."""
    for bucket in stores.buckets.values():
        there = stores.lake.exists(bucket)
        if not there:
            stores.lake.mkdir(bucket)
        yield f"bucket {Path(bucket).name}: {'there' if there else 'made'}"
    before = read_version(stores.engine)
    migrate(stores.engine)
    after = read_version(stores.engine)
    done = f"there, version {after}" if before == after else f"made version {after} from {before or 'nothing'}"
    yield f"registry schema: {done}"


def list_files(filesystem: Any, folder: str) -> list[StoredFile]:
    """Return every file below a folder, none if the folder is not there, in order of the paths."""
    found = filesystem.find(folder, detail=True) if filesystem.exists(folder) else {}
    return [StoredFile(path, int(info["size"]), _modified(info)) for path, info in sorted(found.items())]


def _anchor(url: str, root: Path) -> str:
    return url if "://" in url else str(root / url)


def _modified(info: dict[str, Any]) -> datetime:
    moment: datetime = info.get("LastModified") or datetime.fromtimestamp(info["mtime"], UTC)
    return moment
