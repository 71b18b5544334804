"""From a name or folder to an autoencoder, whatever format it is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cotlab.errors import UserError
from cotlab.interventions.autoencoder import SparseAutoencoder
from cotlab.interventions.hook_points import HookPoint
from cotlab.saes.checkpoint import CHECKPOINT
from cotlab.saes.formats import dictionary_learning, llama_scope, llama_scope_r1, sae_lens, single_file, sparsify
from cotlab.saes.given import Given
from cotlab.saes.registry import find_released, read_released
from cotlab.saes.shipped import shipped_sae
from cotlab.saes.stored import StoredAutoencoder

__all__ = ["FORMATS", "Format", "load_sae", "open_sae", "saes_below"]


@dataclass(frozen=True, slots=True)
class Format:
    """A layout that autoencoders are published in."""

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Given], StoredAutoencoder]
    files: tuple[str, ...]
    """Of a folder."""


FORMATS = tuple(
    Format(name, module.recognises, module.read, files)
    for name, module, files in (
        ("sae_lens", sae_lens, (sae_lens.CONFIG, sae_lens.WEIGHTS)),
        ("llama_scope", llama_scope, (llama_scope.CONFIG, llama_scope.WEIGHTS)),
        ("llama_scope_r1_distill", llama_scope_r1, (llama_scope_r1.CONFIG, llama_scope_r1.WEIGHTS)),
        ("dictionary_learning", dictionary_learning, (dictionary_learning.CONFIG, dictionary_learning.WEIGHTS)),
        ("sparsify", sparsify, (sparsify.CONFIG, sparsify.WEIGHTS)),
        ("single_file", single_file, ()),
    )
)
"""In the order in which a path is tried."""


def open_sae(
    name_or_path: str | Path,
    *,
    point: HookPoint | str | None = None,
    model: str = "",
    scale: float | None = None,
    k: int | None = None,
) -> StoredAutoencoder:
    """An autoencoder on disk, of which a part at a time is read.

    Args:
        name_or_path: A folder or file, a name of SAELens's registry as RELEASE/ID, or `tiny:honest/resid_post:2`.
        point: Hook point, where the files do not say it.
        model: Model that it was trained on, likewise.
        scale: Norm factor √d_model / mean‖x‖, likewise.
        k: Features that stay active, likewise.

    Raises:
        UserError: There is nothing of that name, it cannot be fetched, its format is not supported, or what is given
            contradicts the files.
        DataError: A file is damaged.
    """
    at = HookPoint.parse(point) if isinstance(point, str) else point
    path = shipped_sae(str(name_or_path)) or Path(name_or_path).expanduser()
    if not path.exists():
        released = find_released(str(name_or_path))
        return read_released(released, Given(str(name_or_path), model, at, scale, k), {f.name: f.read for f in FORMATS})
    given = Given("", model, at, scale, k)
    for known in FORMATS:
        if known.recognises(path):
            return known.read(path, given)
    raise UserError(_unknown(path))


def load_sae(
    name_or_path: str | Path,
    *,
    point: HookPoint | str | None = None,
    model: str = "",
    scale: float | None = None,
    k: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = torch.float32,
) -> SparseAutoencoder:
    """An autoencoder in memory; arguments and errors as for `open_sae`.

    Args:
        name_or_path: A folder or file, a name of SAELens's registry as RELEASE/ID, or `tiny:honest/resid_post:2`.
        point: Hook point, where the files do not say it.
        model: Model that it was trained on, likewise.
        scale: Norm factor √d_model / mean‖x‖, likewise.
        k: Features that stay active, likewise.
        device: Default: CPU.
        dtype: Number format; None keeps that of the file.
    """
    return open_sae(name_or_path, point=point, model=model, scale=scale, k=k).load(device, dtype)


def saes_below(name_or_path: str) -> list[str]:
    """What a name stands for: itself, or the autoencoders in a folder that holds several."""
    path = Path(name_or_path).expanduser()
    if not path.is_dir() or any(known.recognises(path) for known in FORMATS):
        return [name_or_path]
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    return [str(one) for one in inside if any(known.recognises(one) for known in FORMATS)] or [name_or_path]


def _unknown(path: Path) -> str:
    """One line on a path that no reader takes."""
    if path.is_dir():
        inside = sorted(one.name for one in path.iterdir())
        below = [one for one in inside if any(known.recognises(path / one) for known in FORMATS)]
        if below:
            return (
                f"{path} holds several SAEs; name one of them: {', '.join(below[:6])}{' …' if len(below) > 6 else ''}"
            )
        shown = ", ".join(inside[:6]) or "nothing"
        if CHECKPOINT in inside:
            return f"{path} holds no SAE yet: its training was interrupted, and the same command goes on there"
        if lacking := "; ".join(filter(None, (_lacking(known, path) for known in FORMATS))):
            return f"{path} holds no whole SAE (it has {shown}): {lacking}. Copy all files of it"
        return f"{path} holds no SAE in a layout that is known (it has {shown}); docs/saes.md lists the layouts"
    return f"{path} is no SAE in a layout that is known; name its folder"


def _lacking(known: Format, path: Path) -> str:
    """Which file of a layout is not there, where the others are; "" where none or all are missing."""
    missing = [name for name in known.files if not (path / name).is_file()]
    there = [name for name in known.files if name not in missing]
    return f"{' and '.join(there)} of {known.name} lacks {' and '.join(missing)}" if missing and there else ""
