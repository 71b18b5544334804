"""Features that predict: what is coming (backtracking, an error, the answer), beside single neurons and a probe.

All look at the same tokens, the ends of labelled steps, and are judged on problems that they were not chosen on: in
each fold of problems the feature (or neuron) with the largest AUC on the other folds is taken, with its sign, and
scores the fold. So a best of thousands has no head start over a probe. `FeatureTests` names features, with q over all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.cutting import get_cutter
from cotlab.errors import DataError
from cotlab.runs import Run
from cotlab.saes.feature_tests import FeatureTests, feature_aucs, within_problem_tests
from cotlab.sampling import Progress, Silent
from cotlab.stats import Estimate, cluster_auc, cluster_auc_difference
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.exit_study import ReadyOptions, ready_examples
from cotlab.whitebox.probe_fit import problem_folds
from cotlab.whitebox.probe_report import evaluate_probe
from cotlab.whitebox.run_examples import labelled_rollouts, read_examples

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from cotlab.interventions import SparseAutoencoder
    from cotlab.whitebox.inside import Inside

__all__ = ["PredictorRow", "Predictors", "feature_predictors", "predict_from_features", "ready_predictors"]


@dataclass(frozen=True, slots=True)
class PredictorRow:
    """One feature against the label."""

    feature: int
    auc: Estimate
    """p as in `feature_tests`, rollouts as units, q over all features tested; the interval draws problems again."""
    active_share: float
    """Share of labelled places at which it is active."""


@dataclass(frozen=True, slots=True)
class Predictors:
    """What predicts a label."""

    label: str
    hook: str
    n: int
    n_positive: int
    n_tested: int
    n_discoveries: int
    """Features with q < 0.05."""
    rows: tuple[PredictorRow, ...]
    """Those that stand out most."""
    feature: Estimate
    """AUC of the best feature, chosen on other problems."""
    neuron: Estimate
    """The same of the best single coordinate of the activation."""
    probe: Estimate
    """AUC of a linear probe on the activation, on problems that it has not seen."""
    wording: Estimate
    """AUC of the step's text alone."""
    feature_beyond_neuron: Estimate
    """Feature less neuron, on the same problems drawn again."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        names = ("feature", "neuron", "probe", "wording", "feature_beyond_neuron")
        told = {name: getattr(self, name) for name in ("label", "hook", "n", "n_positive", "n_tested", "n_discoveries")}
        rows = [
            {"feature": row.feature, "auc": row.auc.to_json(), "active_share": row.active_share} for row in self.rows
        ]
        return {**told, **{name: getattr(self, name).to_json() for name in names}, "rows": rows}


def feature_predictors(
    run: Run,
    inside: Inside,
    sae: SparseAutoencoder,
    label: str,
    *,
    n: int = 300,
    top: int = 10,
    cutter: str = "sentences",
    scorer_id: str = "answers/1",
    seed: int = 0,
    progress: Progress | None = None,
) -> Predictors:
    """Find features that predict a label at the ends of steps.

    Args:
        run: Where the rollouts are.
        inside: The run's model.
        sae: Of that model, or said to be transferred to it.
        label: As `cotlab probe` takes it: backtracks-next, slips, reachable, correct, category:NAME, …
        n: Rollouts that are read, of all problems.
        top: Features that get an interval.
        cutter: What a step is.
        scorer_id: Whose verdict `correct` is.
        seed: Of the choice of rollouts, folds and bootstrap.
        progress: Told how it goes.

    Raises:
        UserError: The label is unknown.
        DataError: Nothing carries the label, or too few problems do.
    """
    sae.check(inside.shape, inside.name, inside.revision)
    found = labelled_rollouts(
        run, label, tokenizer=inside.tokenizer, cutter=get_cutter(cutter), scorer_id=scorer_id, n=n, seed=seed
    )
    teller = progress or Silent()
    teller.phase(f"reading {sae.point} for {label}", len(found))
    examples = read_examples(inside, found, [sae.point], label, progress=lambda *_: teller.advance(1, 0))[sae.point]
    return predict_from_features(examples, _encoded(sae, examples), top=top, seed=seed)


def ready_predictors(
    path: Path,
    sae: SparseAutoencoder,
    *,
    top: int = 10,
    seed: int = 0,
    **asked: Unpack[ReadyOptions],
) -> Predictors:
    """Find features that predict that the answer is there: one that is forced at the end of the step is right.

    Args:
        path: Run folder with rollouts from prompts; the forced answers are stored in it, and drawn once.
        sae: Of the run's model.
        top: Features that get an interval.
        seed: Of the choice of chains, folds and bootstrap.
        asked: Chains, engine and cap.

    Raises:
        UserError: Something cannot be, one line.
        EngineError: The engine broke; what it gave is stored.
    """
    _, examples = ready_examples(path, str(sae.point), seed=seed, **asked)
    return predict_from_features(examples, _encoded(sae, examples), top=top, seed=seed)


def predict_from_features(
    examples: Examples, active: csr_matrix, *, top: int = 10, n_folds: int = 5, seed: int = 0
) -> Predictors:
    """The same from activations that were read.

    Args:
        examples: Activations and labels.
        active: Their feature activations, shape (n, d_sae).
        top: Features that get an interval.
        n_folds: Parts that the problems are dealt into.
        seed: Of folds and bootstrap.

    Raises:
        DataError: One class is empty, or fewer than five problems have examples.
    """
    from scipy.sparse import csr_matrix as matrix

    y, problems = examples.y, examples.problems
    if len(np.unique(problems)) < 5:
        raise DataError(f"{len(np.unique(problems))} problems carry {examples.label}, at least 5 are needed")
    tests, clusters = within_problem_tests(active, y, problems, rollouts=examples.rollouts), problems.tolist()
    rows = tuple(_row(tests, i, active, y, clusters, seed) for i in tests.best(top))
    fold = problem_folds(problems, n_folds, seed)
    centred = examples.x - examples.x.min(axis=0)
    by_feature = _held_out_best(active, y, fold)
    by_neuron = _held_out_best(matrix(centred), y, fold)
    probe = evaluate_probe(examples, n_folds=n_folds, n_shuffles=0, seed=seed)
    return Predictors(
        examples.label, examples.hook, len(y), int(y.sum()), len(tests.features), int((tests.q < 0.05).sum()), rows,
        cluster_auc(by_feature, y, clusters, n_null=200, blocks=examples.rollouts, seed=seed),
        cluster_auc(by_neuron, y, clusters, n_null=200, blocks=examples.rollouts, seed=seed),
        probe.auc, probe.wording,
        cluster_auc_difference(by_neuron, by_feature, y, clusters, seed=seed),
    )  # fmt: skip


def _encoded(sae: SparseAutoencoder, examples: Examples) -> csr_matrix:
    import torch
    from scipy.sparse import csr_matrix as matrix

    active = sae.encode_sparse(torch.from_numpy(examples.x).to(sae.b_dec.device))
    arrays = (active.values.float(), active.features, active.starts)
    data, features, starts = (tensor.cpu().numpy() for tensor in arrays)
    return matrix((data, features, starts), shape=(len(examples), sae.d_sae))


def _row(
    tests: FeatureTests, i: int, active: csr_matrix, y: NDArray[np.bool_], clusters: Sequence[str], seed: int
) -> PredictorRow:
    from dataclasses import replace

    feature = int(tests.features[i])
    values = active[:, [feature]].toarray()[:, 0]
    estimate = cluster_auc(values, y, clusters, n_null=0, seed=seed)
    estimate = replace(estimate, p=float(tests.p[i]), q=float(tests.q[i]), null_mean=0.5)
    return PredictorRow(feature, estimate, float((values > 0).mean()))


def _held_out_best(values: csr_matrix, y: NDArray[np.bool_], fold: NDArray[np.intp]) -> NDArray[np.float64]:
    """Score of each example by the column that told the label best on the other folds' problems, as ranks in [0, 1].

    Ranks are those among the other folds' examples: scores of different columns are then on one scale.
    """
    scores = np.full(len(y), 0.5)
    for held in np.unique(fold):
        train = fold != held
        features, aucs = feature_aucs(values[np.flatnonzero(train)], y[train])
        if not len(features):
            continue
        best = int(np.argmax(np.abs(aucs - 0.5)))
        column = values[:, [int(features[best])]].toarray()[:, 0]
        known = np.sort(column[train])
        low, high = (np.searchsorted(known, column[~train], side=side) for side in ("left", "right"))
        said = (low + high) / 2 / len(known)
        scores[~train] = said if aucs[best] > 0.5 else 1 - said
    return scores
