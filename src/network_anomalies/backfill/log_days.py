"""Which days the log files hold flows of."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from network_anomalies.backfill.choices import Project
from network_anomalies.datasets.log_files import LogFilesDataset, expand_dates, widen_dates
from network_anomalies.formats import OpenFile, choose_formats
from network_anomalies.formats.log_file import describe_options
from network_anomalies.formats.slices import count_flows

logger = logging.getLogger(__name__)


def count_logged_flows(project: Project, days: Iterable[date] | None, today: date) -> Mapping[date, int]:
    """Read the log files of a project once, and count their flows by UTC day.

    Args:
        project: its parameters say where the files are.
        days: with ``{date}`` in the path, only files of these days and their neighbours are read; None reads all.
        today: flows of later days are left out.

    Raises:
        ProjectError: there are no files.
        ContractError: a file is not of a known format.
    """
    logs = project.choices.parameters.logs
    known, _ = choose_formats(_find_files(project, logs.path, days), logs.format, logs.skip_foreign)
    counts = count_flows(known, describe_options(logs), logs.block_bytes)
    if later := sum(count for day, count in counts.items() if day > today):
        logger.warning("%s flows are of days in the future, and are left out", later)
    return Counter({day: count for day, count in counts.items() if day <= today})


def _find_files(project: Project, path: str, days: Iterable[date] | None) -> dict[str, OpenFile]:
    wide = [widen_dates(path)] if days is None else [place for day in days for place in expand_dates(path, day)]
    datasets = [LogFilesDataset(path=place, credentials=project.lake) for place in dict.fromkeys(wide)]
    found = {name: open_file for dataset in datasets if dataset.exists() for name, open_file in dataset.load().items()}
    return found or datasets[0].load()
