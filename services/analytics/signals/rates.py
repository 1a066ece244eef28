"""What a few events say of a rate: Wilson's interval, which also holds for tiny samples. Pure."""

from math import log, sqrt

CONFIDENCE_Z = 2.576
"""Two-sided 99%: the lower end lies above the true rate once in two hundred windows."""


def wilson(events: float, trials: float, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """The lower and upper end of a rate of which `events` in `trials` were seen; 0 and 1 where nothing was."""
    if trials <= 0:
        return 0.0, 1.0
    rate = min(events / trials, 1.0)
    square = z * z
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    reach = z * sqrt(rate * (1 - rate) / trials + square / (4 * trials * trials)) / (1 + square / trials)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def noise_of_distance(shares: list[float], requests: int, chance: float = 0.001) -> float:
    """How far `requests` drawn from a mix lie from it by chance, in total variation: exceeded once in a thousand windows.

    The mean is bounded by Jensen (each share's deviation by its standard deviation), what goes beyond it by McDiarmid:
    one request moves the distance by 1/n at most.
    """
    if requests <= 0:
        return 1.0
    mean = sum(sqrt(share * (1 - share) / requests) for share in shares) / 2
    return min(1.0, mean + sqrt(log(1 / chance) / (2 * requests)))
