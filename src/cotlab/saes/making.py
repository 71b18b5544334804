"""Train an autoencoder on a model's own reasoning, or fine-tune another model's on it, into a folder.

1. Problems are split: some are held out, to stop early by; the rest is streamed (`cotlab.saes.activations`).
2. The trainer sees activations brought to norm √d_model. What is written is in raw units: same features, same values.
3. The folder holds the autoencoder in SAELens's layout and `training.json`: what was asked, what was measured, and the
   problems that it was trained on or chosen by. Until it is finished there is a checkpoint, from which the same command
   goes on. `cfg.json` is written last: where it is, all is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cotlab.errors import DataError, UserError
from cotlab.identity import content_id
from cotlab.interventions import SAECard, SparseAutoencoder
from cotlab.interventions.hook_points import HookPoint
from cotlab.saes.activations import ActivationStream
from cotlab.saes.checkpoint import CHECKPOINT
from cotlab.saes.formats.reading import read_json
from cotlab.saes.l0_matching import active_a_token
from cotlab.saes.loading import load_sae
from cotlab.saes.saving import CONFIG, check_folder, save_sae
from cotlab.saes.source import held_rows, norm_scale
from cotlab.saes.traces import Trace, special_ids, split_traces
from cotlab.saes.trainers import kind_of, rescaled
from cotlab.saes.training import Check, Training, TrainPlan, train
from cotlab.sampling.jobs import write_json
from cotlab.sampling.progress import Progress
from cotlab.whitebox.inside import Inside

__all__ = ["Made", "finetune_sae", "kept_in", "mean_l0", "train_sae", "trained_problems"]

HELD_OUT = 0.1
"""Share of the problems that a training is judged by."""
REPORT = "training.json"


@dataclass(frozen=True, slots=True)
class Made:
    """An autoencoder that was trained."""

    sae: SparseAutoencoder
    """In raw units."""
    training: Training
    l0_before: float | None
    """Features active a token before fine-tuning, on the same held-out activations."""
    l0_after: float
    asked: str
    """Id of the request: start, plan, card and rollouts."""
    problems: tuple[str, ...]
    """Ids of those that it was trained on, or stopped early by."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the weights."""
        card = self.sae.card
        l0 = {"l0_before": self.l0_before, "l0_after": self.l0_after}
        told = {"asked": self.asked, "problems": list(self.problems)}
        return {"card": card.to_json(), "d_sae": self.sae.d_sae, **l0, **self.training.to_json(), **told}


def train_sae(
    inside: Inside,
    traces: Sequence[Trace],
    hook: HookPoint,
    plan: TrainPlan,
    d_sae: int,
    *,
    out: Path | None = None,
    told: str = "",
    progress: Progress | None = None,
) -> Made:
    """Train from scratch on a model's activations.

    Args:
        inside: The model.
        traces: What it reads.
        hook: Where.
        plan: How.
        d_sae: Number of features.
        out: Folder; None: nothing is written.
        told: What the traces are, for the card.
        progress: Told how far it is.

    Raises:
        UserError: There is an autoencoder in the folder already, or sizes do not fit.
        DataError: There are too few traces.
    """
    card = SAECard(hook, "relu", name=out.name if out else "", model=inside.name, revision=inside.revision)
    return _make(
        inside, traces, replace(card, source="cotlab, SAELens's trainers"), plan, None, d_sae, out, told, progress
    )


def finetune_sae(
    sae: SparseAutoencoder,
    inside: Inside,
    traces: Sequence[Trace],
    plan: TrainPlan | None = None,
    *,
    exactly: int | None = None,
    out: Path | None = None,
    told: str = "",
    progress: Progress | None = None,
) -> Made:
    """Fine-tune an autoencoder on a model's activations; as many features are active after as before.

    What an equal request has left in the folder is read, not made again.

    Args:
        sae: Of this model or of another one.
        inside: The model.
        traces: What it reads.
        plan: How; default: its own kind, its own L0 on this model, a learning rate of 1e-4. Of a plan, `kind` and `k`
            hold as given.
        exactly: Make so many steps of the plan, and keep the weights there, whether they are the best or not.
        out: Folder; None: nothing is written.
        told: What the traces are, for the card.
        progress: Told how far it is.

    Raises:
        UserError: There is an autoencoder of another request in the folder, or this one cannot be trained.
        DataError: There are too few traces.
    """
    if plan is None:
        plan = TrainPlan(kind_of(sae), mean_l0(sae, inside, traces), lr=1e-4)
    card = replace(
        sae.card,
        name=out.name if out else sae.card.name,
        model=inside.name,
        revision=inside.revision,
        transferred_from="",  # it is of this model now
        source="cotlab, SAELens's trainers",
        notes=f"fine-tuned from SAE {sae.card.label} of '{sae.card.transferred_from or sae.card.model or 'a model'}'",
    )
    return _make(inside, traces, card, plan, sae, sae.d_sae, out, told, progress, exactly)


