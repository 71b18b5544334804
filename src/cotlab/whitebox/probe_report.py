"""How well a probe tells a label on problems it has not seen, beside what tells it without the model's inside.

1. Problems are dealt into folds; every example is scored by a probe fitted on the other folds (never split by token).
2. AUC and balanced accuracy over those scores, with intervals from drawing problems again; Brier, calibration by bins.
   For AUC each fold's scores are taken less their mean over its training examples: the intercept of a fold is lower
   where its held-out positives are many, which alone would push the AUC of a useless probe below one half.
3. Baselines on the same folds: where the place is (tokens, steps), what the text says (TF-IDF of the step and the one
   before it), and probes fitted to shuffled labels (with the penalties that the true labels chose), which give the null
   floor and p. Steps of a rollout are alike, so labels are moved along their rollouts, or exchanged between whole ones
   (`stats.block_shuffles`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import DataError
from cotlab.stats import Estimate, auc, block_shuffles, cluster_auc, cluster_auc_difference, cluster_mean
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.probe_fit import Method, chosen_penalty, fit_rows, problem_folds

__all__ = ["Calibration", "HeldOut", "ProbeReport", "check_problems", "evaluate_probe", "held_out_probabilities"]

_Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Said against seen, in bins of equal size."""

    said: tuple[float, ...]
    """Mean probability that the probe gave."""
    seen: tuple[float, ...]
    """Share of positives."""
    n: tuple[int, ...]
    expected_error: float
    """Mean of |said − seen| over examples (expected calibration error)."""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """A probe at one hook point, judged on unseen problems."""

    label: str
    hook: str
    method: Method
    auc: Estimate
    """Null floor and p from probes fitted to shuffled labels."""
    balanced_accuracy: Estimate
    brier: Estimate
    calibration: Calibration
    position: Estimate
    """AUC of place and length alone."""
    wording: Estimate
    """AUC of the text alone."""
    beyond_wording: Estimate
    """AUC of the probe less that of the text, on the same problems drawn again."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        estimates = ("auc", "balanced_accuracy", "brier", "position", "wording", "beyond_wording")
        plain: dict[str, Any] = {name: getattr(self, name).to_json() for name in estimates}
        bins = {name: getattr(self.calibration, name) for name in ("said", "seen", "n", "expected_error")}
        return {"label": self.label, "hook": self.hook, "method": self.method, **plain, "calibration": bins}


def check_problems(problems: Iterable[str]) -> None:
    """See that a probe can be judged on problems that it was not fitted on.

    Raises:
        DataError: There are fewer than five.
    """
    n = len(set(problems))
    if n < 5:
        raise DataError(f"{n} problems with examples, at least 5 are needed: sample more problems")


def evaluate_probe(
    examples: Examples, method: Method = "logistic", *, n_folds: int = 5, n_shuffles: int = 20, seed: int = 0
) -> ProbeReport:
    """Judge probes of one kind on problems that they have not seen.

    Args:
        examples: Activations and labels.
        method: How the probes are fitted.
        n_folds: Parts that the problems are dealt into.
        n_shuffles: Probes that are fitted to shuffled labels; p can be no smaller than 1 / (1 + n_shuffles).
        seed: Of folds, shuffles and bootstrap.

    Raises:
        DataError: Fewer than five problems, or a fold would leave one class.
    """
    from scipy.special import expit

    problems = examples.problems
    check_problems(problems.tolist())
    fold = problem_folds(problems, n_folds, seed)
    x, y = examples.x.astype(float), examples.y
    penalties = _penalties(x, y, problems, fold, seed) if method == "logistic" else {}
    logits, scores = _held_out(x, y, problems, fold, method, seed, penalties)
    rng = np.random.default_rng(seed)
    null = [
        auc(_held_out(x, mixed, problems, fold, method, seed, penalties)[1], mixed)
        for mixed in block_shuffles(y, problems, examples.rollouts, n_shuffles, rng)
    ]
    clusters = problems.tolist()
    found = cluster_auc(scores, y, clusters, n_null=0, seed=seed)
    wording = wording_scores(examples, fold, seed)
    _, position = _held_out(_places(examples), y, problems, fold, "logistic", seed, dict.fromkeys(np.unique(fold), 1.0))
    probabilities = expit(logits)
    return ProbeReport(
        examples.label,
        examples.hook,
        method,
        _with_null(found, np.array(null)),
        balanced_accuracy(logits > 0, y, clusters, seed=seed),
        replace(cluster_mean((probabilities - y) ** 2, clusters, seed=seed), method="brier, cluster-bootstrap"),
        calibration(probabilities, y),
        cluster_auc(position, y, clusters, n_null=0, seed=seed),
        cluster_auc(wording, y, clusters, n_null=0, seed=seed),
        cluster_auc_difference(wording, scores, y, clusters, seed=seed),
    )


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What is said of each example by what was fitted on other problems. Arrays are [n]."""

    probe: _Scores
    """P(label) from the activation."""
    wording: _Scores
    """Log odds from the text alone."""
    place: _Scores
    """Log odds from tokens and steps before the place alone."""


