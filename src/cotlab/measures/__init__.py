"""What rollouts say about steps: values, importance, each with interval, n and null floor.

Measures are pure: they take `Draws` (outcomes and answers of the rollouts through a prefix), or `ChainRollouts` (the
same for a whole chain, with what the rollouts say), and return `Estimate`s.

    draws = chain_draws(run, chain, scorer_id="answers/1")   # one for each prefix of the chain
    curve = value_curve(draws)                               # V, with the bounds that truncated rollouts leave
    steps = importance(draws)                                # ΔV of each step, with null floor, p and q

    data = chain_rollouts(run, chain, scorer_id="answers/1")
    counterfactual_importance(data, similarity)              # where something else is said instead
    published_importance(data, similarity)                   # the published arithmetic of Thought Anchors

Formulas, sources, intervals and what they are worth: docs/measures.md.
"""

from cotlab.measures.along_chain import ChainRollouts, chain_rollouts
from cotlab.measures.avoided import AvoidedDraws, avoiding_effect, interaction, resilience, subsets
from cotlab.measures.catalogue import MEASURES, MeasuredStep, measure_steps
from cotlab.measures.contrast import METRICS, Metric, checked_metric, contrast
from cotlab.measures.counterfactual import (
    counterfactual_importance,
    different_trajectories,
    is_different,
    overdeterminedness,
)
from cotlab.measures.curve import value_curve
from cotlab.measures.effects import importance, step_effect
from cotlab.measures.forced import ForcedAnswers, forced_answers, forced_importance
from cotlab.measures.on_policy import OnPolicyEffect, on_policy_effect
from cotlab.measures.prefix_draws import edited_prefixes, forced_prefixes, prefix_draws, rollout_draws
from cotlab.measures.sentence import SentenceImportance, sentence_importance
from cotlab.measures.similarity import ExactKey, ExactState, ExactText, Similarity, alike, in_place, load_similarity
from cotlab.measures.thought_anchors import PublishedStep, published_forced, published_importance
from cotlab.trees import Draws, Value, chain_draws, value

__all__ = [
    "MEASURES",
    "METRICS",
    "AvoidedDraws",
    "ChainRollouts",
    "Draws",
    "ExactKey",
    "ExactState",
    "ExactText",
    "ForcedAnswers",
    "MeasuredStep",
    "Metric",
    "OnPolicyEffect",
    "PublishedStep",
    "SentenceImportance",
    "Similarity",
    "Value",
    "alike",
    "avoiding_effect",
    "chain_draws",
    "chain_rollouts",
    "checked_metric",
    "contrast",
    "counterfactual_importance",
    "different_trajectories",
    "edited_prefixes",
    "forced_answers",
    "forced_importance",
    "forced_prefixes",
    "importance",
    "in_place",
    "interaction",
    "is_different",
    "load_similarity",
    "measure_steps",
    "on_policy_effect",
    "overdeterminedness",
    "prefix_draws",
    "published_forced",
    "published_importance",
    "resilience",
    "rollout_draws",
    "sentence_importance",
    "step_effect",
    "subsets",
    "value",
    "value_curve",
]
