"""Replay: keep the decisions on which target and log agree, and look at what came of them."""

from evaluation.score import Ratio
from models.batch import Floats


def replay(agreement: Floats, propensity: Floats, reward: Floats) -> tuple[Ratio, ...]:
    """Estimate policy value as the mean reward of the decisions where the target shows what the log showed.

        Σ_i (g_i / p_i) r_i / Σ_i g_i / p_i

    The weight 1/p corrects a log that was not uniform, and one whose titles have different numbers of artworks.

    Args:
        agreement: `(n,)` in [0, 1], g: 1 where the target's artwork is the logged one, else 0. For a target that draws,
            its probability of the logged artwork: the average over its draws, which is then `self_normalized` too.
        propensity: `(n,)`, p, in (0, 1].
        reward: `(n,)`, r.

    Source: Li, Chu, Langford, Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news article
    recommendation algorithms", for uniform logs; the weight is Horvitz and Thompson's (1952).
    """
    kept = agreement / propensity
    return (Ratio(kept * reward, kept, kept),)
