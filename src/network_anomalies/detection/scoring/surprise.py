"""Surprise: -ln of the share of the reference that is as unusual, or more so."""

import numpy as np

from network_anomalies.detection.scoring.features import FEATURES

MASS_UNIT = 2**24  # the mass of a conversation-hour; whole numbers add up to the same sum in any order
_LEAST_EXCESS = 2  # levels, a factor of 1.28: a narrow tail must not make its neighbours surprising


def compute_surprise(name: str, masses: np.ndarray, added: int, edge: float, cap: float) -> np.ndarray:
    """Return the surprise of each level of a feature in nats: the larger one of both ways to weigh.

    Args:
        name: of the feature.
        masses: of the reference, an array (2, levels): by flows, and by conversation-hours in ``MASS_UNIT``.
        added: 1 if the judged row is outside the reference, and so added to it; else 0.
        edge: beyond this share of the reference a two-sided feature surprises by distance, see ``_extend``.
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
    low, high = _extend(sides[0], masses[1], edge), _extend(sides[1][::-1], masses[1][::-1], edge)
    either = np.maximum(np.maximum(low, high[::-1]) - np.log(2), 0.0)
    return np.asarray(np.minimum(either, cap))


def _tail_surprise(mass: np.ndarray, unit: int, added: int, side: str) -> np.ndarray:
    """Return -ln of the share of the mass at or beyond each level, a judged row outside it counted in."""
    at_or_beyond = np.cumsum(mass) if side == "low" else np.cumsum(mass[::-1])[::-1]
    share = np.maximum(at_or_beyond + added * unit, unit) / max(int(mass.sum()) + added * unit, unit)
    surprise: np.ndarray = -np.log(np.minimum(share, 1.0))
    return surprise


def _extend(surprise: np.ndarray, mass: np.ndarray, tail: float) -> np.ndarray:
    """Let surprise grow with the distance below the lowest level that is within ``tail`` (levels ascending).

    Peaks over threshold: what lies beyond a high threshold falls off about exponentially, by the mean excess over it
    (Pickands 1975, with shape 0). So a value far beyond all others counts, however few others there are.
    """
    edge = int(np.argmax(surprise <= -np.log(tail)))
    distance = edge - np.arange(len(surprise))
    beyond = mass[:edge].sum()
    excess = (mass[:edge] * distance[:edge]).sum() / beyond if beyond else 0.0
    return np.where(distance > 0, -np.log(tail) + distance / max(excess, _LEAST_EXCESS), surprise)
