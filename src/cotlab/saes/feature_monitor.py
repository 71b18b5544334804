"""A monitor that reads features of a sparse autoencoder, at the end of what is shown of a response.

It is a sparse probe (`cotlab.whitebox.sparse_probe`), learned from the training responses only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotlab.interventions import SparseAutoencoder
from cotlab.measures import Shown, folds_of
from cotlab.saes.traces import special_ids
from cotlab.stats import Estimate, cluster_mean
from cotlab.whitebox.at_end import EndReader
from cotlab.whitebox.sparse_probe import SPARSE_K, SparseProbe, differences, encoded, fit_sparse_probe

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["ChosenFeature", "FeatureMonitor", "SAEHere", "sae_here"]

READ = 60
"""Responses that L0 and explained variance stand on."""


@dataclass(frozen=True, slots=True)
class ChosenFeature:
    """A feature that a monitor stands on."""

    feature: int
    difference: float
    """Over all responses: mean where the label holds less mean where not, in standard deviations."""
    folds: int
    """Of how many folds' training examples it was chosen."""
    of: int
    """Folds."""


class FeatureMonitor:
    """A monitor that may be called as any other."""

    def __init__(self, reader: EndReader, sae: SparseAutoencoder, *, k: int = SPARSE_K) -> None:
        """Prepare; nothing is read yet.

        Args:
            reader: Of the responses; the autoencoder's hook point is one of its points.
            sae: Of the reader's model, or said to be transferred to it.
            k: Features that are chosen.

        Raises:
            ModelError: It does not fit the model.
        """
        sae.check(reader.inside.shape, reader.inside.name, reader.inside.revision)
        self.reader, self.sae, self.k = reader, sae, k
        self._seen: dict[tuple[str, str], tuple[NDArray[np.int32], NDArray[np.float32]]] = {}

    def __call__(self, train: Sequence[Shown], test: Sequence[Shown]) -> NDArray[np.float64]:
        """Scores [test]: log odds less those of the training examples' classes, so that both weigh alike."""
        y = np.array([row.label for row in train])
        return self.probe(train)(self.read(test)) - float(np.log(y.mean() / (1 - y.mean())))

    def probe(self, train: Sequence[Shown]) -> SparseProbe:
        """What is learned from some responses."""
        y = np.array([row.label for row in train])
        return fit_sparse_probe(self.read(train), y, np.array([row.problem for row in train]), k=self.k)

    def read(self, rows: Sequence[Shown]) -> csr_matrix:
        """Feature activations (rows, d_sae) at the end of what each shows."""
        from scipy.sparse import csr_matrix as matrix

        fresh = [row for row in rows if (row.rollout_id, row.text) not in self._seen]
        if fresh:
            active = encoded(self.sae, self.reader.read(fresh, self.sae.point))
            ends = zip(active.indptr, active.indptr[1:], strict=False)
            for row, (start, stop) in zip(fresh, ends, strict=True):
                self._seen[row.rollout_id, row.text] = active.indices[start:stop], active.data[start:stop]
        found = [self._seen[row.rollout_id, row.text] for row in rows]
        starts = np.cumsum([0, *(len(features) for features, _ in found)])
        features, values = (np.concatenate([one[k] for one in found]) for k in (0, 1))
        return matrix((values, features, starts), shape=(len(rows), self.sae.d_sae))

    def chosen(self, rows: Sequence[Shown], *, n_folds: int = 5, seed: int = 0) -> list[ChosenFeature]:
        """Which features `held_out_scores` of these responses stand on, those of most folds first."""
        folds = folds_of(rows, n_folds=n_folds, seed=seed)
        times: Counter[int] = Counter()
        for held in folds:
            times.update(self.probe([rows[i] for i in sorted(set(range(len(rows))) - set(held))]).features)
        apart = differences(self.read(rows), np.array([row.label for row in rows]))
        found = [ChosenFeature(one, float(apart[one]), n, len(folds)) for one, n in times.items()]
        return sorted(found, key=lambda one: (-one.folds, -abs(one.difference), one.feature))


@dataclass(frozen=True, slots=True)
class SAEHere:
    """What an autoencoder is worth on the model that it reads."""

    name: str
    transferred_from: str
    """The model that it is of, where it reads another; else empty."""
    l0: Estimate
    """Active features a token."""
    explained_variance: Estimate
    """1 − E‖x − x̂‖² / E‖x − E x‖², by response."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"name": self.name, "transferred_from": self.transferred_from or None}
        return {**told, "l0": self.l0.to_json(), "explained_variance": self.explained_variance.to_json()}


def sae_here(reader: EndReader, sae: SparseAutoencoder, rows: Sequence[Shown], *, n: int = READ) -> SAEHere:
    """L0 and explained variance on the first responses with their prompts, each problem's once before any comes twice.

    Special tokens are left out, as in the transfer test: they are unlike all others, and no feature is of them.
    The mean activation is that of all these tokens; values are means over responses, clustered by problem.

    Raises:
        DataError: A response has no tokens.
    """
    import torch

    turn = Counter[str]()
    order = list[tuple[int, int]]()
    for row in rows:
        order.append((turn[row.problem], len(order)))
        turn[row.problem] += 1
    taken = [rows[i] for _, i in sorted(order)[:n]]
    special = torch.tensor(sorted(special_ids(reader.inside.tokenizer)))
    with torch.no_grad():
        read = []
        for row in taken:
            tokens = reader.tokens.prompt(row).extend(reader.tokens.ids(row))
            ordinary = ~torch.isin(torch.tensor(tokens.token_ids), special)
            read.append(reader.inside.read(tokens, [sae.point])[sae.point][ordinary])
        centre = torch.cat(read).mean(dim=0)
        l0 = [len(sae.encode_sparse(x.to(sae.b_dec)).values) / len(x) for x in read]
        left = [float((x - sae.reconstruct(x.to(sae.b_dec)).to(x)).square().sum()) for x in read]
        whole = [float((x - centre).square().sum()) for x in read]
    problems = [row.problem for row in taken]
    explained = [1 - lost / all_of for lost, all_of in zip(left, whole, strict=True)]
    label = sae.card.name or sae.id
    return SAEHere(label, sae.card.transferred_from, cluster_mean(l0, problems), cluster_mean(explained, problems))
