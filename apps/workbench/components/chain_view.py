"""The chain view as Streamlit mounts it, and the bytes that it is sent.

`[uint32 length][JSON header, UTF-8][padding to 8][arrays, each padded to 8]`, all little-endian; the header's `arrays`
says name, kind and length of each. Texts of nodes are one array of UTF-8 bytes with the end of each; equal texts are
sent once. Only the selection comes back: `{"chain": id, "step": index, "node": index or −1}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ViewData", "chain_view", "pack"]

FOLDER = Path(__file__).parent / "chain_view"
SCRIPTS = ("data.js", "steps.js", "curve.js", "tree.js", "main.js")
NAME = "cotlab_chain_view"
_KINDS = {"f4": np.float32, "i4": np.int32, "u4": np.uint32, "u1": np.uint8}


@dataclass(frozen=True, slots=True)
class ViewData:
    """What the component shows."""

    header: Mapping[str, Any]
    """JSON values: steps, curve, shares, names, the selection."""
    arrays: Mapping[str, NDArray[Any]]
    """One entry a node: x, y, parent, value, low, high, share, visits, text, kept, spine, category; and the texts."""


def pack(view: ViewData) -> bytes:
    """The bytes that the component is sent."""
    arrays = {name: np.ascontiguousarray(array) for name, array in view.arrays.items()}
    listed = [[name, _kind(array), len(array)] for name, array in arrays.items()]
    # ASCII: lone surrogates in model text become escapes.
    header = json.dumps({**view.header, "arrays": listed}, allow_nan=False).encode("ascii")
    parts = [len(header).to_bytes(4, "little"), header]
    size = 4 + len(header)
    for array in arrays.values():
        padding = -size % 8
        parts += [bytes(padding), array.tobytes()]
        size += padding + array.nbytes
    return b"".join(parts)


def _kind(array: NDArray[Any]) -> str:
    return next(kind for kind, dtype in _KINDS.items() if array.dtype == dtype)


@cache
def _component() -> Callable[..., Any]:
    import streamlit as st

    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = (FOLDER / "view.css").read_text(encoding="utf-8")
    component: Callable[..., Any] = st.components.v2.component(
        NAME, html='<div class="place"></div>', css=style, js=script
    )
    return component


def chain_view(data: bytes, *, key: str, on_selected: Callable[[], None]) -> dict[str, Any] | None:
    """Mount the view; returns the selection, None before the first."""
    result = _component()(key=key, data=data, on_selected_change=on_selected)
    selected: dict[str, Any] | None = result.get("selected")
    return selected
