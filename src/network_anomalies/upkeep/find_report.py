"""Where the daily report of a source lies."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import mkdtemp

from network_anomalies.errors import ProjectError
from network_anomalies.registry.overview import list_sources
from network_anomalies.registry.stage_log import read_stages
from network_anomalies.upkeep.stores import Stores


@dataclass(frozen=True)
class ReportPlace:
    """A report in the lake.

    Attributes:
        address: its absolute path, or its URL in the object store.
        path: its path on the filesystem of the lake.
    """

    address: str
    path: str


def find_report(stores: Stores, root: Path, source: str | None, day: date | None) -> ReportPlace:
    """Return the place of the report that the latest scoring of a day wrote.

    Args:
        stores: of the environment.
        root: of the project.
        source: whose day; None for the only source.
        day: which; None for the latest that was scored.

    Raises:
        ProjectError: there is no such report, or several sources to choose from.
    """
    name = source or _find_only_source(stores)
    events = {event["logical_date"]: event for event in read_stages(stores.engine, name, ["scoring"])}
    chosen = day or max(events, default=None)
    if chosen not in events:
        wanted = f"source={name}" + (f",logical_date={day}" if day else "")
        others = f"; the last of its {len(events)} days with a report is {max(events)}" if events else ""
        on = f" on {day}" if day else ""
        raise ProjectError(
            f"source {name} has no report{on}: run `kedro run --pipelines modelling --params {wanted}`{others}"
        )
    uris = [output["uri"] for output in events[chosen]["outputs"] if output["uri"].endswith("/report.html")]
    path = stores.locate(uris[0]) if uris else None
    if path is None or not stores.lake.exists(path):
        wanted = f"source={name},logical_date={chosen}"
        raise ProjectError(
            f"the report of {name} on {chosen} is no longer in the lake: "
            f"run `kedro run --pipelines scoring --params {wanted}`"
        )
    return ReportPlace(uris[0] if "://" in uris[0] else str((root / uris[0]).resolve()), path)


def bring_report(stores: Stores, place: ReportPlace) -> str:
    """Return a URL that a browser of this machine can open; a report of an object store is copied first."""
    if "://" not in place.address:
        return Path(place.address).as_uri()
    copy = Path(mkdtemp(prefix="network-anomalies-")) / "report.html"
    stores.lake.get_file(place.path, str(copy))
    return copy.as_uri()


def _find_only_source(stores: Stores) -> str:
    names = list(list_sources(stores.engine))
    if len(names) == 1:
        return names[0]
    if not names:
        raise ProjectError("there is no source yet: run `kedro run` for synthetic events, or log_full for logs")
    raise ProjectError(f"there are {len(names)} sources: choose one with --source, of {', '.join(names)}")
