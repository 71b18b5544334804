"""Fits the linear-chain random field: maximum penalised likelihood by L-BFGS, with exact gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize

from cotlab.categories.model import CategoryModel
from cotlab.chains.categories import Category

FloatArray = NDArray[np.float64]
LEAST = 2
"""A feature must be there this often in what is trained on."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A chain with the features and the category of each sentence."""

    name: str
    problem: str
    sentences: tuple[str, ...]
    features: tuple[dict[str, float], ...]
    labels: tuple[str, ...]
    weight: float = 1.0
    """How much each of its sentences counts in training."""


@dataclass(frozen=True, slots=True)
class Penalty:
    """Half of this times the sum of squares is taken from the log likelihood."""

    weights: float = 8.0
    transitions: float = 0.1


def fit(
    chains: Sequence[Labelled],
    categories: tuple[Category, ...],
    penalty: Penalty = Penalty(),  # noqa: B008 - frozen
    iterations: int = 60,
) -> CategoryModel:
    """Fit the weights of a model to labelled chains."""
    counts = Counter(name for chain in chains for row in chain.features for name in row)
    names = {name: row for row, name in enumerate(sorted(name for name, n in counts.items() if n >= LEAST))}
    fields = [_Field(alike, categories, _table(alike, names)) for alike in _by_length(chains)]
    k, f = len(categories), len(names)
    scales = np.repeat([penalty.weights, 0, penalty.transitions, 0], [f * k, k, k * k, k])

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        losses, gradients = zip(*(field.loss(x) for field in fields), strict=True)
        return sum(losses) + float(scales @ x**2) / 2, sum(gradients) + scales * x

    found = minimize(objective, np.zeros(len(scales)), jac=True, method="L-BFGS-B", options={"maxiter": iterations}).x
    weights, bias, transitions, start = fields[0].parts(found)
    share = Counter(label for chain in chains for label in chain.labels)
    prior = np.array([share[category] for category in categories], dtype=float)
    return CategoryModel(categories, names, weights, bias, transitions, start, prior / prior.sum())


def _by_length(chains: Sequence[Labelled]) -> list[list[Labelled]]:
    """Chains that go step by step together: the longest at most half as long again as the shortest."""
    groups: list[list[Labelled]] = []
    for chain in sorted(chains, key=lambda chain: len(chain.labels)):
        if groups and len(chain.labels) <= 1.5 * len(groups[-1][0].labels):
            groups[-1].append(chain)
        else:
            groups.append([chain])
    return groups


def _table(chains: Sequence[Labelled], names: dict[str, int]) -> sp.csr_matrix:
    rows = [row for chain in chains for row in chain.features]
    cells = [(i, names[name], value) for i, row in enumerate(rows) for name, value in row.items() if name in names]
    at, column, value = zip(*cells, strict=True)
    return sp.csr_matrix((value, (at, column)), shape=(len(rows), len(names)))


class _Field:
    """Negative log likelihood and its gradient; all chains go step by step together."""

    def __init__(self, chains: Sequence[Labelled], categories: tuple[Category, ...], table: sp.csr_matrix) -> None:
        self.k, self.table, self.turned = len(categories), table, table.T.tocsr()
        lengths = [len(chain.labels) for chain in chains]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        longest = max(lengths)
        self.inside = np.arange(longest)[None] < np.array(lengths)[:, None]
        self.rows = np.where(self.inside, starts[:-1, None] + np.arange(longest)[None], 0)
        self.gold = np.array([categories.index(label) for chain in chains for label in chain.labels])
        self.weight = np.array([chain.weight for chain in chains])

    def parts(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        k, f = self.k, self.table.shape[1]
        weights, bias, transitions, start = np.split(x, np.cumsum([f * k, k, k * k]))
        return weights.reshape(f, k), bias, transitions.reshape(k, k), start

    def loss(self, x: FloatArray) -> tuple[float, FloatArray]:
        weights, bias, transitions, start = self.parts(x)
        scores = (self.table @ weights + bias)[self.rows]
        forward, backward = self._sums(scores, transitions, start)
        total = np.logaddexp.reduce(forward[:, -1], axis=1)
        gold = self.gold[self.rows]
        pairs = self.inside[:, 1:]
        said = np.take_along_axis(scores, gold[..., None], 2)[..., 0] * self.inside
        moved = transitions[gold[:, :-1], gold[:, 1:]] * pairs
        likelihood = said.sum(1) + moved.sum(1) + start[gold[:, 0]] - total
        share = np.exp(forward + backward - total[:, None, None]) * self.inside[..., None]
        rest = (share - np.eye(self.k)[gold] * self.inside[..., None]) * self.weight[:, None, None]
        flat = np.zeros((len(self.gold), self.k))
        flat[self.rows[self.inside]] = rest[self.inside]
        joint = (
            forward[:, :-1, :, None] + transitions + (scores + backward)[:, 1:, None, :] - total[:, None, None, None]
        )
        expected = np.exp(np.minimum(joint, 0)) * pairs[..., None, None] * self.weight[:, None, None, None]
        seen = np.zeros((self.k, self.k))
        np.add.at(
            seen, (gold[:, :-1][pairs], gold[:, 1:][pairs]), np.broadcast_to(self.weight[:, None], pairs.shape)[pairs]
        )
        gradient = [(self.turned @ flat).ravel(), flat.sum(0), (expected.sum((0, 1)) - seen).ravel(), rest[:, 0].sum(0)]
        return -float(self.weight @ likelihood), np.concatenate(gradient)

    def _sums(self, scores: FloatArray, transitions: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Forward and backward sums; behind the end of a chain the forward sums stay as they are."""
        forward, backward = np.empty(scores.shape), np.zeros(scores.shape)
        forward[:, 0] = scores[:, 0] + start
        for t in range(1, scores.shape[1]):
            step = np.logaddexp.reduce(forward[:, t - 1, :, None] + transitions, axis=1) + scores[:, t]
            forward[:, t] = np.where(self.inside[:, t, None], step, forward[:, t - 1])
        for t in range(scores.shape[1] - 2, -1, -1):
            step = np.logaddexp.reduce(transitions + (scores + backward)[:, t + 1, None, :], axis=2)
            backward[:, t] = np.where(self.inside[:, t + 1, None], step, 0)
        return forward, backward
