"""Train an autoencoder, or train one further, on streamed activations: early stop, and checkpoints to go on from.

1. SAELens's `SAETrainer` makes the steps (loss, optimiser, learning rate, dead features); this is the loop around it.
2. Every `check_every` steps explained variance, at the L0 that is asked for, is measured on activations of other
   problems; the best weights are kept; without an improvement for `patience` checks it stops.
3. Each check writes a checkpoint whole (beside, then renamed): weights, optimiser, counters, best. The stream of
   activations is sought to the same batch, so that interrupted and resumed equals going on.
4. At the end one factor on the thresholds (where there are any) brings L0 to what was asked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cotlab.errors import UserError
from cotlab.identity import canonical_json
from cotlab.interventions import SAECard, SparseAutoencoder
from cotlab.saes.activations import ActivationStream
from cotlab.saes.checkpoint import load_checkpoint, save_checkpoint
from cotlab.saes.l0_matching import AT_ONCE, active_a_token, match_l0
from cotlab.saes.trainers import TrainKind, for_training, fresh, trained
from cotlab.sampling.progress import Progress, Silent

__all__ = ["Check", "TrainPlan", "Training", "train"]


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What is asked of a training; a checkpoint of another plan is not gone on from."""

    kind: TrainKind
    k: float
    """Features that are to be active a token."""
    tokens: int = 2_000_000
    """At most so many activations are trained on, epochs counted."""
    batch: int = 1024
    lr: float = 3e-4
    warm_up: float = 0.05
    """Share of the steps over which the learning rate rises."""
    decay: float = 0.2
    """Share of the steps over which it falls to 0 in the end."""
    check_every: int = 100
    patience: int = 5
    """Checks without a better explained variance after which it stops."""
    least_gain: float = 1e-3
    """Of explained variance, that counts as better."""
    dead_after: int = 200
    """Steps without firing after which a feature counts as dead for the trainer's auxiliary loss."""
    widths: tuple[int, ...] = ()
    """Of matryoshka's levels."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.k > 0 and self.tokens >= self.batch >= 1 and self.lr > 0 and self.check_every >= 1):
            raise UserError(
                f"cannot train with k {self.k:g}, {self.tokens:,} tokens, batches of {self.batch}, learning rate "
                f"{self.lr:g}: all must be above 0, and there must be tokens for a batch"
            )

    @property
    def steps(self) -> int:
        """Steps at most."""
        return self.tokens // self.batch


@dataclass(frozen=True, slots=True)
class Check:
    """What was measured on activations that are not trained on."""

    step: int
    explained_variance: float
    """At the L0 that was asked for (`match_l0`): more active features explain more."""
    l0: float
    """As it is."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a training gave."""

    sae: SparseAutoencoder
    checks: tuple[Check, ...]
    best: int
    """Step of the weights that were kept."""
    stopped: str
    """Why it ended."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the weights."""
        return {"checks": [asdict(check) for check in self.checks], "best": self.best, "stopped": self.stopped}


