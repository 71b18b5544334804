"""In which category of reasoning a feature fires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotlab.interventions import SparseAutoencoder
from cotlab.saes.activations import read_rows
from cotlab.saes.redraws import Redraws
from cotlab.saes.traces import Trace, kept, special_ids
from cotlab.stats import Estimate
from cotlab.whitebox.inside import Inside

__all__ = ["FiresIn", "fires_in"]


@dataclass(frozen=True, slots=True)
class FiresIn:
    """A category of reasoning that a feature prefers."""

    feature: int
    category: str
    share: float
    """Of its firing, that lies in the category."""
    lift: Estimate
    """That share over the category's share of the tokens; 1 where the feature does not care. The interval is
    Bonferroni's over the categories, of which this is the best."""


def fires_in(
    inside: Inside,
    sae: SparseAutoencoder,
    features: Sequence[int],
    traces: Sequence[Trace],
    categories: Callable[[Trace], Sequence[str]],
    *,
    seed: int = 0,
) -> list[FiresIn]:
    """The category that each of some features prefers, by the lower end of its lift; none where that is not above 1.

    Args:
        inside: The model whose activations are read.
        sae: The autoencoder.
        features: Which of its features.
        traces: What is read.
        categories: Category of each token of a trace; "" where it has none (prompt, tags).
        seed: Of the bootstrap.
    """
    special = special_ids(inside.tokenizer)
    fired: list[Counter[tuple[int, str]]] = []
    sizes: list[Counter[str]] = []
    for trace, rows in read_rows(inside, traces, sae.point, special):
        mask = kept(trace, special)
        named = np.array(categories(trace), dtype=object)[mask]
        active = sae.encode_sparse(rows)
        at, which = active.tokens.cpu().numpy(), active.features.cpu().numpy()
        fired.append(Counter((f, c) for f in features for c in named[at[which == f]]))
        sizes.append(Counter(named.tolist()))
    names = sorted({name for size in sizes for name in size} - {""})
    redraws = Redraws.of([trace.problem for trace in traces], seed=seed)
    tokens = _column(sizes, names)
    found = []
    for feature in features:
        hits = np.array([[one[feature, name] for name in names] for one in fired], dtype=float)
        best = _preferred(feature, names, hits, tokens, redraws)
        found += [best] if best is not None else []
    return found


def _preferred(
    feature: int, names: list[str], hits: NDArray[np.float64], tokens: NDArray[np.float64], redraws: Redraws
) -> FiresIn | None:
    by_hits, by_tokens = redraws.sums(hits), redraws.sums(tokens)
    best: FiresIn | None = None
    for index, name in enumerate(names):

        def lift(w: NDArray[np.float64], i: int = index) -> NDArray[np.float64]:
            fired, size = w @ by_hits, w @ by_tokens
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(fired[:, i] / fired.sum(1) / (size[:, i] / size.sum(1)), dtype=np.float64)

        estimate = redraws.estimate(lift, level=1 - 0.05 / len(names))
        least = 1.0 if best is None or best.lift.low is None else best.lift.low
        if estimate.low is not None and estimate.low > least:
            best = FiresIn(feature, name, float(hits[:, index].sum() / hits.sum()), estimate)
    return best


def _column(sizes: Sequence[Counter[str]], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[size[name] for name in names] for size in sizes], dtype=float)
