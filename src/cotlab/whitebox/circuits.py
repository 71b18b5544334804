"""Circuits: how much of a model's answer some edges carry alone, and whether all of them are needed.

All other edges carry the corrupt run (Hanna et al. 2024, §2). With the loss L of the pairs, summed:

- **faithfulness** = (L(corrupt) − L(circuit)) / (L(corrupt) − L(clean)): 1 where the circuit does all that the model
  does, 0 where it does what the corrupt run does. Null: circuits of as many edges drawn at random.
- **left without it**: the same of all edges but the circuit. A complete circuit leaves nothing (Wang et al. 2022).
- **minimality**: what the circuit's faithfulness loses when one of its edges is taken out. Edges that lose nothing are
  not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotlab.errors import DataError
from cotlab.stats import Estimate
from cotlab.stats.bootstrap import expanded_tail
from cotlab.whitebox.attribution import EdgeMetric, losses
from cotlab.whitebox.edge_passes import EdgePasses
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.patching import Pair

__all__ = ["CircuitEdge", "CircuitReport", "evaluate_circuit"]

_METHOD = "share of the loss, bootstrap over pairs"
NEEDED = 0.01
"""An edge is needed where faithfulness loses at least that without it."""


@dataclass(frozen=True, slots=True)
class CircuitEdge:
    """An edge of a circuit."""

    writer: str
    reader: str
    loses: float
    """Faithfulness of the circuit less that of the circuit without this edge."""


@dataclass(frozen=True, slots=True)
class CircuitReport:
    """What a circuit does."""

    n_edges: int
    n_all: int
    faithfulness: Estimate
    left_without: Estimate
    edges: tuple[CircuitEdge, ...]
    """From the most to the least needed; empty where minimality was not asked for."""

    @property
    def needed(self) -> float | None:
        """Share of the edges without which faithfulness loses 0.01 or more; None where that was not asked for."""
        return sum(edge.loses >= NEEDED for edge in self.edges) / len(self.edges) if self.edges else None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "needed": self.needed}


def evaluate_circuit(
    inside: Inside,
    pairs: Sequence[Pair],
    kept: Tensor,
    *,
    metric: EdgeMetric = "logit-difference",
    minimality: bool = True,
    n_random: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CircuitReport:
    """Measure a circuit.

    Args:
        inside: The model.
        pairs: Clean and corrupt runs; others than those that the circuit was found on say more.
        kept: (writers, readers): its edges, such as `Attribution.circuit` gives.
        metric: What the loss is.
        minimality: Whether to take out each edge once (a pass an edge and pair).
        n_random: Random circuits of as many edges, for the null.
        seed: Of these and of the interval.
        progress: Told circuits measured and in all.

    Raises:
        DataError: The circuit is empty or of another model, or the pairs' losses do not differ.
    """
    passes = EdgePasses.of(inside)
    exists = passes.graph.exists()
    if kept.shape != exists.shape or not kept.any() or bool((kept & ~exists).any()):
        raise DataError(f"a circuit of shape {tuple(kept.shape)} with {int(kept.sum())} edges is none of this model")
    rng, places = np.random.default_rng(seed), kept.nonzero().tolist()
    wanted = [kept, exists & ~kept]
    wanted += [_random(exists, len(places), rng) for _ in range(n_random)]
    if minimality:
        wanted += [_without(kept, u, v) for u, v in places]
    share = _Share.of(passes, pairs, metric)
    measured = []
    for done, one in enumerate(wanted):
        measured.append(share.losses(one))
        if progress:
            progress(done + 1, len(wanted))
    null = np.array([share.of_all(one) for one in measured[2 : 2 + n_random]])
    whole = share.of_all(measured[0])
    writers, readers = passes.graph.writers, passes.graph.readers
    edges = [
        CircuitEdge(writers[u], readers[v], whole - share.of_all(one))
        for (u, v), one in zip(places, measured[2 + n_random :], strict=False)
    ]
    return CircuitReport(
        len(places),
        int(exists.sum()),
        share.estimate(measured[0], null, seed),
        share.estimate(measured[1], np.empty(0), seed),
        tuple(sorted(edges, key=lambda edge: -edge.loses)),
    )


def _random(exists: Tensor, n: int, rng: np.random.Generator) -> Tensor:
    places = exists.nonzero()
    found = torch.zeros_like(exists)
    u, v = places[torch.from_numpy(rng.choice(len(places), size=n, replace=False))].T
    found[u, v] = True
    return found


def _without(kept: Tensor, u: int, v: int) -> Tensor:
    found = kept.clone()
    found[u, v] = False
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """Losses as shares of the way from the corrupt runs to the clean ones."""

    passes: EdgePasses
    pairs: Sequence[Pair]
    corrupt: tuple[Tensor, ...]
    loss: tuple[Callable[[Tensor], Tensor], ...]
    at_clean: NDArray[np.float64]
    at_corrupt: NDArray[np.float64]

    @classmethod
    def of(cls, passes: EdgePasses, pairs: Sequence[Pair], metric: EdgeMetric) -> _Share:
        if not pairs:
            raise DataError("no pair of runs is given")
        traces = [(passes.trace(pair.clean_run), passes.trace(pair.corrupt_run)) for pair in pairs]
        loss = tuple(losses(pair, metric, clean.logits) for pair, (clean, _) in zip(pairs, traces, strict=True))
        ends = [[float(of(trace.logits)) for trace in both] for of, both in zip(loss, traces, strict=True)]
        at_clean, at_corrupt = np.array(ends).T
        if at_corrupt.sum() - at_clean.sum() < 1e-3:
            raise DataError(
                "the corrupt runs lose nothing against the clean ones: there is nothing that a circuit does"
            )
        return cls(passes, pairs, tuple(corrupt.written for _, corrupt in traces), loss, at_clean, at_corrupt)

    def losses(self, kept: Tensor) -> NDArray[np.float64]:
        """[pairs] with some edges kept."""
        rows = zip(self.pairs, self.corrupt, self.loss, strict=True)
        return np.array(
            [float(loss(self.passes.patched(pair.clean_run, corrupt, kept))) for pair, corrupt, loss in rows]
        )

    def of_all(self, found: NDArray[np.float64]) -> float:
        return float((self.at_corrupt - found).sum() / (self.at_corrupt - self.at_clean).sum())

    def estimate(self, found: NDArray[np.float64], null: NDArray[np.float64], seed: int) -> Estimate:
        """With an interval from drawing pairs again, where there are 5 or more of them."""
        n, low, high = len(self.pairs), None, None
        gone, whole = self.at_corrupt - found, self.at_corrupt - self.at_clean
        if n >= 5:
            drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=5_000)
            tail = expanded_tail(n, 0.95)
            low, high = (float(end) for end in np.quantile((drawn @ gone) / (drawn @ whole), [tail, 1 - tail]))
        value = self.of_all(found)
        return Estimate(
            value,
            low,
            high,
            n=n,
            null_mean=float(null.mean()) if len(null) else None,
            null_q95=float(np.quantile(np.abs(null), 0.95)) if len(null) else None,
            p=float((1 + (null >= value).sum()) / (1 + len(null))) if len(null) else None,
            method=_METHOD,
            reason=None if n >= 5 else f"no interval: {n} pairs, at least 5 are needed",
        )
