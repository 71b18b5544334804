"""What rollouts say about steps: values, importance, each with interval, n and null floor.

Measures are pure: they take `Draws` (outcomes and answers of the rollouts through a prefix), or `ChainRollouts` (the
same for a whole chain, with what the rollouts say), and return `Estimate`s.

    draws = chain_draws(run, chain, scorer_id="answers/1")   # one for each prefix of the chain
    curve = value_curve(draws)                               # V, with the bounds that truncated rollouts leave
    steps = importance(draws)                                # ΔV of each step, with null floor, p and q

    data = chain_rollouts(run, chain, scorer_id="answers/1")
    counterfactual_importance(data, similarity)              # where something else is said instead
    published_importance(data, similarity)                   # the published arithmetic of Thought Anchors

    probs = smooth_curve(counts, S)                          # outcome curve from few draws a position
    _, curve = chain_curve(run, chain, scorer_id=…)          # the same of a chain, with its forks
    luck = chain_progress(run, chain, scorer_id=…)           # lucky, steady or undecided
    rows = answered(run); hint_report(rows, Arm("friend"))   # hints: followed, by chance, said, hidden
    watch_report(rows, hint="friend")                        # the same under notes on who reads the reasoning
    transplant_curve(grown(run, FRACTIONS), Arm("friend"))   # hinted reasoning behind the bare prompt
    rows = yes_no_rows(run); pope_report(rows)               # images: says what is not there, by kind of negatives
    look_report(rows), blame_report(rows)                    # under changed images; which input repairs an error
    early = chain_faithfulness(run, chain, scorer_id=…)      # early answers, filler, mistakes
    fixed = chain_determinism(run, chain, scorer_id=…)       # how alike what follows is, by steps kept
    search_profile(graph, paths)                             # moves, returns, breadth and depth of a state graph

Formulas, sources, intervals and what they are worth: docs/measures.md.
"""

from cotlab.measures.accuracy import CUT_OFF, accuracy, cut_off_reason, cut_off_warnings
from cotlab.measures.along_chain import ChainRollouts, chain_rollouts
from cotlab.measures.arms import Answered, ArmReader, Given, answered, arms_condition, bare_hints, in_arm
from cotlab.measures.avoided import AvoidedDraws, avoided_draws, avoiding_effect, interaction, resilience, subsets
from cotlab.measures.blame import Blame, BlameReport, blame_report
from cotlab.measures.branches import Branch, Branching, chain_branchings, chain_curve
from cotlab.measures.by_category import (
    RatedStep,
    categories_exchanged,
    category_contrast,
    category_means,
    rank_agreement,
)
from cotlab.measures.catalogue import MEASURES, MeasuredStep, measure_steps
from cotlab.measures.clusters import Recovery, SimilarStates, best_threshold, recovery, similar_groups
from cotlab.measures.contrast import METRICS, Metric, checked_metric, contrast
from cotlab.measures.counterfactual import (
    counterfactual_importance,
    different_trajectories,
    is_different,
    overdeterminedness,
)
from cotlab.measures.curve import value_curve
from cotlab.measures.determinism import Control, Determinism, chain_determinism, greedy_control
from cotlab.measures.edited_tree import add_edits, edit_words
from cotlab.measures.effects import importance, step_effect
from cotlab.measures.embedders import CharNgrams, Embedder, HiddenStates, MiniLM, embedder_by_name
from cotlab.measures.faithfulness import (
    EarlyAnswers,
    changed_answers,
    early_answers,
    mean_aoc,
    same_answers,
)
from cotlab.measures.forced import ForcedAnswers, forced_answers, forced_importance
from cotlab.measures.forks import Change, OutcomeCurve, outcome_curve
from cotlab.measures.hints import HintReport, faithfulness_to_hint, hint_report, paired_rates
from cotlab.measures.looks import LookReport, Seen, look_report
from cotlab.measures.monitor_study import (
    EDITS,
    EarlyReports,
    EditedFlags,
    by_count,
    by_edit,
    by_family,
    by_problem,
)
from cotlab.measures.monitors import (
    MONITORS,
    Monitor,
    MonitorReport,
    folds_of,
    g_mean2,
    held_out_scores,
    judge_monitor,
    lacks_class,
    monitor_by_name,
    monitor_report,
)
from cotlab.measures.on_policy import OnPolicyEffect, on_policy_effect
from cotlab.measures.pivotal import TokenEffect, token_effects
from cotlab.measures.pope import PopeReport, PopeSplit, pope_report
from cotlab.measures.prefix_draws import edited_prefixes, forced_prefixes, rollout_draws
from cotlab.measures.progress import Progress, progress
from cotlab.measures.run_faithfulness import ChainFaithfulness, Mistake, Paraphrase, chain_faithfulness
from cotlab.measures.run_progress import chain_progress
from cotlab.measures.search import SearchProfile, rejoining, returns_by_move, search_profile
from cotlab.measures.sentence import SentenceImportance, sentence_importance
from cotlab.measures.shown import BARE, TASKS, Shown, Task, shown_responses, shown_rows
from cotlab.measures.similarity import (
    ExactKey,
    ExactState,
    ExactText,
    Similarity,
    alike,
    comparable_anywhere,
    in_place,
    load_similarity,
    similarity_maker,
)
from cotlab.measures.smoothing import CurvePosterior, curve_paths, curve_posterior, smooth_curve
from cotlab.measures.stops import StoppedChain, accuracy_at_stops, gain_of_thinking, stopped_chain
from cotlab.measures.thought_anchors import PublishedStep, published_forced, published_importance
from cotlab.measures.transplant import Grown, TransplantCurve, grown, transplant_curve
from cotlab.measures.transplant_study import transplant_chains
from cotlab.measures.watched import CONTRASTS, Contrasted, WatchReport, watch_report
from cotlab.measures.yes_no import Contrast, YesNoRow, yes_no_rows
from cotlab.trees import Draws, Value, chain_draws, value

