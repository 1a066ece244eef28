"""What a count of rare things says of their rate, exactly."""

from math import exp, lgamma, log


def _poisson_cdf(count: int, mean: float) -> float:
    return sum(exp(each * log(mean) - mean - lgamma(each + 1)) for each in range(count + 1)) if mean > 0 else 1.0


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """The mean under which so few, or fewer, are seen once in twenty times: the exact upper bound of a Poisson mean."""
    low, high = float(count), 4.0 * count + 20
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _poisson_cdf(count, middle) > 1 - confidence else (low, middle)
    return high


def binomial_lower(hits: int, trials: int, confidence: float = 0.95) -> float:
    """The chance under which so many hits, or more, are seen once in twenty times (Clopper and Pearson)."""
    if hits == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_least(hits, trials, middle) < 1 - confidence else (low, middle)
    return low


def _at_least(hits: int, trials: int, chance: float) -> float:
    if chance in {0.0, 1.0}:
        return chance
    return sum(
        exp(lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(chance) + (trials - k) * log(1 - chance))
        for k in range(hits, trials + 1)
    )
