"""Is something that is not there seen coming, before it is said? Probes at the token before, judged on unseen cases.

1. Cases are dealt into folds; a scene and those that differ from it in one cell are one case, and stay together.
2. At every layer a probe is fitted to the other folds and scores the fold that is held out.
3. The layer that counts is chosen within the other folds, by the same thing done there. With an autoencoder, so is the
   column of a sparse probe (`cotlab.whitebox.sparse_probe`), its features found on the other folds as well.
4. Beside it what needs no inside, on the same folds: the wording (the question, or the object's word, which says how
   often that object is made up), and how sure the model is of what it says. And what sets it off: whether a habit's
   first shape is in the scene. A probe that reads no more than that has found the cause, and no sign of the error.
5. The null does all of it with labels that are laid along the cases in another order: those of a case stay together, so
   that cases are as unlike as they were, and belong to other states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import DataError
from cotlab.interventions.autoencoder import SparseAutoencoder
from cotlab.interventions.hook_points import HookPoint
from cotlab.stats import Estimate, NullRate, auc, cluster_auc, cluster_auc_difference
from cotlab.stats.proportion import clopper_pearson
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.probe_fit import Method, fit_rows, problem_folds
from cotlab.whitebox.probe_report import wording_scores
from cotlab.whitebox.sparse_probe import SPARSE_K, encoded, fit_sparse_probe
from cotlab.whitebox.vision.warning_examples import Kind, WarningExamples

__all__ = ["Warned", "exchanged_labels", "judge_warning"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
FEWEST = 10
"""Places of either label, and cases that hold them, below which nothing is judged."""
FOLDS = 5
PENALTY = 1e-2
"""Inverse strength of the logistic penalty; nothing about it is chosen."""
_BOOT = 300
"""Bootstrap samples of the interval of each shuffled run."""


@dataclass(frozen=True, slots=True)
class Warned:
    """How well what is not there is told from what is, before it is said."""

    kind: Kind
    n_asked: int
    n_said: int
    n_wrong: int
    reason: str | None = None
    """Why nothing is judged."""
    auc: Estimate | None = None
    """At the layer that was chosen within the other folds; null floor and p from exchanged labels."""
    chosen: tuple[str, ...] = ()
    """The layer that each fold took."""
    by_layer: tuple[tuple[str, Estimate], ...] = ()
    """AUC of every layer, none chosen."""
    sparse: Estimate | None = None
    """AUC of k features of an autoencoder."""
    sparse_features: tuple[tuple[int, ...], ...] = ()
    """Those that each fold took."""
    wording: Estimate | None = None
    sure: Estimate | None = None
    """AUC of how unsure the model is."""
    set_off: Estimate | None = None
    """AUC of whether the first shape of a habit is there whose second is said; None: no habits are known."""
    beyond_wording: Estimate | None = None
    beyond_sure: Estimate | None = None
    beyond_set_off: Estimate | None = None
    null: NullRate | None = None
    """How often exchanged labels give an AUC whose interval lies above one half: what to think of that interval. p
    ranks them among each other, so it could not find too many of them."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told: dict[str, Any] = {"kind": self.kind, "asked": self.n_asked, "said": self.n_said, "wrong": self.n_wrong}
        if self.reason is not None:
            return {**told, "reason": self.reason}
        for name in ("auc", "sparse", "wording", "sure", "set_off", "beyond_wording", "beyond_sure", "beyond_set_off"):
            its: Estimate | None = getattr(self, name)
            told[name] = None if its is None else its.to_json()
        told["chosen"] = list(self.chosen)
        told["sparse_features"] = [list(its) for its in self.sparse_features]
        told["by_layer"] = [{"point": point, "auc": its.to_json()} for point, its in self.by_layer]
        return {**told, "null_rate": None if self.null is None else asdict(self.null)}


