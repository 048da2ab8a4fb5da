"""Maintenance of the lake and the registry: setup, doctor, verify, restore, prune, replay."""

from network_anomalies.upkeep.lake_verdicts import restore_verdicts
from network_anomalies.upkeep.prune import prune_stores
from network_anomalies.upkeep.restore import Restoration, restore_registry
from network_anomalies.upkeep.snapshot import Range
from network_anomalies.upkeep.stores import Stores, load_stores, read_clock, setup_stores
from network_anomalies.upkeep.verify import Verification, verify_stores

__all__ = [
    "Range",
    "Restoration",
    "Stores",
    "Verification",
    "load_stores",
    "prune_stores",
    "read_clock",
    "restore_registry",
    "restore_verdicts",
    "setup_stores",
    "verify_stores",
]
