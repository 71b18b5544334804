"""Rollouts seen as a tree: which pass through which prefix, what they say next, and how it ends.

networkx is the view, never the store: trees are built from a run.

    chain_draws(run, chain, scorer_id=…)     rollouts through each prefix, as arrays
    value(draws)                             V(prefix), with interval and bounds
    alternatives(run, chain, scorer_id=…)    what rollouts say at each step, grouped by text or by exact state
    add_interventions(tree, run, chain, …)   branches under interventions, beside the steps of the chain
    build_tree(run, chains, scorer_id=…)     networkx.DiGraph; layout, write_graphml and write_json take it

Each of these reads the rollouts once. Where several are wanted of one chain, read `paths` once and give them to
`alternatives_at`, and their passages to `draws_at`.
"""

from cotlab.trees.alternative import Alternative, alternatives, alternatives_at
from cotlab.trees.begun import begun_at, chain_verdict
from cotlab.trees.build import Tree, build_tree
from cotlab.trees.conditions import ConditionIds, choose_condition, conditions_of, sampled_under
from cotlab.trees.draws import OUTCOMES, Draws
from cotlab.trees.export import tree_to_json, write_graphml, write_json
from cotlab.trees.grouping import GroupBy, by_text, by_tiny_state
from cotlab.trees.interventions import InterventionBranch, add_interventions, intervention_branches
from cotlab.trees.layout import layout
from cotlab.trees.passing import Passage, by_position, chain_draws, draws_at, resolve_scorer, unfinished, walk
from cotlab.trees.paths import RolloutPath, lengthened, paths, saying
from cotlab.trees.value import MIN_ROLLOUTS, Value, unusable, value

__all__ = [
    "MIN_ROLLOUTS",
    "OUTCOMES",
    "Alternative",
    "ConditionIds",
    "Draws",
    "GroupBy",
    "InterventionBranch",
    "Passage",
    "RolloutPath",
    "Tree",
    "Value",
    "add_interventions",
    "alternatives",
    "alternatives_at",
    "begun_at",
    "build_tree",
    "by_position",
    "by_text",
    "by_tiny_state",
    "chain_draws",
    "chain_verdict",
    "choose_condition",
    "conditions_of",
    "draws_at",
    "intervention_branches",
    "layout",
    "lengthened",
    "paths",
    "resolve_scorer",
    "sampled_under",
    "saying",
    "tree_to_json",
    "unfinished",
    "unusable",
    "value",
    "walk",
    "write_graphml",
    "write_json",
]