def judge_warning(
    examples: WarningExamples,
    sae: SparseAutoencoder | None = None,
    *,
    method: Method = "mass-mean",
    k: int = SPARSE_K,
    n_shuffles: int = 100,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Warned:
    """Judge probes on cases that they have not seen.

    Args:
        examples: States and labels.
        sae: An autoencoder at one of the hook points, for the column of sparse probes.
        method: How dense probes are fitted.
        k: Features of a sparse probe.
        n_shuffles: For the null; 0: none.
        seed: Of folds, shuffles and bootstrap.
        progress: Told shuffles done and in all.

    Raises:
        DataError: The autoencoder is at none of the hook points.
    """
    y, cases = examples.wrong, list(examples.cases)
    counts = (examples.kind, examples.n_asked, len(y), int(y.sum()))
    if (reason := _too_few(y, np.array(cases))) is not None:
        return Warned(*counts, reason=reason)
    table = _Table.of(examples, method, seed)
    scores, chosen = table.scores(y)
    layers = [(str(point), cluster_auc(table.layer(place, y), y, cases, n_null=0, seed=seed))
              for place, point in enumerate(table.points)]  # fmt: skip
    sparse: Estimate | None = None
    features: tuple[tuple[int, ...], ...] = ()
    if sae is not None:
        if sae.point not in examples.rows:
            raise DataError(f"autoencoder {sae.card.label} is at {sae.point}, states were read at "
                            f"{', '.join(map(str, examples.rows))}")  # fmt: skip
        found, features = _sparse_scores(sae, examples.rows[sae.point], y, table.cases, table.fold, k)
        sparse = cluster_auc(found, y, cases, n_null=0, seed=seed)
    listed = Examples.of(next(iter(examples.rows.values())), y, cases, texts=examples.words)
    wording = wording_scores(listed, table.fold, seed)
    off = None if examples.set_off is None else examples.set_off.astype(float)
    null, values = _null(table, y, cases, n_shuffles, seed, progress) if n_shuffles else (None, np.zeros(0))
    point = cluster_auc(scores, y, cases, n_null=0, seed=seed)
    return Warned(
        *counts,
        auc=_with_null(point, values),
        chosen=tuple(str(table.points[place]) for place in chosen),
        by_layer=tuple(layers),
        sparse=sparse,
        sparse_features=features,
        wording=cluster_auc(wording, y, cases, n_null=0, seed=seed),
        sure=cluster_auc(-examples.odds, y, cases, n_null=0, seed=seed),
        beyond_wording=cluster_auc_difference(wording, scores, y, cases, seed=seed),
        set_off=None if off is None else cluster_auc(off, y, cases, n_null=0, seed=seed),
        beyond_sure=cluster_auc_difference(-examples.odds, scores, y, cases, seed=seed),
        beyond_set_off=None if off is None else cluster_auc_difference(off, scores, y, cases, seed=seed),
        null=null,
    )


def exchanged_labels(labels: Flags, cases: NDArray[np.str_], rng: np.random.Generator) -> Flags:
    """Labels [n] of whole cases in another order, laid along the cases, mixed within each.

    Cases of as many places exchange theirs; where they have more or fewer, those of one may end up in two.
    """
    names, of = np.unique(cases, return_inverse=True)
    members = [np.flatnonzero(of == number) for number in range(len(names))]
    others = [rng.permutation(labels[members[number]]) for number in rng.permutation(len(names))]
    mixed = np.empty_like(labels)
    mixed[np.concatenate(members)] = np.concatenate(others)
    return mixed


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """States at all layers, with the folds of their cases."""

    points: tuple[HookPoint, ...]
    rows: tuple[Array, ...]
    cases: NDArray[np.str_]
    fold: NDArray[np.intp]
    method: Method
    seed: int

    @classmethod
    def of(cls, examples: WarningExamples, method: Method, seed: int) -> _Table:
        cases = np.array(examples.cases)
        rows = tuple(its.astype(float) for its in examples.rows.values())
        return cls(tuple(examples.rows), rows, cases, problem_folds(cases, FOLDS, seed), method, seed)

    def layer(self, place: int, y: Flags) -> Array:
        """Held-out scores [n] of the probes at one layer."""
        scores = np.zeros(len(y))
        for held in np.unique(self.fold):
            train = self.fold != held
            scores[~train] = self._fitted(place, y, train)[~train]
        return scores

    def scores(self, y: Flags) -> tuple[Array, list[int]]:
        """Held-out scores [n] at the layer that the other folds choose, and which that is, by fold."""
        scores, chosen = np.zeros(len(y)), []
        for held in np.unique(self.fold):
            train = self.fold != held
            best = max(range(len(self.rows)), key=lambda place: self._within(place, y, train))
            scores[~train] = self._fitted(best, y, train)[~train]
            chosen.append(best)
        return scores, chosen

    def _within(self, place: int, y: Flags, train: Flags) -> float:
        """AUC of a layer on cases held out of the training folds."""
        inner = np.full(len(y), -1)
        inner[train] = problem_folds(self.cases[train], 3, self.seed)
        scores = np.zeros(len(y))
        for held in range(3):
            scores[inner == held] = self._fitted(place, y, train & (inner != held))[inner == held]
        return auc(scores[train], y[train]) if 0 < y[train].sum() < train.sum() else 0.5

    def _fitted(self, place: int, y: Flags, train: Flags) -> Array:
        """Scores [n] of a probe that is fitted to some: theirs have mean 0 and spread 1, so that folds are alike."""
        x = self.rows[place]
        if y[train].all() or not y[train].any():
            return np.zeros(len(y))
        weight, _ = fit_rows(x[train], y[train], self.cases[train], self.method, self.seed, PENALTY)
        scores = x @ weight
        return np.asarray((scores - scores[train].mean()) / (scores[train].std() or 1.0))


def _sparse_scores(
    sae: SparseAutoencoder, rows: NDArray[np.float32], y: Flags, cases: NDArray[np.str_], fold: NDArray[np.intp], k: int
) -> tuple[Array, tuple[tuple[int, ...], ...]]:
    active = encoded(sae, rows)
    scores, taken = np.zeros(len(y)), []
    for held in np.unique(fold):
        train = np.flatnonzero(fold != held)
        if y[train].all() or not y[train].any():
            continue
        probe = fit_sparse_probe(active[train], y[train], cases[train], k=k)
        said = probe(active)
        scores[fold == held] = ((said - said[train].mean()) / (said[train].std() or 1.0))[fold == held]
        taken.append(tuple(sorted(probe.features)))
    return scores, tuple(taken)


def _null(
    table: _Table, y: Flags, cases: Sequence[str], n: int, seed: int, progress: Callable[[int, int], None] | None
) -> tuple[NullRate, Array]:
    values, found = [], 0
    for number, rng in enumerate(np.random.default_rng(seed).spawn(n), 1):
        mixed = exchanged_labels(y, table.cases, rng)
        its = cluster_auc(table.scores(mixed)[0], mixed, list(cases), n_boot=_BOOT, n_null=0, seed=seed)
        if its.value is not None:
            values.append(its.value)
            found += its.low is not None and its.low > 0.5
        if progress:
            progress(number, n)
    low, high = clopper_pearson(found, n, 0.95)
    told = ("labels of whole cases laid along the cases in another order, the layer chosen anew; found: the "
            "interval of AUC lies above one half")  # fmt: skip
    return NullRate(told, found / n, float(low), float(high), found, n, 0.95, 0.05), np.array(values)


def _with_null(found: Estimate, null: Array) -> Estimate:
    if found.value is None or not len(null):
        return found
    p = (1 + int((null >= found.value).sum())) / (1 + len(null))
    return replace(found, null_mean=float(null.mean()), null_q95=float(np.quantile(null, 0.95)), p=p)


def _too_few(y: Flags, cases: NDArray[np.str_]) -> str | None:
    for label, name in ((True, "wrong"), (False, "right")):
        n, held = int((y == label).sum()), len(set(cases[y == label].tolist()))
        if n < FEWEST or held < FOLDS:
            return f"{n} are {name}, in {held} cases: a probe takes {FEWEST} of either, in {FOLDS} cases"
    return None
