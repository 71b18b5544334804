"""Edge attribution: which edges of the computational graph carry the difference between two runs.

An edge's effect is what the loss rises by when that edge alone carries the corrupt run. It is measured exactly, one
pass an edge, or estimated for all edges at once from gradients:

- **eap** (Syed et al. 2023, "Attribution Patching Outperforms Automated Circuit Discovery"):
  (z'_u − z_u) · ∇_v L at the clean run.
- **eap-ig** (Hanna et al. 2024, "Have Faith in Faithfulness"): the same with the mean of the gradients at m inputs
  between the two runs, z' + (k/m)(z − z'), k = 1 … m, where z and z' are the embeddings.

The loss is minus the logit difference, answer − other, or KL(clean ‖ run) of the next token, whose gradient is zero at
the clean run: KL needs eap-ig. Scores above 0 are edges that carry the clean answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from cotlab.errors import DataError
from cotlab.stats import Estimate, rank_correlation
from cotlab.whitebox.edge_passes import EdgePasses, Trace
from cotlab.whitebox.edges import EdgeGraph
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.patching import Pair
from cotlab.whitebox.tensor_files import load_tensors, save_tensors

__all__ = ["Attribution", "Edge", "EdgeMetric", "Method", "attribute_edges", "losses"]

Method = Literal["eap-ig", "eap", "exact"]
EdgeMetric = Literal["logit-difference", "kl"]
FORMAT = "cotlab-attribution/1"
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge and its score."""

    writer: str
    reader: str
    score: float
    """Mean over the pairs, in units of the loss."""
    share: float
    """Of what the loss rises by when the whole run is the corrupt one."""


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Scores of all edges of a model."""

    graph: EdgeGraph
    method: Method
    metric: EdgeMetric
    steps: int
    """Points on the way between the two runs; 1 where the method has no way."""
    scores: Tensor
    """(pairs, writers, readers); 0 where there is no edge."""
    clean: Tensor
    """(pairs) loss of the clean runs."""
    corrupt: Tensor
    """(pairs) loss of the corrupt runs."""
    model: str
    revision: str

    @property
    def mean(self) -> Tensor:
        """(writers, readers) mean score over the pairs."""
        return self.scores.mean(dim=0)

    def edges(self, n: int | None = None) -> list[Edge]:
        """The edges of the largest scores, by absolute value; all by default."""
        mean, exists = self.mean, self.graph.exists()
        order = mean.abs().masked_fill(~exists, -1.0).flatten().argsort(descending=True, stable=True)
        total = float((self.corrupt - self.clean).mean())
        writers, readers, found = self.graph.writers, self.graph.readers, []
        for flat in order[: int(exists.sum()) if n is None else min(n, int(exists.sum()))].tolist():
            u, v = divmod(flat, len(readers))
            found.append(Edge(writers[u], readers[v], float(mean[u, v]), float(mean[u, v]) / total))
        return found

    def nodes(self) -> dict[str, float]:
        """Score of each writer: the sum over its edges, which is what attribution patching gives the node."""
        return dict(zip(self.graph.writers, self.mean.sum(dim=1).tolist(), strict=True))

    def circuit(self, n: int) -> Tensor:
        """(writers, readers): the `n` edges of the largest |score|, less those on no way from input to logits.

        Raises:
            DataError: There are not so many edges.
        """
        exists = self.graph.exists()
        if not 1 <= n <= int(exists.sum()):
            raise DataError(f"a circuit of {n} edges: the model has 1..{int(exists.sum())}")
        chosen = torch.zeros_like(exists).flatten()
        chosen[self.mean.abs().masked_fill(~exists, -1.0).flatten().argsort(descending=True, stable=True)[:n]] = True
        return self.graph.connected(chosen.view_as(exists))

    def agreement(self, other: Attribution) -> Estimate:
        """Spearman's ρ of the scores of all edges with another's; what is drawn again are the edges of a writer."""
        if self.graph != other.graph:
            raise DataError("the two attributions are of models with other heads or layers")
        exists = self.graph.exists()
        writers = torch.arange(len(exists))[:, None].expand_as(exists)[exists].tolist()
        return rank_correlation(self.mean[exists].tolist(), other.mean[exists].tolist(), writers)

    def save(self, path: Path | str) -> Path:
        """Write one safetensors file."""
        names = ("method", "metric", "steps", "model", "revision")
        card = {"graph": asdict(self.graph), **{name: getattr(self, name) for name in names}}
        return save_tensors(path, FORMAT, card, {"scores": self.scores, "clean": self.clean, "corrupt": self.corrupt})

    @classmethod
    def load(cls, path: Path | str) -> Attribution:
        """Read one.

        Raises:
            DataError: The file is not there, or is no attribution.
        """
        card, (scores, clean, corrupt) = load_tensors(path, FORMAT, _Card, ("scores", "clean", "corrupt"))
        if scores.shape[1:] != card.graph.exists().shape or len(scores) != len(clean):
            raise DataError(f"{path} holds scores of shape {tuple(scores.shape)}, which its graph does not have")
        return cls(card.graph, card.method, card.metric, card.steps, scores, clean, corrupt, card.model, card.revision)


@dataclass(frozen=True, slots=True)
class _Card:
    graph: EdgeGraph
    method: Method
    metric: EdgeMetric
    steps: int
    model: str
    revision: str


def attribute_edges(
    inside: Inside,
    pairs: Sequence[Pair],
    *,
    method: Method = "eap-ig",
    metric: EdgeMetric = "logit-difference",
    steps: int = 5,
    progress: Told | None = None,
) -> Attribution:
    """Score every edge, on one pair of runs or on several.

    Args:
        inside: The model.
        pairs: Clean and corrupt runs, aligned by tokens.
        method: eap-ig, eap, or exact (one pass an edge and pair).
        metric: What the loss is.
        steps: m of eap-ig.
        progress: Told pairs done and in all; of exact, passes.

    Raises:
        DataError: There is no pair, or something cannot be asked for.
    """
    _check(pairs, method, metric, steps)
    passes = EdgePasses.of(inside)
    found, clean, corrupt = [], [], []
    for i, pair in enumerate(pairs):
        traces = passes.trace(pair.clean_run), passes.trace(pair.corrupt_run)
        loss = losses(pair, metric, traces[0].logits)
        clean.append(float(loss(traces[0].logits)))
        corrupt.append(float(loss(traces[1].logits)))
        if method == "exact":
            found.append(_exact(passes, pair, traces, loss, _Progress(progress, i, len(pairs))))
        else:
            found.append(_estimated(passes, pair, traces, loss, steps if method == "eap-ig" else 0))
            if progress:
                progress(i + 1, len(pairs))
    graph, m = passes.graph, steps if method == "eap-ig" else 1
    return Attribution(
        graph, method, metric, m, torch.stack(found), torch.tensor(clean), torch.tensor(corrupt), inside.name,
        inside.revision,
    )  # fmt: skip


def losses(pair: Pair, metric: EdgeMetric, clean: Tensor) -> Callable[[Tensor], Tensor]:
    """The loss of a pair: from logits (vocabulary) to one number; `clean` are the logits of its clean run."""
    if metric == "logit-difference":
        return lambda logits: logits[pair.other] - logits[pair.answer]
    goal = clean.detach().clone().float().log_softmax(-1)
    return lambda logits: (goal.exp() * (goal - logits.float().log_softmax(-1))).sum()


def _check(pairs: Sequence[Pair], method: str, metric: str, steps: int) -> None:
    for given, known, name in ((method, Method, "method"), (metric, EdgeMetric, "metric")):
        if given not in get_args(known):
            raise DataError(f"unknown {name} {given!r}; there are: {', '.join(get_args(known))}")
    if method == "eap" and metric == "kl":
        raise DataError("the gradient of KL is zero at the clean run, where eap takes it: use eap-ig")
    if steps < 1:
        raise DataError(f"steps is {steps}, expected 1 or more")
    if not pairs:
        raise DataError("no pair of runs is given")


@dataclass(frozen=True, slots=True)
class _Progress:
    """Passes of one pair as passes of all pairs."""

    progress: Told | None
    pair: int
    of: int

    def __call__(self, done: int, passes: int) -> None:
        if self.progress:
            self.progress(done + self.pair * passes, self.of * passes)


def _estimated(
    passes: EdgePasses, pair: Pair, traces: tuple[Trace, Trace], loss: Callable[[Tensor], Tensor], steps: int
) -> Tensor:
    """(writers, readers); steps 0: at the clean run alone."""
    clean, corrupt = (trace.written.clone() for trace in traces)
    change = corrupt - clean
    scores = torch.zeros(len(passes.graph.writers), len(passes.graph.readers), device=clean.device)
    points = [1.0] if not steps else [k / steps for k in range(1, steps + 1)]
    for part in points:
        embedding = corrupt[0] + part * (clean[0] - corrupt[0])
        for readers, gradient in passes.gradients(pair.clean_run, embedding, loss):
            scores[:, readers] += torch.einsum("utd,vtd->uv", change, gradient).float() / len(points)
    return scores.masked_fill(~passes.graph.exists().to(scores.device), 0.0).cpu()


def _exact(
    passes: EdgePasses, pair: Pair, traces: tuple[Trace, Trace], loss: Callable[[Tensor], Tensor], progress: Told
) -> Tensor:
    """(writers, readers): one pass for each edge."""
    exists = passes.graph.exists()
    places, start = exists.nonzero().tolist(), float(loss(traces[0].logits))
    scores = torch.zeros(exists.shape)
    for done, (u, v) in enumerate(places):
        kept = torch.ones_like(exists)
        kept[u, v] = False
        scores[u, v] = float(loss(passes.patched(pair.clean_run, traces[1].written, kept))) - start
        progress(done + 1, len(places))
    return scores
