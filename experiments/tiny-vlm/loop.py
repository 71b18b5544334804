"""A training loop by CPU time that goes on from its own checkpoint, with averaged weights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass(slots=True)
class Progress:
    """Where training stands; time counts, so that the schedule ends when the time does."""

    step: int = 0
    scenes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One training: what is stepped, for how long, where it is kept."""

    out: Path
    minutes: float
    settings: dict[str, Any]
    save_minutes: float = 2.0
    bf16: bool = False


def learning_rate(settings: dict[str, Any], done: float) -> float:
    """Linear warm-up, then linear decay over the share of the time that has passed."""
    warmup, least = settings["warmup"], settings["final_lr"]
    scale = done / warmup if done < warmup else max(least, 1 - (1 - least) * (done - warmup) / (1 - warmup))
    return float(settings["peak_lr"] * max(scale, least))


def optimizer_for(parameters: list[nn.Parameter], settings: dict[str, Any]) -> torch.optim.AdamW:
    """AdamW with decay on matrices only."""
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings["peak_lr"], betas=tuple(settings["betas"]), fused=True)


def fit(
    run: Run,
    model: nn.Module,
    loss_of: Callable[[Any], Tensor],
    source: Callable[[int], Iterator[Any]],
    held_out: Callable[[], str],
) -> None:
    """Step the parameters of a model that want a gradient, until the time is up.

    Args:
        run: length, folder and hyperparameters.
        model: whose parameters; those that want no gradient are neither stepped nor stored.
        loss_of: mean loss of one batch.
        source: batches, forever, given the step to go on from; `len(batch)` is its scenes.
        held_out: measures the model as it stands, in a few words for the log.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    parameters = list(named.values())
    average = {name: p.detach().clone() for name, p in named.items()}
    optimizer = optimizer_for(parameters, run.settings)
    at = _restore(run.out, named, average, optimizer)
    batches, total = source(at.step), run.minutes * 60
    begun, before, last_save, mean_loss = time.process_time(), at.seconds, at.seconds, 0.0
    print(f"{sum(p.numel() for p in parameters):,} parameters, from step {at.step}", flush=True)
    while at.seconds < total:
        lr = learning_rate(run.settings, at.seconds / total)
        for group in optimizer.param_groups:
            group["lr"] = lr
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=run.bf16):
            loss = loss_of(batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, run.settings["clip"])
        optimizer.step()
        optimizer.zero_grad()
        at.step, at.scenes, at.seconds = at.step + 1, at.scenes + len(batch), before + time.process_time() - begun
        keep = min(run.settings["ema"], (1 + at.step) / (20 + at.step))
        torch._foreach_lerp_(list(average.values()), [p.detach() for p in parameters], 1 - keep)
        mean_loss = loss.item() if not mean_loss else 0.98 * mean_loss + 0.02 * loss.item()
        if at.step % 50 == 0:
            done = (
                f"{at.seconds / 60:6.2f} min  step {at.step:6d}  {at.scenes:8d} scenes  {at.scenes / at.seconds:5.0f}/s"
            )
            print(f"{done}  lr {lr:.2e}  loss {mean_loss:.4f}", flush=True)
        if at.seconds - last_save > 60 * run.save_minutes or at.seconds >= total:
            last_save = at.seconds
            _save(run.out, named, average, optimizer, at)
            with torch.no_grad():
                print(f"held out: {held_out()}", flush=True)


def averaged(out: Path) -> dict[str, Tensor]:
    """The averaged weights of a run, by name."""
    stored = load_file(out / "weights.safetensors")
    return {name.removeprefix("ema."): tensor for name, tensor in stored.items() if name.startswith("ema.")}


def _save(
    out: Path,
    named: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    at: Progress,
) -> None:
    """Write a checkpoint beside the old one, then swap."""
    weights = {name: p.detach().contiguous() for name, p in named.items()}
    save_file({**weights, **{f"ema.{name}": p.contiguous() for name, p in average.items()}}, out / "weights.tmp")
    torch.save({"optimizer": optimizer.state_dict()}, out / "optimizer.tmp")
    (out / "progress.tmp").write_text(json.dumps(asdict(at)))
    for name in ("weights.safetensors", "optimizer.pt", "progress.json"):
        (out / name.split(".")[0]).with_suffix(".tmp").replace(out / name)


def _restore(
    out: Path, named: dict[str, nn.Parameter], average: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> Progress:
    """Continue from a checkpoint, where there is one."""
    if not (out / "progress.json").exists():
        return Progress()
    stored = load_file(out / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(stored[name])
            average[name].copy_(stored[f"ema.{name}"])
    optimizer.load_state_dict(torch.load(out / "optimizer.pt", weights_only=True)["optimizer"])
    return Progress(**json.loads((out / "progress.json").read_text()))
