"""The lake and the registry of an environment, opened without a pipeline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from sqlalchemy import Engine

from network_anomalies.datasets.lake import open_lake
from network_anomalies.errors import ProjectError
from network_anomalies.parameters import AlertsParameters, DeliveryParameters, RetentionParameters
from network_anomalies.registry.engine import connect, migrate, read_version


@dataclass(frozen=True)
class StoredFile:
    """A file of the lake or of the local copies."""

    path: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True)
class Clock:
    """The present instant, and whether it comes from the store or from this machine."""

    now: datetime
    is_the_stores: bool


@dataclass(frozen=True)
class Stores:
    """An environment's stores.

    Attributes:
        engine: the registry.
        lake: the filesystem that holds the buckets.
        buckets: paths of the buckets on ``lake``, by layer (`raw`, `quarantine`, ...).
        uris: the same buckets as they are in the registry: URLs, or paths relative to the project's root.
        local_copies: folder of `ingested_events`.
        retention: the ages from which ``prune`` deletes.
        alerts: for how long a dismissal counts, and so on.
        delivery: how alerts are sent to a webhook.
        webhook: its credentials, ``url`` and ``token``; empty if there are none.
    """

    engine: Engine
    lake: Any
    buckets: dict[str, str]
    uris: dict[str, str]
    local_copies: Path
    retention: RetentionParameters
    alerts: AlertsParameters
    delivery: DeliveryParameters
    webhook: dict[str, str | None] = field(default_factory=dict, repr=False)

    def locate(self, uri: str) -> str | None:
        """Return the path on ``lake`` of a URI of the registry, None if it is in no bucket."""
        for layer, root in self.uris.items():
            if uri.startswith(f"{root}/"):
                return self.buckets[layer] + uri.removeprefix(root)
        return None


def load_stores(env: str | None, project_path: Path | None = None) -> Stores:
    """Open the stores that the configuration of ``env`` names; this reads and makes nothing.

    Relative paths of the configuration are relative to the project's root, as in a run.
    """
    with settings.SESSION_CLASS.create(project_path, env=env) as session:
        context = session.load_context()
        config, root = context.config_loader, context.project_path
        places, credentials, parameters = (config[name] for name in ("globals", "credentials", "parameters"))
        lake, base = open_lake(_anchor(places["lake"], root), credentials["minio"])
        return Stores(
            engine=connect(credentials["postgres"]["con"]),
            lake=lake,
            buckets={layer: f"{base}/{name}".lstrip("/" * (not base)) for layer, name in places["buckets"].items()},
            uris={layer: f"{places['lake']}{name}" for layer, name in places["buckets"].items()},
            local_copies=root / config["catalog"]["ingested_events"]["lake"]["path"],
            retention=parameters["retention"],
            alerts=parameters["alerts"],
            delivery=parameters["delivery"],
            webhook=_read_webhook(credentials),
        )


def _read_webhook(credentials: Mapping[str, Any]) -> dict[str, str | None]:
    webhook = credentials.get("webhook") or {}
    if not isinstance(webhook, dict):
        raise ProjectError("the credentials webhook are no url and token: write `webhook: {url: ..., token: ...}`")
    return webhook


def setup_stores(stores: Stores) -> Iterator[str]:
    """Make the buckets and the schema if they are missing; yield a line for each of them."""
    for bucket in stores.buckets.values():
        is_new = _make_bucket(stores.lake, bucket)
        yield f"bucket {Path(bucket).name}: {'made' if is_new else 'there'}"
    before = read_version(stores.engine)
    migrate(stores.engine)
    after = read_version(stores.engine)
    change = f"there, version {after}" if before == after else f"made version {after} from {before or 'nothing'}"
    yield f"registry schema: {change}"


def read_clock(stores: Stores) -> Clock:
    """Return the time of the store, because its clock gave the files their times.

    For a local lake, and for a store whose answers have no date, it is this machine's time.
    """
    if "s3" in stores.lake.protocol:
        answer = stores.lake.call_s3("head_bucket", Bucket=stores.buckets["raw"])
        if sent := answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date"):
            return Clock(parsedate_to_datetime(sent), is_the_stores=True)
    return Clock(datetime.now(UTC), is_the_stores=False)


def list_files(filesystem: Any, folder: str) -> list[StoredFile]:
    """Return every file below a folder, by path; none if there is no such folder."""
    filesystem.invalidate_cache(folder)
    files = filesystem.find(folder, detail=True) if filesystem.exists(folder) else {}
    return [StoredFile(path, int(info["size"]), _modified(info)) for path, info in sorted(files.items())]


def _make_bucket(lake: Any, bucket: str) -> bool:
    """Make a bucket and return True; return False if it exists, or if another process makes it meanwhile."""
    if lake.exists(bucket):
        return False
    try:
        lake.mkdir(bucket)
    except FileExistsError:
        return False
    return True


def _anchor(url: str, root: Path) -> str:
    return url if "://" in url else str(root / url)


def _modified(info: dict[str, Any]) -> datetime:
    moment: datetime = info.get("LastModified") or datetime.fromtimestamp(info["mtime"], UTC)
    return moment
