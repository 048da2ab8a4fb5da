"""From findings to alerts: what somebody answers for is suppressed, the rest kept up to a budget."""

from collections.abc import Sequence
from datetime import date
from ipaddress import ip_address, ip_network
from typing import Protocol

import numpy as np
import pandas as pd

from network_anomalies.detection.limits import DEFAULT_LIMITS, SeverityLimits

SEVERITIES = ("low", "medium", "high", "critical")


class Allowed(Protocol):
    """An exception: an address or network, a kind or ``*``, who answers for it, and the last day it holds."""

    entity: str
    owner: str
    expires: date

    @property
    def kind(self) -> str:
        """One of ``TECHNIQUES``, or ``*``."""


def allow_findings(findings: pd.DataFrame, allowlist: Sequence[Allowed], logical_date: date) -> pd.DataFrame:
    """Return findings with ``suppressed_by``: the owner of the first exception that holds on the date, or null."""
    owner = pd.Series(None, index=findings.index, dtype="object")
    addresses = [ip_address(entity) for entity in findings["entity"]]
    for allowed in allowlist:
        network = ip_network(allowed.entity)
        within = np.array([address in network for address in addresses], dtype=bool)
        of_kind = (allowed.kind == "*") | (findings["kind"] == allowed.kind)
        if logical_date <= allowed.expires:
            owner = owner.mask(owner.isna() & within & of_kind, allowed.owner)
    return findings.assign(suppressed_by=owner)


def take_budget(findings: pd.DataFrame, budget: int) -> pd.DataFrame:
    """Return the findings that nobody answers for, the highest scores first, at most ``budget``."""
    return findings[findings["suppressed_by"].isna()].nlargest(budget, "score", keep="first")


def rate_severity(scores: pd.Series, limits: SeverityLimits = DEFAULT_LIMITS.severity) -> np.ndarray:
    """Return the severity of each score: the highest one whose limit it reaches, else ``low``."""
    edges = (limits.medium, limits.high, limits.critical)
    rated: np.ndarray = np.array(SEVERITIES)[np.searchsorted(edges, scores, side="right")]
    return rated
