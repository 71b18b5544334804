"""A figure: SVG that Python made and escaped. `st.html` takes SVG away, and `st.image` its colours and its tips."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["figure"]

NAME = "cotlab_figure"
_SCRIPT = """
export default function ({ data, parentElement }) {
  const place = parentElement.querySelector(".place");
  const parsed = new DOMParser().parseFromString(data, "image/svg+xml").documentElement;
  if (parsed.nodeName === "svg") place.replaceChildren(document.importNode(parsed, true));
  else place.textContent = "This figure cannot be drawn.";
}
"""
_STYLE = ".place { color: var(--st-text-color); font-family: var(--st-font); font-variant-numeric: tabular-nums; }"


@cache
def _component() -> Callable[..., Any]:
    import streamlit as st

    component: Callable[..., Any] = st.components.v2.component(
        NAME, html='<div class="place"></div>', css=_STYLE, js=_SCRIPT
    )
    return component


def figure(svg: str, *, key: str) -> None:
    """Show a standalone SVG document; what is no well-formed one is said to be none."""
    _component()(key=key, data=svg)
