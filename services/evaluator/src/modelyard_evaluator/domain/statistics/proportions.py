"""Two paired proportions: McNemar's test and Newcombe's interval.

Sources: McNemar (1947) Psychometrika 12, 153; mid-p: Fagerland, Lydersen, Laake (2013) BMC Med Res Methodol 13:91;
interval: Newcombe (1998) Stat Med 17, 2635, method 10; Wilson (1927) JASA 22, 209.
"""

from math import sqrt

from scipy.stats import binom, norm

from modelyard_evaluator.domain.statistics import sequences
from modelyard_evaluator.domain.statistics.estimate import Bools, Estimate, Interval


def accuracy(
    champion_right: Bools, challenger_right: Bools, confidence: float, *, sequential: bool = False
) -> Estimate:
    """Share of right answers: McNemar's exact test (mid-p) and Newcombe's interval. Both of shape (rows,).

    sequential: a confidence sequence instead, of which each end holds with the confidence over all looks.
    """
    rows = len(champion_right)
    wins = int((challenger_right & ~champion_right).sum())
    losses = int((champion_right & ~challenger_right).sum())
    both = int((champion_right & challenger_right).sum())
    if sequential:
        interval = sequences.of_proportions(wins, losses, rows - wins - losses, 1 - confidence)
    else:
        low, high = paired_proportions_interval(both, wins, losses, rows - both - wins - losses, confidence)
        interval = Interval(low, high, mcnemar_mid_p(wins, losses), "McNemar exact mid-p, Newcombe interval")
    return Estimate(
        champion=(both + losses) / rows,
        challenger=(both + wins) / rows,
        difference=(wins - losses) / rows,
        **interval._asdict(),
        wins=wins,
        losses=losses,
    )


def mcnemar_mid_p(wins: int, losses: int) -> float:
    """Two-sided mid-p of McNemar's exact test over the discordant rows; 1 if there are none."""
    discordant = wins + losses
    if discordant == 0:
        return 1.0
    least = min(wins, losses)
    two_sided = 2 * binom.cdf(least, discordant, 0.5) - binom.pmf(least, discordant, 0.5)
    return float(min(1.0, two_sided))


def paired_proportions_interval(
    both: int, wins: int, losses: int, neither: int, confidence: float
) -> tuple[float, float]:
    """Interval of the difference (wins - losses) / rows of two paired proportions.

    both, wins, losses, neither: rows that both, only the challenger, only the champion and neither get right. The
    interval stays inside [-1, 1] and keeps its coverage with few discordant rows, where Wald's does not.
    """
    rows = both + wins + losses + neither
    new, old = (both + wins) / rows, (both + losses) / rows
    new_low, new_high = wilson(both + wins, rows, confidence)
    old_low, old_high = wilson(both + losses, rows, confidence)
    phi = _phi(both, wins, losses, neither)
    down = _spread(new - new_low, old_high - old, phi)
    up = _spread(new_high - new, old - old_low, phi)
    return new - old - down, new - old + up


def wilson(successes: int, rows: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion."""
    z = float(norm.ppf((1 + confidence) / 2))
    center = 2 * successes + z * z
    half = z * sqrt(z * z + 4 * successes * (1 - successes / rows))
    return (center - half) / (2 * (rows + z * z)), (center + half) / (2 * (rows + z * z))


def _phi(both: int, wins: int, losses: int, neither: int) -> float:
    """Correlation of the two proportions with Newcombe's continuity correction."""
    margins = (both + wins) * (losses + neither) * (both + losses) * (wins + neither)
    if margins == 0:
        return 0.0
    product = both * neither - wins * losses
    corrected = max(product - (both + wins + losses + neither) / 2, 0.0) if product > 0 else float(product)
    return corrected / sqrt(margins)


def _spread(one: float, other: float, phi: float) -> float:
    return sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))
