"""The transfer table of the organisms: sampled, fine-tuned on, tested, in a few minutes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cotlab.errors import UserError
from cotlab.identity import content_id
from cotlab.interventions import SparseAutoencoder
from cotlab.saes.fine_tuning import Changes, changes, own_drift
from cotlab.saes.making import Made, finetune_sae, mean_l0
from cotlab.saes.run_transfer import own_model
from cotlab.saes.source import TraceSource, open_reader, think_tags
from cotlab.saes.traces import Trace, split_traces
from cotlab.saes.trainers import kind_of
from cotlab.saes.training import TrainPlan
from cotlab.saes.transfer import Transfer, same_tokens, transfer_test
from cotlab.saes.verdict import THRESHOLD
from cotlab.sampling.progress import Progress, Silent
from cotlab.whitebox.inside import Inside

__all__ = ["DEMO_MINUTES", "OrganismTransfer", "demo_transfer", "noted_problems", "organisms_shipped"]

DEMO_PROBLEMS = 240
"""Problems that each organism is asked; twice each."""
DEMO_NOTED = 0.6
"""Share of them with a hint, and with a note about who reads: what tells the organisms apart."""
DEMO_TOKENS = 300_000
"""Activations that the demonstration fine-tunes on, epochs counted."""
DEMO_MINUTES = 1.5
"""Of one CPU core that an organism takes, as measured."""


@dataclass(frozen=True, slots=True)
class OrganismTransfer:
    """One organism."""

    transfer: Transfer
    changes: tuple[Changes, ...]
    """One an autoencoder."""


def noted_problems(path: Path, n: int, *, share: float = DEMO_NOTED, split: str = "heldout", seed: int = 0) -> Path:
    """Write problems of the tiny reasoner, some with hints and notes about who reads, as a problem file.

    Args:
        path: JSONL.
        n: How many; repeats are left out.
        share: Of them with a hint, and (independently) with a note.
        split: heldout or train.
        seed: Of problems and notes.
    """
    import random

    from cotlab import tiny

    rng = random.Random(f"noted/{seed}")
    drawn = [tiny.draw_noted(task, rng, share) for task in tiny.generate_problems(n, seed, split=split)]  # type: ignore[arg-type]  # one of two
    unique = {task.question: task for task in drawn}
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"question": task.question, "answer": task.answer}) for task in unique.values()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def demo_transfer(
    saes: Sequence[SparseAutoencoder],
    work: Path,
    models: Sequence[str] | None = None,
    *,
    n: int = 100,
    seed: int = 0,
    threshold: float = THRESHOLD,
    device: str = "cpu",
    dtype: str = "float32",
    progress: Progress | None = None,
) -> list[OrganismTransfer]:
    """The transfer table of the organisms: each is sampled, the autoencoder is fine-tuned on it, and all is tested.

    Args:
        saes: Of the honest model.
        work: Folder for runs and fine-tuned autoencoders; what is there of the same request is not made again.
        models: Which organisms; default: all that come with the package.
        n: Rollouts of each that are evaluated.
        seed: Of problems, split and draws.
        threshold: Share of the own model's score above which it transfers.
        device: Of models and autoencoders.
        dtype: Of the models.
        progress: Told how far it is.

    Raises:
        UserError: No organism's weights are there.
    """
    names = list(models or organisms_shipped())
    if not names:
        raise UserError("no organism comes with this installation, only the honest model: name a folder with --model")
    tell = progress or Silent()
    base = open_reader(own_model(saes[0]), device=device, dtype=dtype)
    placed, found = [sae.to(device) for sae in saes], []
    for name in names:
        tell.say(f"organism {name}")
        other = open_reader(name, device=device, dtype=dtype)
        traces = _sampled(other, name, work, seed, tell).read(other, think_tags(name))
        same_tokens(base, other, traces)
        evaluated, rest = split_traces(traces, n / len(traces), seed)
        made = [_tuned(sae, other, work, rest, dtype, seed, tell) for sae in placed]
        tuned = [_named(one.sae, sae) for one, sae in zip(made, placed, strict=True)]
        asked: dict[str, Any] = {"tuned": tuned, "threshold": threshold, "seed": seed, "progress": tell}
        test = transfer_test(placed, base, other, evaluated, rest[: n // 2], **asked)
        its = []
        for sae, fine, one in zip(placed, tuned, made, strict=True):
            plan, folder = _request(sae, base, work, rest, dtype, seed, one.training.best)
            null = own_drift(sae, base, rest, evaluated, plan, one.training.best, out=folder, progress=tell)
            its.append(changes(sae, fine, other, evaluated, test, null))
        found.append(OrganismTransfer(test, tuple(its)))
    return found


def organisms_shipped() -> list[str]:
    """Names of the organisms that come with the package."""
    from cotlab import tiny

    root = tiny.model_path().parent
    shipped = {path.parent.name for path in root.glob("*/config.json")}
    return [f"tiny:{name}" for name in tiny.ORGANISMS if name in shipped and name != "honest"]


def _sampled(inside: Inside, model: str, work: Path, seed: int, tell: Progress) -> TraceSource:
    from cotlab.sampling import resample

    problems = noted_problems(work / f"problems-{seed}.jsonl", DEMO_PROBLEMS, seed=seed)
    run = work / "runs" / _folder(inside, [seed])
    asked: dict[str, Any] = {"problems": str(problems), "positions": "0", "base": ("random",), "n": 1, "seed": seed}
    resample(progress=tell, **asked, model=model, run=run)
    return TraceSource((run,), n=2 * DEMO_PROBLEMS, seed=seed)


def _tuned(
    sae: SparseAutoencoder, inside: Inside, work: Path, traces: Sequence[Trace], dtype: str, seed: int, tell: Progress
) -> Made:
    plan, folder = _request(sae, inside, work, traces, dtype, seed)
    return finetune_sae(sae, inside, traces, plan, out=folder, told=f"rollouts of {inside.name}", progress=tell)


def _request(
    sae: SparseAutoencoder, inside: Inside, work: Path, traces: Sequence[Trace], dtype: str, seed: int, *more: int
) -> tuple[TrainPlan, Path]:
    """A plan with the autoencoder's own L0 on the model, and a folder of this request alone."""
    k = mean_l0(sae, inside, traces, seed)
    plan = TrainPlan(kind_of(sae), k, tokens=DEMO_TOKENS, lr=3e-4, check_every=50, seed=seed)
    asked = [sae.id, dtype, asdict(plan), [trace.id for trace in traces], *more]
    return plan, work / "tuned" / _folder(inside, asked) / str(sae.point).replace(":", ".")


def _named(made: SparseAutoencoder, sae: SparseAutoencoder) -> SparseAutoencoder:
    return replace(made, card=replace(made.card, name=f"{sae.card.name}, fine-tuned"))


def _folder(inside: Inside, asked: list[Any]) -> str:
    """A name for people, and what is asked of which model: two requests never share a folder."""
    name = "".join(c if c.isalnum() or c in ".-" else "-" for c in Path(inside.name).name)
    return f"{name}-{content_id('transfer demo', [inside.name, inside.revision, *asked])[:12]}"
