"""The stages of a day, the groups of stages, and the kind of events that a pipeline ingests."""

from collections.abc import Collection, Iterable

INGESTION = ("ingestion", "log_ingestion")
MODELLING = ("transformation", "training", "evaluation", "registration", "scoring")
STAGES = (*INGESTION, *MODELLING)
"""In the order in which they run. A day has one of the first two, depending on the kind of its source."""
GROUPS = {
    "modelling": MODELLING,
    "full": ("ingestion", *MODELLING),
    "log_full": ("log_ingestion", *MODELLING),
}
"""Pipelines that consist of stages. `modelling` goes from committed RAW to alerts."""
DEFAULT = "full"
"""The pipeline that `kedro run` runs; Kedro calls it `__default__`."""


def list_stages(names: Iterable[str]) -> list[str]:
    """Return the pipelines that ``names`` consist of, each once, in the order in which they run.

    >>> list_stages(["scoring", "ingestion"])
    ['ingestion', 'scoring']
    """
    groups = GROUPS | {"__default__": GROUPS[DEFAULT]}
    members = [stage for name in names for stage in groups.get(name, (name,))]
    return sorted(dict.fromkeys(members), key=lambda stage: STAGES.index(stage) if stage in STAGES else len(STAGES))


def find_kind(datasets: Collection[str]) -> str | None:
    """Return the kind of source, ``synthetic`` or ``logs``, that a pipeline with these datasets ingests, or None."""
    if "log_files" in datasets:
        return "logs"
    return "synthetic" if "synthetic_day" in datasets else None