def mean_l0(sae: SparseAutoencoder, inside: Inside, traces: Sequence[Trace], seed: int = 0) -> float:
    """Features active a token on the held-out traces of a training; a whole number for topk."""
    held, _ = split_traces(traces, HELD_OUT, seed)
    rows = held_rows(inside, held, sae.point)
    return float(sae.card.k) if sae.card.activation == "topk" and sae.card.k else active_a_token(sae, rows)


def _make(
    inside: Inside,
    traces: Sequence[Trace],
    card: SAECard,
    plan: TrainPlan,
    start: SparseAutoencoder | None,
    d_sae: int,
    out: Path | None,
    told: str,
    progress: Progress | None,
    exactly: int | None = None,
) -> Made:
    begins = [d_sae if start is None else start.id, *([] if exactly is None else [exactly])]
    asked = content_id("training", [asdict(plan), card.to_json(), *begins, [trace.id for trace in traces]])
    if out is not None:
        check_folder(out)
    if out is not None and (out / CONFIG).exists():
        if start is not None and (done := _done(out, asked, start)) is not None:
            return done
        raise UserError(f"there is an SAE in {out} already. Choose another folder with --out, or remove it")
    held, rest = split_traces(traces, HELD_OUT, plan.seed)
    rows = held_rows(inside, held, card.point)
    scale = norm_scale(rows)
    stream = ActivationStream(
        inside, card.point, rest, special=special_ids(inside.tokenizer), batch=plan.batch, seed=plan.seed
    )
    card = replace(card, scale=scale, activation="relu", k=None)
    begun = None if start is None else rescaled(start, scale)
    checkpoint = None if out is None else out / CHECKPOINT
    how: dict[str, Any] = {"start": begun, "d_sae": d_sae, "exactly": exactly}
    found = train(stream, rows, plan, card, **how, checkpoint=checkpoint, progress=progress)
    said = f"{found.checks[-1].step * plan.batch:,} tokens, {stream.n_tokens:,} different ones, of {told or 'traces'}"
    sae = rescaled(found.sae, 1.0)
    sae = replace(sae, card=replace(sae.card, tokens=said))
    before = None if start is None else active_a_token(start, rows)
    problems = tuple(sorted({trace.problem for trace in traces}))
    made = Made(sae, found, before, active_a_token(sae, rows), asked, problems)
    if out is not None and checkpoint is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / REPORT, made.to_json())
        save_sae(sae.to("cpu"), out)
        checkpoint.unlink(missing_ok=True)
    return made


def kept_in(folder: Path) -> bool:
    """Whether a training that was interrupted left something to go on from."""
    return any((folder / name).exists() for name in (CHECKPOINT, CONFIG))


def trained_problems(folder: Path) -> frozenset[str]:
    """Problems that an autoencoder in a folder was trained on, or stopped early by; none where it does not say.

    Raises:
        DataError: What it says cannot be read.
    """
    report = folder / REPORT
    if not report.is_file():
        return frozenset()
    problems = read_json(report).get("problems", [])
    if not isinstance(problems, list):
        raise DataError(f"{report}: 'problems' holds {type(problems).__name__}, expected a list")
    return frozenset(map(str, problems))


def _done(out: Path, asked: str, start: SparseAutoencoder) -> Made | None:
    """What an equal request made before, whose test was interrupted."""
    told = read_json(out / REPORT) if (out / REPORT).is_file() else {}
    if told.get("asked") != asked:
        return None
    sae = load_sae(out).to(start.b_dec.device)
    try:
        checks = tuple(Check(**check) for check in told["checks"])
        training = Training(sae, checks, told["best"], told["stopped"])
        return Made(sae, training, told["l0_before"], told["l0_after"], asked, tuple(told["problems"]))
    except (KeyError, TypeError) as error:
        raise DataError(f"{out / REPORT} is damaged ({error}): remove {out} and train again") from error
