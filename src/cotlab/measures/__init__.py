"""What rollouts say about steps: values, importance, each with interval, n and null floor.

Measures are pure: they take `Draws` (outcomes and answers of the rollouts through a prefix) and return `Estimate`s.

    draws = chain_draws(run, chain, scorer_id="answers/1")   # one for each prefix of the chain
    curve = value_curve(draws)                               # V, with the bounds that truncated rollouts leave
    steps = importance(draws)                                # ΔV of each step, with null floor, p and q
    probs = smooth_curve(counts, S)                          # outcome curve from few draws a position
"""

from cotlab.measures.curve import value_curve
from cotlab.measures.effects import importance, step_effect
from cotlab.measures.smoothing import CurvePosterior, curve_paths, curve_posterior, smooth_curve
from cotlab.trees import Draws, Value, chain_draws, value

__all__ = [
    "CurvePosterior",
    "Draws",
    "Value",
    "chain_draws",
    "curve_paths",
    "curve_posterior",
    "importance",
    "smooth_curve",
    "step_effect",
    "value",
    "value_curve",
]
