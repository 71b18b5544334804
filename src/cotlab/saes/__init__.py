"""Sparse autoencoders: every published layout becomes one class with one card and known units.

    load_sae(NAME or FOLDER)      a SparseAutoencoder in memory
    open_sae(NAME or FOLDER)      the same on disk, read a block of features at a time
    fit_sae(sae, MODEL)           whether it fits, or is a transfer
    save_sae(sae, folder)         in SAELens's layout, exactly

Does one work on another model, and does training it further help?

    transfer_study([sae], MODEL, TraceSource((run,)))     scores beside its own model and controls, a verdict
    train_sae, finetune_sae                               on a model's own reasoning, through SAELens's trainers
    feature_drift, against_null, fires_in                 what that did to each feature, beyond training alone

What do its features have to do with reasoning?

    firings = read_firings(run, inside, sae)              what is active at which tokens of a run's rollouts
    feature_overview, reason_scores, feature_dashboards   what features are of, ranked
    feature_predictors, attribute_step                    what predicts, beside neurons and a probe; what a step acts by
    interpret_feature, keyword_label                      what a model, or the tokens alone, say of one
    branch_features, feature_report                       a feature set in rollouts, beside its controls

The numbers themselves and what they compute are in `cotlab.interventions`, where engines find them.
"""

from cotlab.saes.dashboard import Dashboard, Dashboards, feature_dashboards
from cotlab.saes.demo import OrganismTransfer, demo_transfer, noted_problems
from cotlab.saes.drift import Drift, FeatureDrift, feature_drift
from cotlab.saes.drift_null import against_null, null_drift
from cotlab.saes.feature_attribution import FeatureAttribution, attribute_step
from cotlab.saes.feature_branch import FeatureBranch, branch_features
from cotlab.saes.feature_monitor import FeatureMonitor, SAEHere, sae_here
from cotlab.saes.feature_study import FeaturePlan, FeatureStudy, feature_report
from cotlab.saes.fine_tuning import Changes, FineTuned, finetune_study, own_drift
from cotlab.saes.firing_categories import FiresIn, fires_in
from cotlab.saes.firings import Firings, read_firings
from cotlab.saes.fitting import fit_sae
from cotlab.saes.given import Given
from cotlab.saes.interpretation import Interpretation, interpret_feature
from cotlab.saes.keyword_labels import KeywordLabel, keyword_label
from cotlab.saes.loading import FORMATS, Format, load_sae, open_sae
from cotlab.saes.making import Made, finetune_sae, mean_l0, train_sae, trained_problems
from cotlab.saes.overview import Overview, feature_overview
from cotlab.saes.predictors import Predictors, feature_predictors
from cotlab.saes.reason_score import ReasonScores, reason_scores, word_groups
from cotlab.saes.registry import Released, find_released
from cotlab.saes.run_transfer import own_model, transfer_study
from cotlab.saes.saving import save_sae
from cotlab.saes.shipped import SHIPPED, shipped_saes
from cotlab.saes.source import TraceSource, open_reader, think_tags
from cotlab.saes.step_categories import token_categories
from cotlab.saes.stored import StoredAutoencoder
from cotlab.saes.traces import Trace, file_traces, run_traces, special_ids, split_traces
from cotlab.saes.trainers import KINDS, TrainKind, kind_of
from cotlab.saes.training import Training, TrainPlan
from cotlab.saes.transfer import Transfer, TransferRow, same_tokens, transfer_test
from cotlab.saes.verdict import Recovery, Verdict

__all__ = [
    "FeatureMonitor",
    "SAEHere",
    "sae_here",
    "Dashboard",
    "Dashboards",
    "feature_dashboards",
    "FeatureAttribution",
    "attribute_step",
    "FeatureBranch",
    "branch_features",
    "FeaturePlan",
    "FeatureStudy",
    "feature_report",
    "Firings",
    "read_firings",
    "Interpretation",
    "interpret_feature",
    "KeywordLabel",
    "keyword_label",
    "Overview",
    "feature_overview",
    "Predictors",
    "feature_predictors",
    "ReasonScores",
    "reason_scores",
    "word_groups",
    "FORMATS",
    "KINDS",
    "SHIPPED",
    "Changes",
    "Drift",
    "FeatureDrift",
    "FineTuned",
    "FiresIn",
    "Format",
    "Given",
    "Made",
    "OrganismTransfer",
    "Recovery",
    "Released",
    "StoredAutoencoder",
    "Trace",
    "TraceSource",
    "TrainKind",
    "TrainPlan",
    "Training",
    "Transfer",
    "TransferRow",
    "Verdict",
    "against_null",
    "demo_transfer",
    "feature_drift",
    "file_traces",
    "find_released",
    "finetune_sae",
    "finetune_study",
    "fires_in",
    "fit_sae",
    "kind_of",
    "load_sae",
    "mean_l0",
    "noted_problems",
    "null_drift",
    "open_reader",
    "open_sae",
    "own_drift",
    "own_model",
    "run_traces",
    "same_tokens",
    "save_sae",
    "shipped_saes",
    "special_ids",
    "split_traces",
    "think_tags",
    "token_categories",
    "train_sae",
    "trained_problems",
    "transfer_study",
    "transfer_test",
]
