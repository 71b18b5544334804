"""Images as SVG that Python made and escaped, whose parts can be pointed at and chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["image_view"]

NAME = "cotlab_image_view"
_SCRIPT = """
export default function ({ data, parentElement, setStateValue }) {
  const place = parentElement.querySelector(".place");
  if (place.dataset.shown === data) return;
  place.dataset.shown = data;
  const parsed = new DOMParser().parseFromString(data, "image/svg+xml").documentElement;
  if (parsed.nodeName !== "svg") { place.textContent = "These images cannot be drawn."; return; }
  const svg = document.importNode(parsed, true);
  const told = document.createElement("div");
  told.className = "told";
  place.replaceChildren(svg);
  if (!svg.querySelector(".part")) return;
  place.append(told);
  const chosen = () => svg.querySelector(".part.on");
  const tell = (part) => { told.textContent = part ? part.dataset.told : ""; };
  tell(chosen());
  svg.addEventListener("pointerover", (event) => tell(event.target.closest(".part") || chosen()));
  svg.addEventListener("pointerleave", () => tell(chosen()));
  const take = (event) => {
    const part = event.target.closest(".part");
    if (!part) return;
    const was = chosen();
    if (was) was.classList.remove("on");
    if (was !== part) part.classList.add("on");
    tell(chosen());
    setStateValue("part", was === part ? null : part.dataset.part);
  };
  svg.addEventListener("click", take);
  svg.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    take(event);
  });
}
"""
_STYLE = """
.place { color: var(--st-text-color); font-family: var(--st-font); font-variant-numeric: tabular-nums; }
.place svg { max-width: 100%; height: auto; display: block; }
.part { cursor: pointer; outline: none; }
.part:hover, .part.on, .part:focus-visible { stroke: #d9762b; stroke-width: 3px; stroke-opacity: 1; }
.told { min-height: 1.5em; font-size: 13px; opacity: .75; }
"""


@cache
def _component() -> Callable[..., Any]:
    import streamlit as st

    component: Callable[..., Any] = st.components.v2.component(
        NAME, html='<div class="place"></div>', css=_STYLE, js=_SCRIPT
    )
    return component


def image_view(svg: str, *, key: str) -> str | None:
    """Show a standalone SVG document; returns `data-part` of the element of class `part` that was chosen, if any."""
    chosen = _component()(key=key, data=svg, on_part_change=lambda: None).get("part")
    return chosen if isinstance(chosen, str) else None
