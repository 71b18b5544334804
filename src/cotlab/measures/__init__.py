"""What rollouts say about steps: values, importance, each with interval, n and null floor.

Measures are pure: they take `Draws` (outcomes and answers of the rollouts through a prefix) and return `Estimate`s.

    draws = chain_draws(run, chain, scorer_id="answers/1")   # one for each prefix of the chain
    curve = value_curve(draws)                               # V, with the bounds that truncated rollouts leave
    steps = importance(draws)                                # ΔV of each step, with null floor, p and q
"""

from cotlab.measures.curve import value_curve
from cotlab.measures.effects import importance, step_effect
from cotlab.trees import Draws, Value, chain_draws, value

__all__ = ["Draws", "Value", "chain_draws", "importance", "step_effect", "value", "value_curve"]
