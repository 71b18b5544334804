"""A linear probe: a direction at a hook point that tells a label, kept as safetensors with its card inside."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.errors import DataError, fault_of

__all__ = ["Probe", "ProbeCard"]

FORMAT = "cotlab-probe/1"
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ProbeCard:
    """What a probe is of."""

    label: str
    hook: str
    method: str
    model: str = ""
    revision: str = ""
    """Of the model; a probe speaks of no other weights."""
    at: str = ""
    """Which tokens it was fitted on."""
    n_examples: int = 0
    n_problems: int = 0
    problems: tuple[str, ...] = ()
    """Ids of the problems that it was fitted on: of these it knows more than it should."""
    positive_share: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """logit P(label) = weight · activation + bias, in raw units of the residual stream."""

    weight: NDArray[np.float64]
    """[d_model]"""
    bias: float
    card: ProbeCard

    @property
    def direction(self) -> NDArray[np.float64]:
        """[d_model] The unit vector that raises the label."""
        norm = float(np.linalg.norm(self.weight))
        if norm == 0:
            raise DataError(f"the probe for {self.card.label!r} at {self.card.hook} is zero: it has no direction")
        return self.weight / norm

    def logits(self, activations: ArrayLike) -> NDArray[np.float64]:
        """Log odds of the label for activations [..., d_model].

        Raises:
            DataError: The width is another one.
        """
        rows = np.asarray(activations)
        if rows.shape[-1] != len(self.weight):
            raise DataError(
                f"activations have width {rows.shape[-1]}, the probe for {self.card.label!r} at {self.card.hook} "
                f"has {len(self.weight)}: read them at {self.card.hook} of {self.card.model or 'its model'}"
            )
        return np.asarray(rows @ self.weight + self.bias, dtype=float)

    def probabilities(self, activations: ArrayLike) -> NDArray[np.float64]:
        """P(label) for activations [..., d_model]."""
        from scipy.special import expit

        return np.asarray(expit(self.logits(activations)), dtype=float)

    def save(self, path: Path | str) -> None:
        """Write one safetensors file (beside, then renamed)."""
        from safetensors.numpy import save_file

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        tensors = {"weight": np.ascontiguousarray(self.weight), "bias": np.array([self.bias])}
        save_file(tensors, unfinished, metadata={"format": FORMAT, "card": json.dumps(asdict(self.card))})
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> Probe:
        """Read one.

        Raises:
            DataError: The file is not there, or is no probe.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            raise DataError(f"no probe at {path}" + (": the file is too large for one" if path.is_file() else ""))
        try:
            with safe_open(path, framework="numpy") as file:
                meta = file.metadata() or {}
                if meta.get("format") != FORMAT:
                    raise DataError(f"{path} is no probe: its format is {meta.get('format')!r}, expected {FORMAT!r}")
                weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is no probe: {error}") from error
        return cls(_vector(weight, path), float(_vector(bias, path)[0]), _card(meta.get("card", ""), path))


def _vector(values: Any, path: Path) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=float)
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
        raise DataError(f"{path} is no probe: a tensor has shape {vector.shape}, expected finite numbers in one row")
    return vector


def _card(text: str, path: Path) -> ProbeCard:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(ProbeCard).validate_json(text)
    except ValidationError as error:
        raise DataError(f"{path} is no probe: its card says {fault_of(error)}") from error
