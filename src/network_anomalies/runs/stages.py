"""The pipelines a day goes through, which of them a name stands for, and what kind of events they take."""

from collections.abc import Collection, Iterable

INGESTION = ("ingestion", "log_ingestion")
MODELLING = ("transformation", "training", "evaluation", "registration", "scoring")
STAGES = (*INGESTION, *MODELLING)
"""In the order in which a day goes through them. A day goes through one of the first two, by the kind of its source."""
GROUPS = {
    "modelling": MODELLING,
    "full": ("ingestion", *MODELLING),
    "log_full": ("log_ingestion", *MODELLING),
}
"""Pipelines that are made of others.

`modelling` goes from committed RAW to alerts. `full` is ingestion and modelling, and `log_full` the same for real logs.
"""
DEFAULT = "full"
"""What `kedro run` runs; Kedro's name for it is `__default__`."""


def list_stages(names: Iterable[str]) -> list[str]:
    """Return the pipelines that ``names`` stand for, each once, in the order in which a day goes through them.

    >>> list_stages(["scoring", "ingestion"])
    ['ingestion', 'scoring']
    """
    wanted = [stage for name in names for stage in _find_members(name)]
    return sorted(dict.fromkeys(wanted), key=lambda stage: STAGES.index(stage) if stage in STAGES else len(STAGES))


def _find_members(name: str) -> tuple[str, ...]:
    return GROUPS.get(DEFAULT if name == "__default__" else name, (name,))


def find_kind(datasets: Collection[str]) -> str | None:
    """Return the kind of source, ``synthetic`` or ``logs``, that a pipeline with these datasets ingests.

    None if it ingests nothing.
    """
    if "log_files" in datasets:
        return "logs"
    return "synthetic" if "synthetic_day" in datasets else None
