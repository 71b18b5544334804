"""SVG elements, escaped."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

__all__ = ["element", "path", "points"]


def element(tag: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """One element: text and attribute values are escaped, `Markup` children are not.

    `class_` gives `class`, `data_step` gives `data-step`; attributes that are None are left out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(Markup(name.rstrip("_").replace("_", "-")), _short(value))
        for name, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), written, inside)


def path(commands: Iterable[tuple[str, tuple[float, ...]]], **attributes: str | float | None) -> Markup:
    """A path of `("M", (x, y))`, `("L", (x, y))`, … commands."""
    drawn = " ".join(letter + " ".join(_short(number) for number in numbers) for letter, numbers in commands)
    return element("path", d=drawn, **attributes)


def points(pairs: Iterable[tuple[float, float]]) -> str:
    """Value of a `points` attribute."""
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in pairs)


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
