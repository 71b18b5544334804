"""From what a user calls a model to a folder on this machine."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from cotlab.errors import ModelError
from cotlab.models.card import ModelCard
from cotlab.models.finding import card_by_name, find_card
from cotlab.models.folder import check_folder, weights_hash
from cotlab.models.hub import hub_in_reach
from cotlab.models.known import KNOWN_CARDS, TINY_CARD, TINY_VLM_CARD

__all__ = ["ResolvedModel", "resolve_model"]

_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_SHIPPED = {
    card.name: (card, Path(folder), experiment)
    for card, folder, experiment in (
        (TINY_CARD, "weights", "tiny-reasoner"),
        (TINY_VLM_CARD, "vlm_weights", "tiny-vlm"),
    )
}
"""Models that come with the package: card, folder of their weights in `tiny`, and what trains them."""
_IGNORED = ("original/*", "consolidated*", "onnx/*")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that is on this machine, complete."""

    name: str
    """For the engine card: `tiny`, `tiny:says-it`, `tiny-vlm`, a hub name, or the folder's own name, without a path."""
    path: Path
    card: ModelCard
    revision: str
    """Commit of a hub model, else hash of the weights."""


def resolve_model(name: str, revision: str | None = None, offline: bool = False) -> ResolvedModel:
    """Find a model: `tiny`, `tiny-vlm:prior` …, a folder, or a hub name or alias (from the cache, else downloaded).

    Args:
        name: What the user typed.
        revision: Branch, tag or commit of a hub model; its main branch by default.
        offline: Look no further than this machine.

    Raises:
        ModelError: The model is not there or not complete; one line says what is missing and how to get it.
    """
    base, _, organism = name.partition(":")
    shipped = _SHIPPED.get(_card_name(base))
    if shipped and not Path(name).is_dir():
        return _tiny(*shipped, organism or "honest")
    folder = Path(name).expanduser()
    if folder.is_dir() or _looks_like_path(name):
        check_folder(folder, name)
        return ResolvedModel(folder.resolve().name, folder, find_card(folder), weights_hash(folder))
    card = find_card(name)
    hub_name = card.name
    path = _cached(hub_name, revision)
    if path is None:
        path = _download(name, hub_name, revision, offline)
    if card.family == "unknown":
        card = find_card(path)
    return ResolvedModel(hub_name, path, card, path.name)


def _looks_like_path(name: str) -> bool:
    return name.startswith(("/", ".", "~")) or name.endswith("/") or name.count("/") > 1 or "\\" in name


def _card_name(name: str) -> str:
    card = card_by_name(name)
    return card.name if card else ""


def _tiny(card: ModelCard, trained: Path, experiment: str, organism: str) -> ResolvedModel:
    weights = Path(str(files("cotlab"))) / "tiny" / trained
    shipped = sorted(config.parent.name for config in weights.glob("*/config.json"))
    if organism not in shipped:
        raise ModelError(
            f"no weights of the {card.name} model {organism!r} here (there are: {', '.join(shipped) or 'none'}). "
            f"Install cotlab again, or train them with experiments/{experiment}"
        )
    folder = weights / organism
    check_folder(folder)
    name = card.name if organism == "honest" else f"{card.name}:{organism}"
    return ResolvedModel(name, folder, card, weights_hash(folder))


def _cached(hub_name: str, revision: str | None) -> Path | None:
    """The snapshot in the hub's local cache, where it is there and complete."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_name, revision=revision, local_files_only=True))
        check_folder(folder)
    except (LocalEntryNotFoundError, HFValidationError, ModelError):
        return None  # a partial snapshot is completed by the download
    return folder


def _download(name: str, hub_name: str, revision: str | None, offline: bool) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # OSError, and the root of the errors of the HTTP library that the hub was built with
    transport_errors: tuple[type[BaseException], ...] = HfHubHTTPError.__bases__
    if offline or constants.HF_HUB_OFFLINE:
        raise ModelError(_how_to_get(name, hub_name, "is not on this machine"))
    try:
        with hub_in_reach():
            folder = Path(
                snapshot_download(
                    hub_name, revision=revision, allow_patterns=list(_PATTERNS), ignore_patterns=list(_IGNORED)
                )
            )
    except GatedRepoError as error:
        raise ModelError(
            f"model {hub_name!r} is gated. Accept its licence on the hub, then log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"model {hub_name!r} has no revision {revision!r}. Give a branch, tag or commit that it has"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(_how_to_get(name, hub_name, "is neither a folder nor a model on the hub")) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(_how_to_get(name, hub_name, "is not on this machine and the hub cannot be reached")) from error
    except transport_errors as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"model {hub_name!r} could not be downloaded ({reason}). Try again: it goes on where it stopped"
        ) from error
    check_folder(folder)
    return folder


def _how_to_get(name: str, hub_name: str, trouble: str) -> str:
    names = [alias for card in KNOWN_CARDS for alias in (card.name, *card.aliases)]
    near = [] if card_by_name(name) else difflib.get_close_matches(name.lower(), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"model {name!r} {trouble}.{hint} Get it with `hf download {hub_name}` where there is a network, "
        "or give a folder: --model /path/to/folder"
    )
