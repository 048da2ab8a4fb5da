"""Named detectors: what scans, brute force, floods, leaks, beacons, lateral movement and new services look like.

Each looks at a day's summary beside the history of the past. What a host, pair or destination did before is normal.
Without a past the rest of the day stands for it: normal is what others do too, and the limits are higher.
"""

import pandas as pd

from network_anomalies.detection.alerts.findings import rank_findings
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.detection.rules.beacons import find_beacons
from network_anomalies.detection.rules.dialogues import ObservedDay
from network_anomalies.detection.rules.intrusion import (
    find_brute_force,
    find_lateral_movement,
    find_scans,
    find_vertical_scans,
)
from network_anomalies.detection.rules.services import find_new_services
from network_anomalies.detection.rules.volume import find_exfiltration, find_floods
from network_anomalies.detection.scoring.history import History
from network_anomalies.detection.scoring.summary import Summary


def detect(summary: Summary, history: History | None = None, limits: DetectorLimits = DEFAULT_LIMITS) -> pd.DataFrame:
    """Return the findings of all named detectors on a day, the highest score first.

    Args:
        summary: of the day.
        history: of the past, without that day; None, or one of too few hours, makes the detectors stricter.
        limits: of the detectors.

    Returns:
        Frame of ``FINDING_COLUMNS``, one row per entity and kind: ``kind``, ``entity`` (an address), ``peer`` (an
        address or ""), ``first_seen``, ``last_seen`` (UTC), ``flows``, ``protocol`` and ``service`` (a port) that all
        these flows share ("" and -1 if they do not), the ``fact`` that was counted, its ``value`` and the ``limit``
        that it passed, ``score`` (50 to 100), ``sentence`` and ``technique`` (MITRE ATT&CK).
    """
    return rank_findings(find_attacks(summary, history, limits))


def find_attacks(
    summary: Summary, history: History | None = None, limits: DetectorLimits = DEFAULT_LIMITS
) -> list[pd.DataFrame]:
    """Return what each named detector finds on a day, as ``detect`` does, with all findings of an entity."""
    day = ObservedDay(summary, history, limits)
    intrusion = (find_scans, find_vertical_scans, find_brute_force, find_lateral_movement)
    detectors = (*intrusion, find_floods, find_exfiltration, find_beacons, find_new_services)
    return [find(day) for find in detectors]
