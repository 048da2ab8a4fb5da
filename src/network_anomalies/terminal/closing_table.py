"""The table at the end of a run: what came in, the champion, the alerts, and what to type next."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from kedro.io import DataCatalog

from network_anomalies.errors import show_hidden
from network_anomalies.records.alert_counts import count_alerts
from network_anomalies.records.batch import describe_days
from network_anomalies.registry.alert_rows import read_alerts
from network_anomalies.registry.batches import read_batch, read_current, read_replaced
from network_anomalies.registry.incident_rows import read_incidents
from network_anomalies.registry.model_rows import read_champion
from network_anomalies.registry.run_rows import Run

Row = tuple[str, str]
"""A row of the table: what it is about, and what there is to say."""
MOST_SHOWN = 5
"""How many incidents the table names."""
DEFAULT_ENV = "embedded"


def describe_run(run: Run, made: set[str], catalog: DataCatalog, log: Path | None) -> Iterator[Row]:
    """Describe what a run did.

    Args:
        run: the run, closed.
        made: the datasets that it made.
        catalog: of the run.
        log: where its log lies, None if it has no file.
    """
    source, day = run.start.source, run.start.logical_date
    yield "run", f"{run.run_id}, source {source}, date {day}: {run.status}"
    if "ingestion_events" in made:
        yield from _describe_batch(run)
    if "quality_report" in made and (days := catalog.load("quality_report").get("other_days")):
        yield "not stored", f"flows of other days: {describe_days(days)}; `kedro backfill` stores them"
    if made & {"champion_model", "alerts"} and (champion := read_champion(run.engine, source, day)):
        yield "champion", f"version {champion.version}, {champion.model_uri}: {champion.reason}"
    if "realism_report" in made:
        report = catalog.load("realism_report")
        yield (
            "targets",
            f"{report['within'].sum()} of {len(report)} are met; report {_find_path(catalog, 'realism_report')}",
        )
    if "alerts" in made:
        yield from _describe_alerts(run, catalog)
    if log:
        yield "log", str(log)


def format_rows(rows: Sequence[Row]) -> str:
    """Return a table as text: wrapped to the width of the terminal, one line a row where the output goes elsewhere."""
    label = max(len(name) for name, _ in rows)
    if not sys.stdout.isatty():
        return "\n".join(f"{name:{label}}  {text}" for name, text in rows)
    width = max(shutil.get_terminal_size().columns - label - 3, 20)
    lines = [(name, part) for name, text in rows for name, part in _wrap(name, text, width)]
    return "\n".join(f"{name:{label}}  {part}".rstrip() for name, part in lines)


def _wrap(name: str, text: str, width: int) -> Iterator[Row]:
    """Yield a row's lines; a command or a path is not broken, so that it can be copied."""
    if name == "next":
        width = len(text)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    yield from zip([name, *[""] * (len(lines) - 1)], lines, strict=True)


def _describe_batch(run: Run) -> Iterator[Row]:
    start = run.start
    batch = read_batch(run.engine, start.source, start.logical_date)
    if batch is None:
        return
    uris = read_current(run.engine, start.source, start.logical_date)["object_uri"]
    unparsable = f", {batch['unparsable']} unparsable" if batch["unparsable"] else ""
    counts = f"{batch['lines_in']} lines in, {batch['accepted']} accepted, {batch['rejected']} rejected"
    yield "came in", counts + unparsable
    yield "stored", uris.iloc[0] if len(uris) == 1 else f"{len(uris)} objects in {uris.iloc[0].rpartition('/')[0]}"
    if batch["run_id"] == run.run_id and (replaced := read_replaced(run.engine, batch)):
        yield "replaces", f"revision {replaced['revision']} of the day, which had {replaced['accepted']} accepted"


def _describe_alerts(run: Run, catalog: DataCatalog) -> Iterator[Row]:
    source, day = run.start.source, run.start.logical_date
    counts, incidents = count_alerts(read_alerts(run.engine, source, day)), read_incidents(run.engine, source, day)
    yield "alerts", f"{counts.raised} raised, {counts.suppressed} suppressed"
    yield "incidents", str(len(incidents))
    for incident in incidents.head(MOST_SHOWN).itertuples():
        yield f"  {incident.severity}", show_hidden(f"{incident.incident_id} {incident.sentence}")
    if len(incidents) > MOST_SHOWN:
        yield "", f"and {len(incidents) - MOST_SHOWN} more"
    yield "report", _find_path(catalog, "daily_report")
    env = "" if run.start.env == DEFAULT_ENV else f" --env {run.start.env}"
    for incident in incidents.head(1).itertuples():
        yield "next", f"kedro alerts show {incident.incident_id}{env}"
    yield "next", f"kedro report --source {source} --date {day}{env} --open"


def _find_path(catalog: DataCatalog, name: str) -> str:
    entry = catalog.config_resolver.config[name]
    return str(entry.get("dataset", entry)["filepath"])
