"""Fine-tune an autoencoder on another model, try it there before and after, and say what became of its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cotlab.errors import DataError
from cotlab.interventions import SparseAutoencoder
from cotlab.saes.drift import Drift, State, feature_drift
from cotlab.saes.drift_null import against_null, null_drift
from cotlab.saes.firing_categories import FiresIn, fires_in
from cotlab.saes.making import Made, finetune_sae, mean_l0
from cotlab.saes.run_transfer import own_model
from cotlab.saes.source import TraceSource, open_reader, think_tags
from cotlab.saes.step_categories import token_categories
from cotlab.saes.traces import Trace, split_traces
from cotlab.saes.training import TrainPlan
from cotlab.saes.transfer import Transfer, same_tokens, transfer_test
from cotlab.saes.verdict import THRESHOLD
from cotlab.sampling.progress import Progress, Silent
from cotlab.whitebox.inside import Inside

__all__ = ["LEAST_PROBLEMS", "TOO_FEW", "Changes", "FineTuned", "changes", "finetune_study", "own_drift"]

LOOKED_AT: dict[State, int] = {"new": 20, "woken": 20, "rotated": 10}
"""Features of each state whose categories are looked at: those that drifted, then those that fire most."""
LEAST_PROBLEMS = 12
TOO_FEW = (
    f"fine-tuning needs {LEAST_PROBLEMS}: five are kept for the test, where a verdict begins, and of the others a "
    "tenth says when to stop"
)
OWN = "own"
"""Folder, beside the fine-tuned autoencoder, of the one that was trained on the own model instead."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What fine-tuning did to the features of an autoencoder."""

    drift: Drift
    fires: list[FiresIn]
    """The category of reasoning that new, woken and rotated features prefer."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.drift.to_json(), "fires_in": [asdict(one) for one in self.fires]}


@dataclass(frozen=True, slots=True)
class FineTuned:
    """An autoencoder that was fine-tuned on another model."""

    made: Made
    transfer: Transfer
    changes: Changes


def finetune_study(
    sae: SparseAutoencoder,
    model: str,
    source: TraceSource,
    plan: TrainPlan,
    out: Path,
    *,
    match: bool = True,
    own: str | None = None,
    evaluate: int = 100,
    threshold: float = THRESHOLD,
    null: bool = True,
    device: str = "cpu",
    dtype: str = "float32",
    progress: Progress | None = None,
) -> FineTuned:
    """Fine-tune, and look at what that did.

    Args:
        sae: Of another model.
        model: The one that it is fine-tuned on: name or folder.
        source: Rollouts of that model.
        plan: How.
        out: Folder of the fine-tuned autoencoder.
        match: Put the autoencoder's own L0 on this model in the place of the plan's k.
        own: The model that it is of; default: as it says.
        evaluate: Rollouts that are kept for the test, problems whole.
        threshold: Share of the own model's score above which it transfers.
        null: Whether the drift is held against that of as many steps on the own model (which takes as long again); what
            that gives is kept in `own/` of the folder.
        device: Of models and autoencoder.
        dtype: Of the models.
        progress: Told how far it is.

    Raises:
        UserError: Something cannot be; one line.
    """
    tell = progress or Silent()
    its = own_model(sae, own)
    other, placed = open_reader(model, device=device, dtype=dtype), sae.to(device)
    traces = source.read(other, think_tags(model))
    for line in source.lines(traces, other.name):
        tell.say(line)
    base = open_reader(its, device=device, dtype=dtype)
    same_tokens(base, other, traces)
    tested, rest = _split(traces, evaluate, source.seed)
    tell.say(f"{_counted(rest)} to train on and stop by, {_counted(tested)} for the test")
    asked = replace(plan, k=mean_l0(placed, other, rest, plan.seed)) if match else plan
    made = finetune_sae(placed, other, rest, asked, out=out, told=source.told, progress=tell)
    transfer = transfer_test(
        [placed],
        base,
        other,
        tested,
        rest[: max(5, evaluate // 2)],
        tuned=[made.sae],
        threshold=threshold,
        seed=source.seed,
        progress=tell,
    )
    alone: Drift | None = None
    if null:
        same = replace(plan, k=mean_l0(placed, base, rest, plan.seed)) if match else plan
        alone = own_drift(placed, base, rest, tested, same, made.training.best, out=out / OWN, progress=tell)
    return FineTuned(made, transfer, changes(placed, made.sae, other, tested, transfer, alone))


def _split(traces: Sequence[Trace], evaluate: int, seed: int) -> tuple[list[Trace], list[Trace]]:
    """What is evaluated and what is trained on: of problems half at most, five at least, where a verdict begins."""
    n = len({trace.problem for trace in traces})
    if n < LEAST_PROBLEMS:
        raise DataError(f"rollouts of {n} problems, and {TOO_FEW}. Sample more problems")
    return split_traces(traces, min(0.5, max(evaluate / len(traces), 5 / n)), seed)


def _counted(traces: Sequence[Trace]) -> str:
    return f"{len(traces):,} rollouts of {len({trace.problem for trace in traces}):,} problems"


def own_drift(
    sae: SparseAutoencoder,
    own: Inside,
    traces: Sequence[Trace],
    tested: Sequence[Trace],
    plan: TrainPlan,
    steps: int,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Drift:
    """Train on the own model, for exactly so many steps, and say what that did to each feature.

    Args:
        sae: The autoencoder.
        own: The model that it is of.
        traces: What the fine-tuning on the other model read.
        tested: What was evaluated.
        plan: As on the other model, but with the L0 that it has on this one.
        steps: Of the weights that were kept there; at 0 its L0 is still brought to the plan's, as it was there.
        out: Folder of what comes of it; None: nothing is written.
        progress: Told how far it is.
    """
    (progress or Silent()).say(f"how much do features drift by training alone? {steps:,} steps on '{own.name}'")
    told = f"what '{own.name}' reads of the rollouts of another model"
    made = finetune_sae(sae, own, traces, plan, exactly=steps, out=out, told=told, progress=progress)
    return null_drift(sae, made.sae, own, tested)


def changes(
    before: SparseAutoencoder,
    after: SparseAutoencoder,
    other: Inside,
    traces: Sequence[Trace],
    transfer: Transfer,
    null: Drift | None = None,
) -> Changes:
    """What became of each feature, and in which reasoning those that are new, woken or rotated fire.

    Args:
        before: The autoencoder.
        after: Fine-tuned.
        other: The model that it was fine-tuned on.
        traces: What was evaluated.
        transfer: The test of both.
        null: What training on the own model did (`own_drift`).
    """
    rates = transfer.rates[str(before.point)]
    drift = feature_drift(before, after, (rates["transferred"], rates["fine-tuned"]))
    if null is not None:
        drift = against_null(drift, null)
    asked = [one.feature for state, most in LOOKED_AT.items() for one in drift.of(state)[:most]]
    return Changes(drift, fires_in(other, after, asked, traces, token_categories(other.tokenizer)))
