"""Which layer to steer at: what a vector does at each, foretold by attribution and found by a sweep of doses.

1. **Attribution.** KL(p_base ‖ p_steered) has no first-order term in the dose d, so its gradient at dose 0 says
   nothing. Its second-order term is ½ d² E[(∂ log p(x) / ∂d)²] over tokens x that the model itself sampled (the Fisher
   information along the vector). The derivative is a central difference of teacher-forced log probabilities (± `STEP`):
   two readings tell it for every dose, for any engine, with the places and the norm rule of the plan.
   (Venhoff et al. 2025, "Understanding reasoning in thinking language models via steering vectors", choose layers by a
   first-order attribution of that KL.)
2. **Random directions** of the same norm go through the same attribution: a layer at which any direction moves the next
   token is not one at which this direction does.
3. **Sweep.** At each layer, each dose and its negative are sampled on the problems that the vector was made from, with
   equal seeds: the behaviour's rate and the accuracy, paired with no steering; and KL measured at the dose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotlab.engines.base import Engine, Passage
from cotlab.errors import UserError
from cotlab.interventions import Steering, SteeringVector, Where
from cotlab.stats import Estimate
from cotlab.whitebox.arms import Arm, Arms, Prompted

__all__ = ["COST", "LayerDose", "LayerPlan", "LayerRow", "best_layer", "divergence", "kl_attribution", "try_layers"]

COST = 0.05
"""Most accuracy that a dose may cost."""
STEP = 0.02
"""Dose of the central difference: the share of the activations' mean norm."""
KL_ROLLOUTS = 64
"""Rollouts that divergences are taken over."""
RANDOM = 4
"""Random directions whose attribution stands beside."""


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What is tried at each layer."""

    doses: tuple[float, ...]
    """Relative doses above 0; each is tried with both signs."""
    where: Where
    keep_norm: bool = False
    n: int = 5
    """Rollouts of each problem."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.doses or not all(dose > 0 for dose in self.doses):
            raise UserError(f"doses {self.doses}: give numbers above 0")


@dataclass(frozen=True, slots=True)
class LayerDose:
    """What one dose does at one layer."""

    dose: float
    attributed: float
    """KL(p_base ‖ p_steered), nats a token, as attribution foretells it."""
    kl: float
    """The same, measured at this dose."""
    shift: Estimate
    """Rate minus that without steering."""
    against_negative: Estimate
    """Rate minus that at the same dose of the other sign."""
    accuracy: Estimate
    """Accuracy minus that without steering."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        told = {name: getattr(self, name).to_json() for name in ("shift", "against_negative", "accuracy")}
        return {"dose": self.dose, "attributed": self.attributed, "kl": self.kl, **told}


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What a vector does at one layer."""

    hook: str
    norm: float
    """‖v‖ / mean‖h‖ as the vector was found."""
    specific: float
    """Attribution of the vector over the mean attribution of random directions of its norm, at any dose."""
    doses: tuple[LayerDose, ...]

    @property
    def best(self) -> LayerDose:
        """The dose that moves the rate most against its negative; one that holds accuracy comes first."""
        return max(self.doses, key=lambda row: (_holds(row.accuracy), row.against_negative.value or 0.0))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        doses = [row.to_json() for row in self.doses]
        return {"hook": self.hook, "norm": self.norm, "specific": self.specific, "doses": doses}


def try_layers(
    arms: Arms, engine: Engine, making: Sequence[Prompted], vector: SteeringVector, plan: LayerPlan
) -> tuple[LayerRow, ...]:
    """Try each hook point of a vector by itself.

    Args:
        arms: Draws rollouts.
        engine: Reads log probabilities.
        making: Problems that are sampled; other ones than those that a report judges on.
        vector: With a direction at every point that is to be tried.
        plan: Doses and places.

    Raises:
        UserError: The vector was applied nowhere, or rollouts are missing.
        EngineError: The engine broke; what it gave is stored.
    """
    base = arms.draw(making, plan.n, phase="trying layers: unsteered")
    passages = [rollout.passage for rollout in arms.labelled(making, plan.n)[:KL_ROLLOUTS]]
    return tuple(_row(arms, engine, making, base, passages, vector.at(point), plan) for point in vector.points)


def best_layer(rows: Sequence[LayerRow]) -> LayerRow:
    """The layer whose best dose moves the rate most while accuracy holds."""
    return max(rows, key=lambda row: (_holds(row.best.accuracy), row.best.against_negative.value or 0.0))


def divergence(engine: Engine, passages: Sequence[Passage], steering: Steering) -> float:
    """KL(p_base ‖ p_steered), nats a token, from what the model itself said.

    With r = p_steered / p_base of a token, the mean of r − 1 − log r: never negative, and unbiased where the passages
    were sampled at temperature 1 with nothing left out (E[r] = 1); its variance is far below that of − log r alone
    (Schulman 2020, "Approximating KL divergence", estimator k3).
    """
    ratio = _read(engine, passages, steering) - _read(engine, passages, None)
    return float(np.mean(np.expm1(ratio) - ratio))


def kl_attribution(
    engine: Engine,
    passages: Sequence[Passage],
    vector: SteeringVector,
    where: Where | None = None,
    *,
    keep_norm: bool = False,
) -> float:
    """Second-order coefficient c of KL(p_base ‖ p_steered) ≈ c · dose², nats a token (see the module).

    Args:
        engine: Gives log probabilities.
        passages: What the model itself sampled, at temperature 1 with nothing left out.
        vector: With the mean norms of its points.
        where: Which tokens; default: all.
        keep_norm: As in `Steering`.
    """
    up, down = (
        _read(engine, passages, Steering.of(vector, sign * STEP, where, keep_norm=keep_norm)) for sign in (1, -1)
    )
    return float(np.mean(((up - down) / (2 * STEP)) ** 2) / 2)


def _row(
    arms: Arms,
    engine: Engine,
    making: Sequence[Prompted],
    base: Arm,
    passages: Sequence[Passage],
    vector: SteeringVector,
    plan: LayerPlan,
) -> LayerRow:
    def attributed(some: SteeringVector) -> float:
        return kl_attribution(engine, passages, some, plan.where, keep_norm=plan.keep_norm)

    coefficient = attributed(vector)
    randoms = [attributed(vector.random_like(plan.seed + i)) for i in range(RANDOM)]
    found = []
    for dose in plan.doses:
        its = {sign: Steering.of(vector, sign * dose, plan.where, keep_norm=plan.keep_norm) for sign in (1, -1)}
        up, down = (
            arms.draw(making, plan.n, its[sign], phase=f"trying {vector.points[0]} at {sign * dose:g}")
            for sign in (1, -1)
        )
        found.append(
            LayerDose(
                dose,
                coefficient * dose**2,
                divergence(engine, passages, its[1]),
                up.against(base, "rate"),
                up.against(down, "rate"),
                up.against(base, "accuracy"),
            )
        )
    norm = vector.norms[0] / vector.card.mean_norms[0]
    return LayerRow(str(vector.points[0]), norm, coefficient / float(np.mean(randoms)), tuple(found))


def _read(engine: Engine, passages: Sequence[Passage], steering: Steering | None) -> Any:
    """Log probabilities [new tokens of all passages] of what was said."""
    asked = passages if steering is None else [Passage(one.prefix, one.new_ids, steering) for one in passages]
    read = zip(passages, engine.logprobs(asked), strict=True)
    return np.concatenate([found[len(passage.prefix.token_ids) - 1 :] for passage, found in read])


def _holds(accuracy: Estimate) -> bool:
    return accuracy.value is not None and accuracy.value > -COST