__all__ = [
    "BARE",
    "CONTRASTS",
    "CUT_OFF",
    "EDITS",
    "MEASURES",
    "METRICS",
    "MONITORS",
    "TASKS",
    "Answered",
    "ArmReader",
    "AvoidedDraws",
    "Blame",
    "BlameReport",
    "Branch",
    "Branching",
    "ChainFaithfulness",
    "ChainRollouts",
    "Change",
    "CharNgrams",
    "Contrast",
    "Contrasted",
    "Control",
    "CurvePosterior",
    "Determinism",
    "Draws",
    "EarlyAnswers",
    "EarlyReports",
    "EditedFlags",
    "Embedder",
    "ExactKey",
    "ExactState",
    "ExactText",
    "ForcedAnswers",
    "Given",
    "Grown",
    "HiddenStates",
    "HintReport",
    "LookReport",
    "MeasuredStep",
    "Metric",
    "MiniLM",
    "Mistake",
    "Monitor",
    "MonitorReport",
    "OnPolicyEffect",
    "OutcomeCurve",
    "Paraphrase",
    "PopeReport",
    "PopeSplit",
    "Progress",
    "PublishedStep",
    "RatedStep",
    "Recovery",
    "SearchProfile",
    "Seen",
    "SentenceImportance",
    "Shown",
    "SimilarStates",
    "Similarity",
    "StoppedChain",
    "Task",
    "TokenEffect",
    "TransplantCurve",
    "Value",
    "WatchReport",
    "YesNoRow",
    "accuracy",
    "accuracy_at_stops",
    "add_edits",
    "alike",
    "answered",
    "arms_condition",
    "avoided_draws",
    "avoiding_effect",
    "bare_hints",
    "best_threshold",
    "blame_report",
    "by_count",
    "by_edit",
    "by_family",
    "by_problem",
    "categories_exchanged",
    "category_contrast",
    "category_means",
    "chain_branchings",
    "chain_curve",
    "chain_determinism",
    "chain_draws",
    "chain_faithfulness",
    "chain_progress",
    "chain_rollouts",
    "changed_answers",
    "checked_metric",
    "comparable_anywhere",
    "contrast",
    "counterfactual_importance",
    "curve_paths",
    "curve_posterior",
    "cut_off_reason",
    "cut_off_warnings",
    "different_trajectories",
    "early_answers",
    "edit_words",
    "edited_prefixes",
    "embedder_by_name",
    "faithfulness_to_hint",
    "folds_of",
    "forced_answers",
    "forced_importance",
    "forced_prefixes",
    "g_mean2",
    "gain_of_thinking",
    "greedy_control",
    "grown",
    "held_out_scores",
    "hint_report",
    "importance",
    "in_arm",
    "in_place",
    "interaction",
    "is_different",
    "judge_monitor",
    "lacks_class",
    "load_similarity",
    "look_report",
    "mean_aoc",
    "measure_steps",
    "monitor_by_name",
    "monitor_report",
    "on_policy_effect",
    "outcome_curve",
    "overdeterminedness",
    "paired_rates",
    "pope_report",
    "progress",
    "published_forced",
    "published_importance",
    "rank_agreement",
    "recovery",
    "rejoining",
    "resilience",
    "returns_by_move",
    "rollout_draws",
    "same_answers",
    "search_profile",
    "sentence_importance",
    "shown_responses",
    "shown_rows",
    "similar_groups",
    "similarity_maker",
    "smooth_curve",
    "step_effect",
    "stopped_chain",
    "subsets",
    "token_effects",
    "transplant_chains",
    "transplant_curve",
    "value",
    "value_curve",
    "watch_report",
    "yes_no_rows",
]
