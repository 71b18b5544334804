"""The state of a SAELens trainer as one safetensors file, and back. SAELens's own are pickles."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from cotlab.errors import DataError, UserError
from cotlab.interventions import SAECard, SparseAutoencoder

__all__ = ["CHECKPOINT", "Checkpoint", "load_checkpoint", "save_checkpoint"]

CHECKPOINT = "checkpoint.safetensors"
"""Its name in the folder of the autoencoder to be."""
FORMAT = "cotlab-sae-training/1"
_STATS = ("act_freq_scores", "n_forward_passes_since_fired")
_WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint tells besides the trainer's state."""

    checks: list[dict[str, Any]]
    best: tuple[dict[str, Any], SparseAutoencoder] | None


def save_checkpoint(
    path: Path,
    asked: str,
    trainer: Any,
    *,
    checks: list[dict[str, Any]],
    best: tuple[dict[str, Any], SparseAutoencoder] | None,
) -> None:
    """Write a checkpoint beside, then in the place of the last one.

    Args:
        path: The file.
        asked: What the training is known by.
        trainer: A `SAETrainer` between two steps.
        checks: What was measured so far.
        best: Check and weights of the best so far.
    """
    from safetensors.torch import save_file

    tensors = {f"sae.{name}": value for name, value in trainer.sae.state_dict().items()}
    tensors |= {name: getattr(trainer, name) for name in _STATS}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
    told: dict[str, Any] = {"asked": asked, "checks": checks, "best": None}
    told["steps"], told["samples"] = trainer.n_training_steps, trainer.n_training_samples
    told["sampled"] = trainer.n_frac_active_samples
    if best is not None:
        told["best"] = {"check": best[0], "card": best[1].card.to_json()}
        tensors |= {f"best.{name}": value for name in _WEIGHTS if (value := getattr(best[1], name)) is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(whole, unfinished, metadata={"format": FORMAT, "told": json.dumps(told)})
    unfinished.replace(path)


def load_checkpoint(path: Path, asked: str, trainer: Any, card: SAECard) -> Checkpoint:
    """Bring a new trainer of the same plan to where the checkpoint was written.

    Raises:
        UserError: It is of another plan.
        DataError: The file cannot be read.
    """
    told, tensors = _read(path)
    if told["asked"] != asked:
        raise UserError(
            f"{path} is of another training (other data, start or settings): name another folder, or remove it"
        )
    device = trainer.sae.W_enc.device
    tensors = {name: value.to(device) for name, value in tensors.items()}
    trainer.sae.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("sae.")})
    for name in _STATS:
        setattr(trainer, name, tensors[name])
    trainer.n_training_steps, trainer.n_training_samples = told["steps"], told["samples"]
    trainer.n_frac_active_samples = told["sampled"]
    _restore_optimiser(trainer, tensors, told["steps"])
    best = None
    if told["best"] is not None:
        weights = {name: tensors.get(f"best.{name}") for name in _WEIGHTS}
        kept = SAECard.from_json(told["best"]["card"])
        best = told["best"]["check"], SparseAutoencoder(replace(kept, model=card.model), **weights)  # type: ignore[arg-type]
    return Checkpoint(told["checks"], best)


def _restore_optimiser(trainer: Any, tensors: Mapping[str, Tensor], steps: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is the learning rate alone that steps here
        for _ in range(steps):
            trainer.lr_scheduler.step()
    for scheduler in trainer.coefficient_schedulers.values():
        scheduler.load_state_dict({"current_step": steps})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value.cpu() if key == "step" else value
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            if meta.get("format") != FORMAT:
                raise DataError(f"{path} is no checkpoint of an SAE training (format {meta.get('format')!r})")
            return json.loads(meta["told"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"checkpoint {path} cannot be read ({error}): remove it to begin anew") from error
