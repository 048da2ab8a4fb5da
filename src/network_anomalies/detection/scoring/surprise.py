"""Surprise: -ln of the share of the reference that is as unusual, or more so."""

import numpy as np

from network_anomalies.detection.scoring.features import FEATURES, LEVELS_PER_E

MASS_UNIT = 2**24  # the mass of a conversation-hour; whole numbers add up to the same sum in any order


def compute_surprise(name: str, masses: np.ndarray, added: int, edge: float, cap: float) -> np.ndarray:
    """Return the surprise of each level of a feature in nats: the larger one of both ways to weigh.

    Args:
        name: of the feature.
        masses: of the reference, an array (2, levels): by flows, and by conversation-hours in ``MASS_UNIT``.
        added: 1 if the judged row is outside the reference, and so added to it; else 0.
        edge: beyond this share of the reference a two-sided feature surprises by distance.
        cap: the largest surprise.
    """
    feature = FEATURES[name]
    sides = []
    for side in ("low", "high"):
        if feature.side in (side, "both"):
            weighed = zip(masses, (1, MASS_UNIT), strict=True)
            sides.append(np.maximum(*(_tail_surprise(mass, unit, added, side) for mass, unit in weighed)))
    if feature.side != "both":
        return np.asarray(np.minimum(sides[0], cap))
    low, high = (_stretch(each, edge) for each in (sides[0], sides[1][::-1]))
    either = np.maximum(np.maximum(low, high[::-1]) - np.log(2), 0.0)
    return np.asarray(np.minimum(either, cap))


def _tail_surprise(mass: np.ndarray, unit: int, added: int, side: str) -> np.ndarray:
    """Return -ln of the share of the mass at or beyond each level, a judged row outside it counted in."""
    at_or_beyond = np.cumsum(mass) if side == "low" else np.cumsum(mass[::-1])[::-1]
    share = np.maximum(at_or_beyond + added * unit, unit) / max(int(mass.sum()) + added * unit, unit)
    surprise: np.ndarray = -np.log(np.minimum(share, 1.0))
    return surprise


def _stretch(surprise: np.ndarray, tail: float) -> np.ndarray:
    """Let surprise grow by 1 per factor of e below the lowest level that is within ``tail`` (levels ascending)."""
    edge = int(np.argmax(surprise <= -np.log(tail)))
    distance = edge - 1 - np.arange(len(surprise))
    return np.where(distance >= 0, -np.log(tail) + distance / LEVELS_PER_E, surprise)