def train(
    stream: ActivationStream,
    held_out: Tensor,
    plan: TrainPlan,
    card: SAECard,
    *,
    start: SparseAutoencoder | None = None,
    d_sae: int = 0,
    exactly: int | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train from scratch, or further.

    Args:
        stream: What is trained on; raw units.
        held_out: Activations of other problems, shape (tokens, d_model), raw units.
        plan: How.
        card: Hook point, model, `scale`: the trainer sees x · scale.
        start: What is trained further; None: from scratch.
        d_sae: Features, from scratch.
        exactly: Make so many steps of the plan, and keep the weights there, whether they are the best or not.
        checkpoint: File; where it is there, training goes on from it.
        progress: Told steps and tokens.

    Raises:
        UserError: The checkpoint is of another plan, or start and plan do not fit.
    """
    loop = _Loop(stream, held_out, plan, card, start, d_sae, exactly)
    tell = progress or Silent()
    if checkpoint is not None and checkpoint.is_file():
        loop.load(checkpoint)
        tell.say(f"goes on at step {loop.step:,} of {loop.most:,}")
    tell.phase("training", loop.most, "steps")
    tell.advance(loop.step, 0)
    if loop.step == 0:
        loop.check()
    while loop.stopped is None:
        loop.advance()
        tell.advance(1, plan.batch)
        if loop.step % plan.check_every == 0 or loop.step == loop.most:
            said = loop.check()
            if checkpoint is not None:
                loop.save(checkpoint)
            tell.say(f"step {said.step:,}: explained variance {said.explained_variance:.4f}, L0 {said.l0:.1f}")
    return loop.result()


class _Loop:
    """The state of a training between two steps."""

    def __init__(
        self,
        stream: ActivationStream,
        held_out: Tensor,
        plan: TrainPlan,
        card: SAECard,
        start: SparseAutoencoder | None,
        d_sae: int,
        exactly: int | None,
    ) -> None:
        self.exactly, self.most = exactly, plan.steps if exactly is None else exactly
        self.stream, self.held_out, self.plan, self.card = stream, held_out, plan, card
        if start is None:
            mean = held_out.mean(0) * card.scale
            self.training = fresh(
                plan.kind, held_out.shape[1], d_sae, plan.k, mean=mean, widths=plan.widths, seed=plan.seed
            )
        else:
            self.training = for_training(start, plan.kind, plan.k, widths=plan.widths)
        origin = start.id if start is not None else d_sae
        further = [] if exactly is None else [exactly]
        self.asked = canonical_json([asdict(plan), card.to_json(), origin, stream.n_tokens, *further])
        self.trainer = _trainer(self.training, stream, plan, card.scale)
        self.checks: list[Check] = []
        self.best: tuple[Check, SparseAutoencoder] | None = None
        self.stopped: str | None = None

    @property
    def step(self) -> int:
        return int(self.trainer.n_training_steps)

    def advance(self) -> None:
        self.trainer.step(next(self.stream))
        self.trainer.n_training_steps += 1

    @torch.no_grad()
    def check(self) -> Check:
        """Measure, keep the best, decide whether to stop."""
        sae = trained(self.training, self.plan.kind, self.card, self.plan.k)
        matched = match_l0(sae, self.held_out[:AT_ONCE], self.plan.k)
        check = Check(self.step, _explained(matched, self.held_out), active_a_token(sae, self.held_out))
        self.checks.append(check)
        better = self.best is None or check.explained_variance > self.best[0].explained_variance
        if better or self.exactly is not None:
            self.best = check, matched
        self._decide()
        return check

    def _decide(self) -> None:
        top, since = -float("inf"), 0
        for check in self.checks:
            better = check.explained_variance > top + self.plan.least_gain
            top, since = (check.explained_variance, 0) if better else (top, since + 1)
        if self.step >= self.most:
            self.stopped = f"all {self.most:,} steps made"
        elif self.exactly is None and since >= self.plan.patience:
            self.stopped = f"no better for {since} checks, at step {self.step:,} of {self.most:,}"

    def result(self) -> Training:
        if self.best is None or self.stopped is None:
            raise RuntimeError("the training has not ended")
        check, sae = self.best
        matched = match_l0(sae, self.held_out, self.plan.k)
        return Training(matched, tuple(self.checks), check.step, self.stopped)

    def save(self, path: Path) -> None:
        save_checkpoint(
            path,
            self.asked,
            self.trainer,
            checks=[asdict(check) for check in self.checks],
            best=None if self.best is None else (asdict(self.best[0]), self.best[1]),
        )

    def load(self, path: Path) -> None:
        found = load_checkpoint(path, self.asked, self.trainer, self.card)
        self.checks = [Check(**check) for check in found.checks]
        self.best = None if found.best is None else (Check(**found.best[0]), found.best[1])
        self.stream.seek(self.step)
        self._decide()


def _trainer(training: Any, stream: ActivationStream, plan: TrainPlan, scale: float) -> Any:
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    config = SAETrainerConfig(
        total_training_samples=plan.steps * plan.batch,
        train_batch_size_samples=plan.batch,
        lr=plan.lr,
        lr_end=plan.lr,
        lr_warm_up_steps=round(plan.warm_up * plan.steps),
        lr_decay_steps=round(plan.decay * plan.steps),
        device=str(training.W_enc.device),
        dead_feature_window=plan.dead_after,
    )
    trainer = SAETrainer(cfg=config, sae=training, data_provider=stream)
    trainer.activation_scaler.scaling_factor = None if scale == 1.0 else scale
    return trainer


@torch.no_grad()
def _explained(sae: SparseAutoencoder, rows: Tensor) -> float:
    error = total = 0.0
    mean = rows.double().mean(0)
    for part in torch.split(rows, AT_ONCE):
        error += float((part - sae.reconstruct(part)).double().pow(2).sum())
        total += float((part.double() - mean).pow(2).sum())
    return 1 - error / total
