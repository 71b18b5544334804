"""Results as one safetensors file: tensors, and a card as JSON in its header. Written beside, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from cotlab.errors import DataError, fault_of

__all__ = ["load_tensors", "save_tensors"]

Card = TypeVar("Card")


def save_tensors(path: Path | str, form: str, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write a file.

    Args:
        path: Its folders are made.
        form: Format and version, which `load_tensors` holds against what is asked for.
        card: JSON values.
        tensors: By name.
    """
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, unfinished, metadata={"format": form, "card": json.dumps(card)})
    unfinished.replace(path)
    return path


def load_tensors(path: Path | str, form: str, kind: type[Card], names: tuple[str, ...]) -> tuple[Card, list[Tensor]]:
    """Read one back.

    Args:
        path: The file.
        form: Its format and version.
        kind: Dataclass of the card.
        names: Of the tensors.

    Raises:
        DataError: The file is not there, or is something else.
    """
    from pydantic import TypeAdapter, ValidationError
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            if meta.get("format") != form:
                raise DataError(f"{path} is of format {meta.get('format')!r}, expected {form!r}")
            tensors = [file.get_tensor(name) for name in names]
        return TypeAdapter(kind).validate_json(meta.get("card", "")), tensors
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        raise DataError(f"{path} cannot be read: its card says {fault_of(error)}") from error
