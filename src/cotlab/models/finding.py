"""From a model's name or folder to its card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotlab.chains.image_models import sees_images
from cotlab.chains.templates import chat_template_opens
from cotlab.chains.think import KNOWN_TAGS, ThinkTags
from cotlab.errors import ModelError
from cotlab.models.card import ModelCard
from cotlab.models.known import KNOWN_CARDS, VISION_CHOICE

__all__ = ["card_by_name", "find_card"]


def card_by_name(name: str) -> ModelCard | None:
    """Card of a known model by hub name, last part of it, or alias, whatever the case; None where it is not known."""
    wanted = name.strip().rstrip("/").lower()
    for card in KNOWN_CARDS:
        if wanted in (card.name.lower(), card.name.lower().rsplit("/", 1)[-1], *card.aliases):
            return card
    return None


def find_card(name_or_path: str | Path) -> ModelCard:
    """Card of a model.

    1. A known name or alias gives its card.
    2. A folder whose name is that of a known model with the same layers and width gives that card.
    3. Any other folder gives a card made from its `config.json` and chat template: think tags are those that the
       template knows; without a chat template the prompt is plain.
    4. Any other name gives a card that trusts the tokenizer's chat template and knows no think tags.

    Raises:
        ModelError: A JSON file of the folder cannot be read.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        return _card_of_folder(folder)
    name = str(name_or_path)
    return (
        card_by_name(name)
        or card_by_name(name.rsplit("/", 1)[-1])
        or ModelCard(name, "unknown", (), "tokenizer", "none", None)
    )


def _card_of_folder(folder: Path) -> ModelCard:
    name = folder.resolve().name
    config = _read_json(folder / "config.json")
    nested, config = "text_config" in config, config.get("text_config", config)
    layers, width = config.get("num_hidden_layers"), config.get("hidden_size")
    known = card_by_name(name)
    if known and nested:  # leaves out what is the default of its family
        layers, width = layers or known.n_layers, width or known.d_model
    if known and (known.n_layers, known.d_model) == (layers, width):
        return known
    template = _chat_template(folder)
    tags = next((tags for tags in KNOWN_TAGS if tags.open in template or tags.close in template), None)
    card = ModelCard(
        name=name,
        family=str(config.get("model_type", "unknown")),
        template_kind="tokenizer" if template else "plain",
        think=_think_mode(template, tags),
        tags=tags,
        n_layers=layers,
        d_model=width,
        notes="Made from the folder's configuration and chat template.",
    )
    return replace(card, instruction="", choice_instruction=VISION_CHOICE) if sees_images(folder) else card


def _think_mode(template: str, tags: ThinkTags | None) -> Any:
    if tags is None:
        return "none"
    return "open" if chat_template_opens(template, tags) else "model"


def _chat_template(folder: Path) -> str:
    """Chat template of a folder; "" without one.

    `chat_template.jinja`, else the entry of `tokenizer_config.json`, else that of an image processor
    (`chat_template.json`).
    """
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    template = _read_json(folder / "tokenizer_config.json").get("chat_template") or ""
    if isinstance(template, list):  # several, each with a name
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), "")
    return str(template or _read_json(folder / "chat_template.json").get("chat_template") or "")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid JSON ({error}). Copy it again from the model") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds {type(content).__name__}, expected a JSON object. Copy it again from the model")
    return content
