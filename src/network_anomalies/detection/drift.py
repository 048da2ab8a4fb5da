"""How far a distribution has moved from another."""

import numpy as np

SMALLEST_SHARE = 1e-4
"""An empty bin counts as this share, since the logarithm of 0 is not finite."""


def measure_stability(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the population stability index of shares against the expected shares of the same bins.

    PSI is the sum of (a - e) ln(a / e) over bins with expected share e and actual share a. It is an effect size, unlike
    a p-value, which any difference makes small if there are flows enough; of few flows it says nothing. By the usual
    rule of thumb 0.1 to 0.25 is a moderate shift and more is a large one.

    >>> measure_stability(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    0.0
    """
    wanted, found = np.maximum(expected, SMALLEST_SHARE), np.maximum(actual, SMALLEST_SHARE)
    return float(np.sum((found - wanted) * np.log(found / wanted)))
