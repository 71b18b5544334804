"""Steering vectors as files: safetensors with the card in its header, and GGUF control vectors of other tools."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cotlab.errors import UserError
from cotlab.interventions.hook_points import HookPoint
from cotlab.interventions.vectors import SteeringVector, VectorCard

__all__ = ["load_vector", "save_vector"]

FORMAT = "cotlab-vector/1"
ARCHITECTURE = "controlvector"


def save_vector(vector: SteeringVector, path: Path | str) -> Path:
    """Write a vector; the name's ending says as what.

    `.safetensors`: a tensor `directions` and, in the header, hook points and card; the card again beside it as
    `.json`, for people. `.gguf`: a control vector of llama.cpp and repeng (`direction.{layer}`), for resid_post only.

    Returns:
        The file. It is written beside and renamed, so that it is whole or not there.

    Raises:
        UserError: Another ending, or a vector that the format has no place for.
    """
    path = Path(path)
    if path.suffix == ".gguf":
        return _write(path, lambda target: _write_gguf(vector, target))
    if path.suffix != ".safetensors":
        raise UserError(f"a vector cannot be written as '{path.name}'. Use a name ending in .safetensors or .gguf")
    from safetensors.numpy import save_file

    header = {"format": FORMAT, "points": [str(point) for point in vector.points], "card": vector.card.to_json()}
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in header.items()}
    _write(path, lambda target: save_file({"directions": vector.directions}, target, metadata=text))
    told = json.dumps({"id": vector.id, "norms": vector.norms, **header}, indent=2, ensure_ascii=False)
    _write(path.with_suffix(".json"), lambda target: target.write_text(told + "\n", encoding="utf-8"))
    return path


def load_vector(path: Path | str) -> SteeringVector:
    """Read a vector, as `save_vector` or another tool wrote it.

    Raises:
        UserError: There is no such file, or it holds no vector; one line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no vector {path}. `cotlab steer vector` makes one")
    return _read_gguf(path) if path.suffix == ".gguf" else _read_safetensors(path)


def _read_safetensors(path: Path) -> SteeringVector:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header: Mapping[str, str] = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise UserError(f"{path} is not a steering vector of cotlab ({FORMAT})")
            points = tuple(HookPoint.parse(point) for point in json.loads(header["points"]))
            return SteeringVector(
                points, file.get_tensor("directions"), VectorCard.from_json(json.loads(header["card"]))
            )
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} cannot be read as a steering vector: {reason}") from error


def _write_gguf(vector: SteeringVector, path: Path) -> None:
    """Layer l of the format is added to the output of decoder layer l, which is resid_post:l; 0 does not exist."""
    gguf = _gguf()
    for point in vector.points:
        if point.kind != "resid_post" or point.layer == 0:
            raise UserError(f"a GGUF control vector has no place for {point}; it holds resid_post of layer 1 and above")
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", vector.card.model or "unknown")
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(vector.points))
    for point, direction in zip(vector.points, vector.directions, strict=True):
        writer.add_tensor(f"direction.{point.layer}", np.array(direction))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _read_gguf(path: Path) -> SteeringVector:
    gguf = _gguf()
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, OSError) as error:
        raise UserError(f"{path} cannot be read as GGUF: {str(error).splitlines()[0]}") from error
    named = {str(tensor.name): np.array(tensor.data, dtype=np.float32) for tensor in reader.tensors}
    layers = {int(name.removeprefix("direction.")): data for name, data in named.items() if _is_direction(name)}
    if not layers or len(layers) != len(named):
        raise UserError(f"{path} holds no control vector: its tensors are {', '.join(named) or 'none'}")
    hint = _text(reader, f"{ARCHITECTURE}.model_hint")
    points = tuple(HookPoint("resid_post", layer) for layer in sorted(layers))
    notes = f"model_hint {hint}" if hint else ""
    card = VectorCard(name=path.stem, method="imported:gguf", notes=notes)
    try:
        directions = np.stack([layers[layer] for layer in sorted(layers)])
    except ValueError as error:
        raise UserError(f"{path}: its directions are of different lengths") from error
    return SteeringVector(points, directions, card)


def _is_direction(name: str) -> bool:
    return name.startswith("direction.") and name.removeprefix("direction.").isdecimal()


def _text(reader: Any, key: str) -> str:
    found = reader.get_field(key)
    return bytes(found.parts[found.data[0]]).decode("utf-8", "replace") if found else ""


def _gguf() -> Any:
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise UserError("GGUF files need the package gguf: install cotlab with the extra 'gguf'") from error
    return gguf


def _write(path: Path, write: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
