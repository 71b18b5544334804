"""Autoencoders that come with the package: `tiny:honest/resid_post:2` of the tiny reasoner, `tiny-vlm:…` of the VLM."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from cotlab.errors import UserError

__all__ = ["SHIPPED", "shipped_sae", "shipped_saes"]

SHIPPED = "tiny:honest/resid_post:2"
"""The one that demonstrations take."""


_FOLDERS = {"tiny": "saes", "tiny-vlm": "vlm_saes"}
"""Where they lie in `cotlab.tiny`, by model."""


def shipped_saes() -> dict[str, Path]:
    """Folders by name."""
    tiny = Path(str(files("cotlab.tiny")))
    return {
        f"{model}:{path.parent.parent.name}/{path.parent.name.replace('.', ':')}": path.parent
        for model, folder in _FOLDERS.items()
        for path in sorted((tiny / folder).glob("*/*/cfg.json"))
    }


def shipped_sae(name: str) -> Path | None:
    """The folder of one that comes with the package; None for a name of another kind.

    Raises:
        UserError: It is a name of a model's that comes with the package, and there is none.
    """
    if name.partition(":")[0] not in _FOLDERS or ":" not in name or "/" not in name:
        return None
    found = shipped_saes()
    if name not in found:
        raise UserError(f"no SAE '{name}' comes with cotlab; there are: {', '.join(found) or 'none'}")
    return found[name]
