"""What rollouts say about steps: values, importance, each with interval, n and null floor.

Measures are pure: they take `Draws` (outcomes and answers of the rollouts through a prefix) and return `Estimate`s.

    draws = chain_draws(run, chain, scorer_id="answers/1")   # one for each prefix of the chain
    curve = value_curve(draws)                               # V, with the bounds that truncated rollouts leave
    steps = importance(draws)                                # ΔV of each step, with null floor, p and q
    probs = smooth_curve(counts, S)                          # outcome curve from few draws a position
    _, curve = chain_curve(run, chain, scorer_id=…)          # the same of a chain, with its forks
    luck = chain_progress(run, chain, scorer_id=…)           # lucky, steady or undecided
    fixed = chain_determinism(run, chain, scorer_id=…)       # how alike what follows is, by steps kept
"""

from cotlab.measures.branches import Branch, Branching, chain_branchings, chain_curve
from cotlab.measures.curve import value_curve
from cotlab.measures.determinism import Control, Determinism, chain_determinism, greedy_control
from cotlab.measures.effects import importance, step_effect
from cotlab.measures.forks import Change, OutcomeCurve, outcome_curve
from cotlab.measures.pivotal import TokenEffect, token_effects
from cotlab.measures.progress import Progress, progress
from cotlab.measures.run_progress import chain_progress
from cotlab.measures.smoothing import CurvePosterior, curve_paths, curve_posterior, smooth_curve
from cotlab.trees import Draws, Value, chain_draws, value

__all__ = [
    "Branch",
    "Branching",
    "Change",
    "Control",
    "CurvePosterior",
    "Determinism",
    "Draws",
    "OutcomeCurve",
    "Progress",
    "TokenEffect",
    "Value",
    "chain_branchings",
    "chain_curve",
    "chain_determinism",
    "chain_draws",
    "chain_progress",
    "curve_paths",
    "curve_posterior",
    "greedy_control",
    "importance",
    "outcome_curve",
    "progress",
    "smooth_curve",
    "step_effect",
    "token_effects",
    "value",
    "value_curve",
]
