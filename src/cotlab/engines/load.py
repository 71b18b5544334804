"""From what a user calls a model to an open engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cotlab.chains.image_models import sees_images
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.templates import Template
from cotlab.chains.tokens import HFTokenizer, Tokenizer
from cotlab.engines.base import Engine
from cotlab.engines.choice import engine_choice
from cotlab.engines.hf_options import TransformersOptions
from cotlab.engines.keeping import close_idle_engine
from cotlab.engines.threads import fit_threads
from cotlab.errors import ModelError, UserError
from cotlab.models.card import ModelCard
from cotlab.runs.run_identity import RunIdentity

if TYPE_CHECKING:
    from cotlab.models.resolving import ResolvedModel

__all__ = ["ENGINES", "MarkovOptions", "OpenedEngine", "TemplateMaker", "check_model", "engine_for", "open_engine"]

ENGINES = ("auto", "vllm", "transformers", "markov")
MARKOV = "markov:"
Options = TypeVar("Options")
TemplateMaker = Callable[[ModelCard, Tokenizer], Template]


@dataclass(frozen=True, slots=True)
class MarkovOptions:
    """Options of the markov engine."""

    delay: float = 0.0
    """Seconds that each rollout takes."""
    fail_every: int = 0
    """Every so many requests give a Failure (0: none)."""
    max_model_len: int = 1_000_000


@dataclass(frozen=True, slots=True)
class OpenedEngine:
    """An engine with what its model is known to be."""

    engine: Engine
    card: ModelCard
    template: Template
    """How its prompts are written; its id is in the engine's card."""

    @property
    def identity(self) -> RunIdentity:
        """What a run of this model is of."""
        return RunIdentity(
            model=self.engine.card.model,
            tokenizer_id=self.engine.tokenizer.id,
            template_id=self.template.id,
            think_open=self.template.tags.open,
            think_close=self.template.tags.close,
        )


def open_engine(
    model: str,
    engine: str = "auto",
    *,
    options: Mapping[str, Any] | None = None,
    template: TemplateMaker | None = None,
) -> OpenedEngine:
    """Find a model and load it.

    Args:
        model: `tiny`, a folder, a hub name or alias, or `markov:<spec>` for a ready-made Markov spec.
        engine: One of `ENGINES`; auto is vllm where it can run this model, else transformers (`engine_for`).
        options: Fields of `VllmOptions`, `TransformersOptions` or `MarkovOptions`.
        template: Makes the template from the model's card and its tokenizer; by default the card's own.

    Raises:
        UserError: An unknown engine or option, or a model that is not there; one line each.
    """
    if _is_markov(model, engine):
        return _open_markov(model, engine, options or {}, template or card_template)
    close_idle_engine()
    return _open_model(model, engine, options or {}, template or card_template)


def engine_for(model: str, engine: str = "auto") -> str:
    """The engine that `open_engine` takes: what is asked for, or where that is auto, what runs the model best here.

    Raises:
        ModelError: The model is not there.
    """
    if engine != "auto":
        return engine
    if model.startswith(MARKOV):
        return "markov"
    chosen = engine_choice().name
    if chosen == "vllm":
        from cotlab.models.resolving import resolve_model

        chosen = _chosen(resolve_model(model).path, engine, model)
    return chosen


def _chosen(folder: Path, engine: str, model: str) -> str:
    """The engine for the model in a folder.

    Raises:
        ModelError: vLLM is asked for and cannot run it.
    """
    if not sees_images(folder):
        return engine_choice().name if engine == "auto" else engine
    if engine == "vllm":
        raise ModelError(
            f"model '{model}' sees images, and vLLM opens such models with torchvision only, which cotlab does not "
            "install: use --engine transformers"
        )
    return "transformers"


def check_model(model: str, engine: str = "auto") -> None:
    """See that a model is there (a hub model is fetched) and is one for an engine, without loading it.

    Raises:
        UserError: What `open_engine` says of an engine or a model that is not there.
    """
    if _is_markov(model, engine):
        from cotlab.engines.markov_specs import markov_spec

        markov_spec(_markov_name(model, engine))
    else:
        from cotlab.models.resolving import resolve_model

        _chosen(resolve_model(model).path, engine, model)


def _is_markov(model: str, engine: str) -> bool:
    if engine not in ENGINES:
        raise UserError(f"unknown engine '{engine}'; there are: {', '.join(ENGINES)}")
    return model.startswith(MARKOV) or engine == "markov"


def _markov_name(model: str, engine: str) -> str:
    if engine not in ("auto", "markov"):
        raise UserError(f"model '{model}' runs on the markov engine only; use --engine markov or leave it out")
    return model.removeprefix(MARKOV)


def card_template(card: ModelCard, tokenizer: Tokenizer) -> Template:
    """The template that a model's card names."""
    return card.template().bound(tokenizer)


def markov_card(name: str) -> ModelCard:
    """Card of a ready-made Markov spec: bare questions, plain sampling, thinking that the prompt opens."""
    return ModelCard(
        name=name,
        family="markov",
        template_kind="plain",
        instruction="",
        choice_instruction="",
        sampling=SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=256),
        notes="An exact model for tests: its answer distribution after any prefix is known.",
    )


def _open_markov(model: str, engine: str, options: Mapping[str, Any], template: TemplateMaker) -> OpenedEngine:
    from cotlab.engines.markov import MarkovEngine
    from cotlab.engines.markov_specs import markov_spec

    name = _markov_name(model, engine)
    own = _options(MarkovOptions, options)
    spec = replace(markov_spec(name), delay=own.delay, fail_every=own.fail_every)
    card = markov_card(f"{MARKOV}{name}")
    opened = MarkovEngine(spec, max_model_len=own.max_model_len)
    written = template(card, opened.tokenizer)
    opened.set_template(written.id)
    return OpenedEngine(opened, card, written)


def _open_model(model: str, engine: str, options: Mapping[str, Any], template: TemplateMaker) -> OpenedEngine:
    from cotlab.models.resolving import resolve_model

    found = resolve_model(model)
    opener = _open_vllm if _chosen(found.path, engine, model) == "vllm" else _open_transformers
    tokenizer = HFTokenizer.load(found.path)
    written = template(found.card, tokenizer)
    fit_threads(found.path)
    return OpenedEngine(opener(found, tokenizer, written, options), found.card, written)


def _open_vllm(found: ResolvedModel, tokenizer: Tokenizer, template: Template, options: Mapping[str, Any]) -> Engine:
    from cotlab.engines.vllm import VllmEngine, VllmOptions

    return VllmEngine(
        found.path,
        tokenizer,
        name=found.name,
        revision=found.revision,
        template_id=template.id,
        options=_options(VllmOptions, options),
        tags=template.tags,
    )


def _open_transformers(
    found: ResolvedModel, tokenizer: Tokenizer, template: Template, options: Mapping[str, Any]
) -> Engine:
    own = _options(TransformersOptions, options)
    from cotlab.engines.hf import TransformersEngine

    return TransformersEngine(
        found.path,
        tokenizer,
        name=found.name,
        revision=found.revision,
        template_id=template.id,
        options=own,
        tags=template.tags,
    )


def _options(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Options of an engine from their names and values.

    Raises:
        UserError: There is no such option, or it cannot have that value.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in names:
            raise UserError(f"the engine has no option '{name}'; it has: {', '.join(names)}")
    try:
        return TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"engine option {name}={first.get('input')!r}: {first['msg']}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"an engine option cannot be: {error}") from error
