"""SAELens's registry of published autoencoders: names, where they are on the hub, norm factors.

Its table is read without importing SAELens, which takes ten seconds; formats that only SAELens reads import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from cotlab.errors import DataError, UserError
from cotlab.models import hub_in_reach
from cotlab.saes.formats import sae_lens
from cotlab.saes.formats.reading import read_json
from cotlab.saes.given import Given
from cotlab.saes.saving import CONFIG, WEIGHTS
from cotlab.saes.stored import StoredAutoencoder
from cotlab.saes.tensor_file import HeldTensor, open_safetensors

__all__ = ["Released", "find_released", "read_released"]

TABLE = "pretrained_saes.yaml"
_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "llama_scope": ("llama_scope", ("/hyperparams.json", "/checkpoints/final.safetensors")),
    "llama_scope_r1_distill": ("llama_scope_r1_distill", ("/config.json", "/sae_weights.safetensors")),
    "dictionary_learning_1": ("dictionary_learning", ("/config.json", "/ae.pt")),
    "deepseek_r1": ("single_file", ("",)),
    "goodfire": ("single_file", ("",)),
    "qwen_scope": ("single_file", ("",)),
}
"""Our format and its files behind the path, by the registry's name of a conversion; the rest SAELens converts."""
Reader = Callable[[Path, Given], StoredAutoencoder]


@dataclass(frozen=True, slots=True)
class Released:
    """An entry of the registry."""

    release: str
    sae_id: str
    repository: str
    path: str
    conversion: str | None
    model: str
    factor: float | None
    """Norm factor."""
    overrides: Mapping[str, Any]
    neuronpedia: str = ""
    """Its place on Neuronpedia, where its features have pages there."""

    @property
    def name(self) -> str:
        """As `load_sae` takes it."""
        return f"{self.release}/{self.sae_id}"


def find_released(name: str) -> Released:
    """An entry by RELEASE/ID.

    Raises:
        UserError: There is no such path and no such name; the nearest are told.
    """
    release, _, sae_id = name.partition("/")
    table = _table()
    if release not in table:
        near = get_close_matches(release, table, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "RELEASE/ID as in SAELens's table of pretrained SAEs"
        raise UserError(
            f"there is no file or folder '{name}', and no release '{release}' in SAELens's registry; {hint}"
        )
    entry = table[release]
    known = {str(one["id"]): one for one in entry["saes"]}
    if sae_id not in known:
        near = get_close_matches(sae_id, known, n=4, cutoff=0.3) or list(known)[:4]
        some = ", ".join(f"{release}/{one}" for one in near)
        raise UserError(f"release '{release}' has no SAE '{sae_id}'; it has {len(known)}, such as {some}")
    one = known[sae_id]
    return Released(
        release,
        sae_id,
        str(entry["repo_id"]),
        str(one["path"]),
        entry.get("conversion_func"),
        str(entry.get("model") or ""),
        one.get("norm_scaling_factor"),
        entry.get("config_overrides") or {},
        str(one.get("neuronpedia") or ""),
    )


def read_released(released: Released, given: Given, readers: Mapping[str, Reader]) -> StoredAutoencoder:
    """Fetch an entry into the hub's cache, if it is not there, and read it.

    Raises:
        UserError: It is not in the cache and cannot be fetched, or its architecture is not supported.
        DataError: A file is damaged.
    """
    if released.conversion in _FILES:
        form, names = _FILES[released.conversion]
        paths = [_fetch(released, released.path + name) for name in names]
        scale = released.factor if given.scale is None and form == "llama_scope_r1_distill" else given.scale
        found = readers[form](paths[0] if names == ("",) else paths[0].parent, replace(given, scale=scale))
    elif released.conversion is None:
        config, weights = (_fetch(released, f"{released.path}/{name}") for name in (CONFIG, WEIGHTS))
        told = {**read_json(config), **released.overrides}
        found = sae_lens.interpret(told, open_safetensors(weights), config.parent, given, released.factor)
    else:
        found = _converted(released, given)
    card = replace(found.card, neuronpedia=found.card.neuronpedia or released.neuronpedia)
    return replace(found, card=card if card.model else replace(card, model=released.model))


def _converted(released: Released, given: Given) -> StoredAutoencoder:
    """One whose layout only SAELens reads."""
    from sae_lens.loading.pretrained_sae_loaders import NAMED_PRETRAINED_SAE_LOADERS, handle_config_defaulting

    overrides = {**released.overrides, "device": "cpu", "dtype": "float32"}
    convert = NAMED_PRETRAINED_SAE_LOADERS[released.conversion]
    try:
        with hub_in_reach():
            config, state, _ = convert(released.repository, released.path, "cpu", False, overrides)
    except _hub_faults() as error:
        raise _unreachable(released, released.path, error) from error
    except (KeyError, ValueError) as error:
        raise DataError(f"SAE '{released.name}' cannot be converted by SAELens: {_reason(error)}") from error
    tensors = {name: HeldTensor(tensor) for name, tensor in state.items() if isinstance(tensor, Tensor)}
    found = sae_lens.interpret(handle_config_defaulting(config), tensors, Path(released.name), given, released.factor)
    return replace(found, card=replace(found.card, source=str(released.conversion)))


def _fetch(released: Released, name: str) -> Path:
    """A file of the hub, from its cache or fetched."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(released.repository, name)
    if isinstance(cached, str):
        return Path(cached)
    try:
        with hub_in_reach():
            return Path(hf_hub_download(released.repository, name))
    except _hub_faults() as error:
        raise _unreachable(released, name, error) from error


def _hub_faults() -> tuple[type[BaseException], ...]:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    # OSError, and the root of the errors of the HTTP library that the hub was built with
    return (LocalEntryNotFoundError, OfflineModeIsEnabled, *HfHubHTTPError.__bases__)


def _unreachable(released: Released, name: str, error: BaseException) -> UserError:
    gone = isinstance(error, FileNotFoundError | ConnectionError)  # what the hub's library raises without the hub
    reason = "the hub cannot be reached" if gone else type(error).__name__
    return UserError(
        f"SAE '{released.name}' is not in the hub's cache and cannot be fetched ({reason}): copy "
        f"{name} of {released.repository} into a folder, as it is there, and name that"
    )


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@cache
def _table() -> dict[str, Any]:
    import yaml

    spec = find_spec("sae_lens")
    if spec is None or spec.origin is None:
        raise UserError("names of published SAEs need the package sae-lens, which is not installed")
    text = Path(spec.origin).with_name(TABLE).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found
