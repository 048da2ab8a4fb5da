"""The pipelines a day goes through, and which of them a name stands for."""

from collections.abc import Collection, Iterable

INGESTION = ("ingestion", "log_ingestion")
MODELLING = ("transformation", "training", "evaluation", "registration", "scoring")


def list_stages(names: Iterable[str], registered: Collection[str]) -> list[str]:
    """Return the pipelines that ``names`` stand for, each once, in the order in which a day goes through them.

    `full` and `__default__` stand for ingestion and those modelling pipelines that are registered.

    >>> list_stages(["scoring", "full"], {"ingestion", "full", "transformation", "scoring"})
    ['ingestion', 'transformation', 'scoring']
    """
    full = ("ingestion", *(stage for stage in MODELLING if stage in registered))
    wanted = [stage for name in names for stage in (full if name in ("full", "__default__") else (name,))]
    order = (*INGESTION, *MODELLING)
    return sorted(dict.fromkeys(wanted), key=lambda stage: order.index(stage) if stage in order else len(order))
