"""Statistics of the lab: estimates, intervals, null floors, false discovery, simulated coverage.

Pure numpy and scipy; nothing here knows of rollouts, models or runs.

    wilson(successes, n)                        interval of one proportion (jeffreys, clopper_pearson: others)
    newcombe(k1, n1, k2, n2, n_shared=…)        interval of a difference, of samples that may share members
    exchange_null(k1, n1, k2, n2, …)            null floor and exact p of a difference
    proportion_estimate, difference_estimate    the same as an `Estimate`
    divergence_estimate(only1, only2, shared)   KL or total variation of two samples of answers
    weighted_sum(weights, successes, n)         Σ wp of independent proportions (MOVER)
    paired_difference(first, second, clusters)  two arms of pairs (same problem, same seed), clustered by problem
    share_difference(first, second, clusters)   the same of shares, each pair counting once, with a width near 0 and 1
    with_q(estimates)                           p adjusted over one family
    matched_difference(values, marked, …)       marked members against others in like places
    marking_agreement(found, true, clusters)    precision and recall of marks
    cluster_mean(values, clusters)              mean over problems, with a cluster bootstrap
    cluster_proportion(successes, clusters)     share (of members, or mean of shares); its interval holds near 0 and 1
    holm(p)                                     p values adjusted so that no finding of a family is false
    cluster_auc(scores, labels, clusters)       area under the ROC curve, the same way
    rank_correlation(first, second, clusters)   Spearman's ρ, the same way
    cluster_kappa(left, right, clusters)        agreement of two labellings beyond chance
    null_rate(analysis, shuffles)               how often an analysis of shuffled labels finds something
    block_shuffles(labels, clusters, blocks, …) labels moved along rollouts, or exchanged between them
    cotlab.stats.simulation                     coverage and false discoveries of simulated studies
"""

from cotlab.stats.bootstrap import cluster_mean
from cotlab.stats.clustered import cluster_proportion, holm
from cotlab.stats.combination import weighted_sum
from cotlab.stats.correlation import rank_correlation
from cotlab.stats.difference import difference_estimate, newcombe
from cotlab.stats.discovery import FdrRule, with_q
from cotlab.stats.divergence import Divergence, divergence_estimate, kl_divergence, total_variation
from cotlab.stats.estimate import Estimate
from cotlab.stats.kappa import cluster_kappa
from cotlab.stats.matched import Marking, marking_agreement, matched_difference
from cotlab.stats.paired import mover_difference, paired_difference, share_difference
from cotlab.stats.permutation import ExchangeNull, exchange_null
from cotlab.stats.proportion import clopper_pearson, jeffreys, proportion_estimate, wilson
from cotlab.stats.ranking import auc, cluster_auc, cluster_auc_difference
from cotlab.stats.saddlepoint import log_mean_exp, log_mean_exp_chosen, tail_p
from cotlab.stats.shuffles import NullRate, block_shuffles, null_rate, shuffled_within

__all__ = [
    "Divergence",
    "Estimate",
    "ExchangeNull",
    "FdrRule",
    "Marking",
    "NullRate",
    "auc",
    "block_shuffles",
    "clopper_pearson",
    "cluster_auc",
    "cluster_auc_difference",
    "cluster_kappa",
    "cluster_mean",
    "cluster_proportion",
    "difference_estimate",
    "divergence_estimate",
    "exchange_null",
    "holm",
    "jeffreys",
    "kl_divergence",
    "log_mean_exp",
    "log_mean_exp_chosen",
    "marking_agreement",
    "matched_difference",
    "newcombe",
    "mover_difference",
    "null_rate",
    "paired_difference",
    "proportion_estimate",
    "rank_correlation",
    "share_difference",
    "shuffled_within",
    "tail_p",
    "total_variation",
    "weighted_sum",
    "wilson",
    "with_q",
]