def held_out_probabilities(
    examples: Examples, method: Method = "logistic", *, n_folds: int = 5, seed: int = 0
) -> HeldOut:
    """Score every example by a probe, and by its two baselines, fitted on other problems.

    Raises:
        DataError: A fold would leave one class.
    """
    from scipy.special import expit

    fold = problem_folds(examples.problems, n_folds, seed)
    x, y, problems = examples.x.astype(float), examples.y, examples.problems
    penalties = _penalties(x, y, problems, fold, seed) if method == "logistic" else {}
    logits, _ = _held_out(x, y, problems, fold, method, seed, penalties)
    loose = dict.fromkeys(np.unique(fold), 1.0)
    place, _ = _held_out(_places(examples), y, problems, fold, "logistic", seed, loose)
    return HeldOut(np.asarray(expit(logits), dtype=float), wording_scores(examples, fold, seed), place)


def balanced_accuracy(said: NDArray[np.bool_], y: NDArray[np.bool_], clusters: list[str], *, seed: int) -> Estimate:
    """Mean of the two classes' shares that were told rightly.

    Each example weighs 1 / (2 × share of its class), which makes the plain mean the balanced one; the class shares are
    taken as given.
    """
    share = np.where(y, y.mean(), 1 - y.mean())
    weighed = cluster_mean((said == y) / (2 * share), clusters, seed=seed)
    return replace(weighed, method="balanced accuracy, cluster-bootstrap")


def calibration(probabilities: _Scores, y: NDArray[np.bool_], n_bins: int = 10) -> Calibration:
    """Said against seen in bins of equal size."""
    parts = [part for part in np.array_split(np.argsort(probabilities, kind="stable"), n_bins) if len(part)]
    said = [float(probabilities[part].mean()) for part in parts]
    seen = [float(y[part].mean()) for part in parts]
    n = [len(part) for part in parts]
    error = sum(abs(a - b) * k for a, b, k in zip(said, seen, n, strict=True)) / len(y)
    return Calibration(tuple(said), tuple(seen), tuple(n), error)


def wording_scores(examples: Examples, fold: NDArray[np.intp], seed: int) -> _Scores:
    """Held-out scores [n] of a logistic regression on TF-IDF (words, and pairs of words) of the text alone, centred."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, y = np.array(examples.texts, dtype=object), examples.y
    scores = np.zeros(len(y))
    if not any(examples.texts):
        return scores
    for held in np.unique(fold):
        train = _training(y, fold, held)
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", max_features=20_000)
        rows = vectorizer.fit_transform(texts[train])
        model = LogisticRegression(C=1.0, max_iter=500, random_state=seed).fit(rows, y[train])
        centre = model.decision_function(rows).mean()
        scores[~train] = model.decision_function(vectorizer.transform(texts[~train])) - centre
    return scores


def _held_out(
    x: _Scores,
    y: NDArray[np.bool_],
    problems: NDArray[np.str_],
    fold: NDArray[np.intp],
    method: Method,
    seed: int,
    penalties: Mapping[int, float],
) -> tuple[_Scores, _Scores]:
    """Held-out logits [n], and the same less the mean of each fold's training examples."""
    logits, centred = np.zeros(len(y)), np.zeros(len(y))
    for held in np.unique(fold):
        train = _training(y, fold, held)
        weight, bias = fit_rows(x[train], y[train], problems[train], method, seed, penalties.get(held))
        logits[~train] = x[~train] @ weight + bias
        centred[~train] = (x[~train] - x[train].mean(axis=0)) @ weight
    return logits, centred


def _penalties(
    x: _Scores, y: NDArray[np.bool_], problems: NDArray[np.str_], fold: NDArray[np.intp], seed: int
) -> dict[int, float]:
    """Of each fold's probe, chosen within its training examples."""
    found = {}
    for held in np.unique(fold):
        train = _training(y, fold, held)
        scale = x[train].std(axis=0)
        scale[scale == 0] = 1.0
        rows = (x[train] - x[train].mean(axis=0)) / scale
        found[int(held)] = chosen_penalty(rows, y[train], problems[train], seed)
    return found


def _training(y: NDArray[np.bool_], fold: NDArray[np.intp], held: int) -> NDArray[np.bool_]:
    train: NDArray[np.bool_] = fold != held
    if y[train].all() or not y[train].any():
        raise DataError("the examples outside one fold of problems all have the same label: sample more problems")
    return train


def _places(examples: Examples) -> _Scores:
    tokens, steps = examples.place.T
    return np.column_stack([tokens, steps, np.log1p(tokens), np.log1p(steps), steps**2])


def _with_null(found: Estimate, null: _Scores) -> Estimate:
    if found.value is None or not len(null):
        return found
    p = (1 + int((null >= found.value).sum())) / (1 + len(null))
    return replace(found, null_mean=float(null.mean()), null_q95=float(np.quantile(null, 0.95)), p=p)
