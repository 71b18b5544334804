"""Three ways to fit a linear probe.

- **logistic**: L2-penalised logistic regression on standardised activations; the penalty is chosen by log loss over
  folds of problems within the training examples.
- **mass-mean**: difference of the class means (Marks and Tegmark 2023, "The Geometry of Truth", §4), scaled to log odds
  along that one direction. It moves least with spurious correlations, and is what steering uses.
- **ridge**: least squares on ±1, the penalty by generalised cross-validation, scaled to log odds likewise.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import DataError
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.probe import Probe, ProbeCard

__all__ = ["METHODS", "Method", "fit_probe", "problem_folds"]

Method = Literal["logistic", "mass-mean", "ridge"]
METHODS: tuple[Method, ...] = get_args(Method)

_WIDE = 512
"""Features from which second-order steps cost more than they save."""
_PENALTIES = (1e-3, 1e-2, 1e-1)
"""Inverse strength C of the logistic penalty, on standardised activations."""
_Rows = NDArray[np.float64]


def fit_probe(
    examples: Examples, method: Method = "logistic", *, seed: int = 0, card: ProbeCard | None = None
) -> Probe:
    """Fit a probe to all examples.

    Args:
        examples: What to learn from.
        method: How.
        seed: Of the inner folds.
        card: Model, revision and place, where they are known; the rest is filled in.

    Raises:
        DataError: The method is unknown, or there are no examples of both classes.
    """
    checked_method(method)
    weight, bias = fit_rows(examples.x.astype(float), examples.y, examples.problems, method, seed)
    given = card or ProbeCard("", "", "")
    made = ProbeCard(
        label=examples.label,
        hook=examples.hook,
        method=method,
        model=given.model,
        revision=given.revision,
        at=given.at,
        n_examples=len(examples),
        n_problems=len(np.unique(examples.problems)),
        problems=tuple(np.unique(examples.problems).tolist()),
        positive_share=float(examples.y.mean()),
    )
    return Probe(weight, bias, made)


def checked_method(name: str) -> Method:
    """A method by its name.

    Raises:
        DataError: There is none of that name.
    """
    found: Method | None = next((method for method in METHODS if method == name), None)
    if found is None:
        raise DataError(f"unknown probe method {name!r}: choose one of {', '.join(METHODS)}")
    return found


def fit_rows(
    x: _Rows,
    y: NDArray[np.bool_],
    problems: NDArray[np.str_],
    method: Method,
    seed: int,
    penalty: float | None = None,
) -> tuple[_Rows, float]:
    """Weight [features] and bias of log odds, for any rows [n, features]; `penalty` None: chosen (logistic).

    Raises:
        DataError: A class is empty.
    """
    if y.all() or not y.any():
        raise DataError(f"all {len(y)} examples have the same label: a probe needs both")
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1.0
    rows = (x - mean) / scale
    if method == "logistic":
        weight, bias = _logistic(rows, y, penalty or chosen_penalty(rows, y, problems, seed))
    elif method == "ridge":
        weight, bias = _along(rows, y, _ridge(rows, y))
    else:
        # In raw units: the difference of means itself, not one that standardising has bent.
        weight, bias = _along(x, y, x[y].mean(axis=0) - x[~y].mean(axis=0))
        return weight, bias
    return weight / scale, bias - float(weight @ (mean / scale))


def problem_folds(problems: NDArray[np.str_], n_folds: int, seed: int) -> NDArray[np.intp]:
    """Fold [n] of each example: whole problems, dealt out at random, as many in each fold as can be."""
    names, index = np.unique(problems, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    fold = np.empty(len(names), dtype=np.intp)
    fold[order] = np.arange(len(names)) % min(n_folds, len(names))
    return fold[index]


def _logistic(rows: _Rows, y: NDArray[np.bool_], penalty: float) -> tuple[_Rows, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    solver = "newton-cholesky" if rows.shape[1] <= _WIDE else "lbfgs"
    model = LogisticRegression(C=penalty, max_iter=500, solver=solver)
    with warnings.catch_warnings():
        # Nearly converged is as good under this penalty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, y)
    return model.coef_[0], float(model.intercept_[0])


def chosen_penalty(rows: _Rows, y: NDArray[np.bool_], problems: NDArray[np.str_], seed: int) -> float:
    """The penalty C of the least log loss on problems held out of rows [n, features]."""
    fold = problem_folds(problems, 3, seed)
    best, chosen = np.inf, _PENALTIES[0]
    for penalty in _PENALTIES:
        scores = np.zeros(len(y))
        for held in np.unique(fold):
            train = fold != held
            if train.all() or not train.any() or y[train].all() or not y[train].any():
                return _PENALTIES[1]
            weight, bias = _logistic(rows[train], y[train], penalty)
            scores[~train] = rows[~train] @ weight + bias
        loss = float(np.logaddexp(0, np.where(y, -scores, scores)).mean())
        if loss < best:
            best, chosen = loss, penalty
    return chosen


def _ridge(rows: _Rows, y: NDArray[np.bool_]) -> _Rows:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=np.logspace(-1, 5, 13))
    model.fit(rows, np.where(y, 1.0, -1.0))
    return np.asarray(model.coef_, dtype=float)


def _along(x: _Rows, y: NDArray[np.bool_], direction: _Rows) -> tuple[_Rows, float]:
    """Log odds along one direction: a logistic regression on the projection alone."""
    size = float(np.linalg.norm(direction))
    if size == 0:
        return np.zeros(x.shape[1]), float(np.log(y.mean() / (1 - y.mean())))
    projection = x @ (direction / size)
    spread = float(projection.std()) or 1.0
    slope, bias = _logistic(((projection - projection.mean()) / spread)[:, None], y, 1e3)
    weight = direction / size * float(slope[0]) / spread
    return weight, bias - float(slope[0]) * float(projection.mean()) / spread
