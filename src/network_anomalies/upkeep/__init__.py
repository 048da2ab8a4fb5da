"""What keeps the lake and the registry sound: setup, verify, prune."""

from network_anomalies.upkeep.prune import prune_stores
from network_anomalies.upkeep.stores import Stores, load_stores, setup_stores
from network_anomalies.upkeep.verify import Verification, verify_stores

__all__ = ["Stores", "Verification", "load_stores", "prune_stores", "setup_stores", "verify_stores"]
