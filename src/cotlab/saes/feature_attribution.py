"""What a step does by its features: gradient × activation, checked against ablation.

The metric is the mean log probability of the tokens of a later step, teacher-forced. A feature's attribution is the
first-order change of the metric when it is ablated at the step's tokens, with the error term kept:

    −Σ_t a_t,f · ⟨∂metric/∂x_t, d_f⟩

Exact ablation runs the model once a feature. How far the two agree is told as a rank correlation over features: the
strongest half by attribution and a random half of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.errors import UserError
from cotlab.interventions.feature_rows import token_by_token
from cotlab.interventions.sae_kernel import enter
from cotlab.sampling import Progress, Silent
from cotlab.stats import Estimate, rank_correlation
from cotlab.whitebox.run_chain import chain_spans, check_step

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder
    from cotlab.whitebox.inside import Inside

__all__ = ["FeatureAttribution", "FeatureEffect", "attribute_step"]


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """One feature at the tokens of a step."""

    feature: int
    attribution: float
    """Change of the metric when it is ablated, to first order, nats a token."""
    ablation: float | None
    """The same by running the model; None where that was not done."""
    active_tokens: int
    largest: float
    """Largest activation in the step, the autoencoder's units."""


@dataclass(frozen=True, slots=True)
class FeatureAttribution:
    """What features of a step do to a later one."""

    chain_id: str
    step: int
    target: int
    hook: str
    metric: float
    """Mean log probability of the target's tokens, nats."""
    effects: tuple[FeatureEffect, ...]
    """Strongest attribution first."""
    agreement: Estimate
    """Spearman's ρ of attribution and ablation over the features that were ablated."""
    together: float
    """Change of the metric when all features of the step are ablated together, by running the model."""
    error_term: float
    """Change of the metric when the step's activations are replaced by their reconstruction."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        names = ("chain_id", "step", "target", "hook", "metric", "together", "error_term")
        effects = [{name: getattr(one, name) for name in FeatureEffect.__slots__} for one in self.effects]
        return {**{name: getattr(self, name) for name in names}, "agreement": self.agreement.to_json(), "rows": effects}


def attribute_step(
    inside: Inside,
    sae: SparseAutoencoder,
    chain: Chain,
    step: int,
    *,
    target: int | None = None,
    n_exact: int = 40,
    seed: int = 0,
    progress: Progress | None = None,
) -> FeatureAttribution:
    """Attribute the effect of a step on a later one to features.

    Args:
        inside: The chain's model.
        sae: Of that model, or said to be transferred to it.
        chain: With token ids.
        step: Whose features.
        target: The later step whose log probability is the metric; the next one by default.
        n_exact: Features that are also ablated, one forward pass each.
        seed: Of the random half of these.
        progress: Told how it goes.

    Raises:
        UserError: There is no such step, or the target is not behind it.
        ModelError: The autoencoder does not fit the model.
    """
    sae.check(inside.shape, inside.name, inside.revision)
    token_by_token(sae)
    sae = sae.to(inside.model.device)
    check_step(chain, step)
    target = step + 1 if target is None else target
    if not step < target < len(chain.steps):
        raise UserError(f"the target is step {target}; it must be behind step {step}, up to {len(chain.steps) - 1}")
    spans, whole = chain_spans(chain), chain.prefix(target + 1)
    reader = _StepMetric(inside, sae, whole, spans[step], spans[target])
    attributions, active = reader.attributions()
    order = sorted(attributions, key=lambda feature: -abs(attributions[feature]))
    chosen = _chosen(order, n_exact, seed)
    teller = progress or Silent()
    teller.phase("ablating features", len(chosen) + 2, "ablations")
    exact = {}
    for feature in chosen:
        exact[feature] = reader.ablated([feature]) - reader.metric
        teller.advance(1, len(whole.token_ids))
    together = reader.ablated(order) - reader.metric if order else 0.0
    error_term = reader.reconstructed() - reader.metric
    teller.advance(2, 2 * len(whole.token_ids))
    return FeatureAttribution(
        chain.id, step, target, str(sae.point), reader.metric,
        tuple(
            FeatureEffect(f, attributions[f], exact.get(f), len(active[f]), float(active[f].max()))
            for f in order
        ),
        rank_correlation(
            [attributions[f] for f in chosen], [exact[f] for f in chosen], list(chosen), seed=seed
        ),
        together, error_term,
    )  # fmt: skip


def _chosen(order: Sequence[int], n: int, seed: int) -> list[int]:
    """The strongest half, and a random half of the others, so that the range of attributions is there."""
    strongest, others = list(order[: -(-n // 2)]), list(order[-(-n // 2) :])
    drawn = np.random.default_rng(seed).permutation(len(others))[: n // 2]
    return strongest + [others[i] for i in sorted(drawn)]


class _StepMetric:
    """The metric of one sequence, as a function of the activations at a step."""

    def __init__(
        self, inside: Inside, sae: SparseAutoencoder, whole: Prefix, span: tuple[int, int], at: tuple[int, int]
    ) -> None:
        self.inside, self.sae, self.whole, self.span, self.at = inside, sae, whole, span, at
        seen: list[Tensor] = []

        def leaf(value: Tensor) -> Tensor:
            seen.append(value.detach().clone().requires_grad_())
            return seen[0]

        with torch.enable_grad():
            metric = self._metric(inside.logits(whole, {sae.point: leaf}))
            (gradient,) = torch.autograd.grad(metric, seen[0])
        self.metric = float(metric.detach())
        self.x, self.gradient = seen[0].detach()[slice(*span)], gradient[slice(*span)]
        self.active = sae.encode_sparse(self.x)
        self.back = enter(sae.card, self.x, sae.b_dec)[2]
        """What brings each token back from its own normalisation, where there is one."""

    def attributions(self) -> tuple[dict[int, float], dict[int, Tensor]]:
        """First-order effect of ablating each feature that is active in the step, and its activations there."""
        active, gradient = self.active, self.gradient.float() * self.back
        along = (gradient[active.tokens] * self.sae.W_dec[active.features].float()).sum(-1) / self.sae.card.scale
        names, number = torch.unique(active.features, return_inverse=True)
        total = torch.zeros(len(names)).index_add(0, number.cpu(), (-active.values.float() * along).cpu())
        columns = {int(f): active.values[number == i] for i, f in enumerate(names)}
        return dict(zip(names.tolist(), total.tolist(), strict=True)), columns

    def ablated(self, features: Sequence[int]) -> float:
        """The metric with features ablated at the step's tokens."""
        active = self.active
        kept = torch.isin(active.features, torch.tensor(list(features), device=active.features.device))
        rows = -active.values[kept, None].float() * self.sae.W_dec[active.features[kept]].float() / self.sae.card.scale
        return self._with(torch.zeros_like(self.x).float().index_add(0, active.tokens[kept], rows) * self.back)

    def reconstructed(self) -> float:
        """The metric with the step's activations as the autoencoder reconstructs them."""
        return self._with(self.sae.reconstruct(self.x) - self.x)

    def _with(self, change: Tensor) -> float:
        def moved(value: Tensor) -> Tensor:
            value = value.clone()
            value[slice(*self.span)] += change.to(value.dtype)
            return value

        with torch.inference_mode():
            return float(self._metric(self.inside.logits(self.whole, {self.sae.point: moved})))

    def _metric(self, logits: Tensor) -> Tensor:
        start, end = self.at
        scores = logits[start - 1 : end - 1].float().log_softmax(-1)
        wanted = torch.tensor(list(self.whole.token_ids[start:end]), device=logits.device)
        return scores.gather(1, wanted[:, None]).mean()
