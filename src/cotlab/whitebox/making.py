"""Vectors from what a user names: a behaviour in the model's own chains, or two files of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.engines.base import Passage, Request
from cotlab.engines.load import OpenedEngine
from cotlab.errors import UserError
from cotlab.identity import seed_for
from cotlab.interventions import Condition, HookPoint, SteeringVector
from cotlab.problems import load_problems
from cotlab.whitebox.behaviours import LabelledRollout, behaviour, label_rollout
from cotlab.whitebox.directions import behaviour_vector, measure_norms, text_vector
from cotlab.whitebox.stage import open_steerable, prompts_of

__all__ = ["make_vector", "with_norms"]


class Given(TypedDict, total=False):
    """Whose chains a vector is made from, or its norms measured on; fields as in `ChainSource`."""

    model: str
    problems: str
    n_problems: int
    n: int
    engine: str
    engine_options: Mapping[str, Any] | None
    seed: int


@dataclass(frozen=True, slots=True)
class ChainSource:
    """The model's own chains."""

    model: str = "tiny"
    """Name or folder."""
    problems: str = "countdown"
    """Problem set or file."""
    n_problems: int = 50
    n: int = 5
    """Rollouts of each problem."""
    engine: str = "auto"
    """auto, vllm or transformers."""
    engine_options: Mapping[str, Any] | None = None
    seed: int = 0
    """Of problems and rollouts."""

    def open(self) -> OpenedEngine:
        """An engine that can read and steer this model."""
        return open_steerable(self.model, self.engine, self.engine_options)


def make_vector(
    behaviour_name: str,
    hooks: Sequence[str],
    *,
    method: str = "matched",
    texts: tuple[Path | None, Path | None, str] = (None, None, "last"),
    **given: Unpack[Given],
) -> SteeringVector:
    """Make a vector; nothing is stored.

    Args:
        behaviour_name: A key of `BEHAVIOURS`; of texts, what the card calls the vector.
        hooks: Hook points; none: resid_post of every layer but the last.
        method: One of `METHODS`.
        texts: Files of texts, parted by blank lines, that the vector leads to and away from; and `last` or `mean`.
        given: Fields of `ChainSource`; by default 5 rollouts of each of 50 problems.

    Raises:
        UserError: Something cannot be, one line.
    """
    source = ChainSource(**given)
    positive, negative, at = texts
    if (positive is None) != (negative is None):
        raise UserError("texts are wanted on both sides: give --positive and --negative")
    if at not in ("last", "mean"):
        raise UserError(f"at '{at}' not understood. Use last or mean")
    opened = source.open()
    with opened.engine as read:
        points = [HookPoint.parse(hook) for hook in hooks]
        points = points or [HookPoint("resid_post", layer) for layer in range(read.shape.n_layers - 1)]
        if positive is not None and negative is not None:
            to, away = _passages(positive, opened), _passages(negative, opened)
            data = f"{positive.name} against {negative.name}"
            return text_vector(read, to, away, points, name=behaviour_name, at=at, data=data)  # type: ignore[arg-type]
        its = behaviour(behaviour_name)
        labelled = _chains(opened, its.name, source)
        of = f"{source.n_problems} problems of {source.problems}, seed {source.seed}"
        data = f"{len(labelled)} unsteered rollouts of {of}"
        return behaviour_vector(read, its, labelled, points, method=method, data=data)  # type: ignore[arg-type]


def with_norms(vector: SteeringVector, **given: Unpack[Given]) -> SteeringVector:
    """A vector (of another tool, or of another model) for a model, with the norms that doses are relative to.

    Args:
        vector: Any whose width and layers fit.
        given: Fields of `ChainSource`, whose chains the norms are measured on; by default one of each of 20 problems.

    Raises:
        UserError: The vector does not fit, or something else cannot be; one line.
    """
    source = replace(ChainSource(n_problems=20, n=1), **given)
    opened = source.open()
    with opened.engine as read:
        card = read.card
        here = (card.model, card.revision)
        fitted = vector if (vector.card.model, vector.card.revision) == here else vector.for_model(*here)
        fitted.check(read.shape, *here)
        chains = _chains(opened, "backtracking", source)
        return measure_norms(read, [chain.passage for chain in chains], fitted)


def _passages(path: Path, opened: OpenedEngine) -> list[Passage]:
    """Texts of a file, as they stand, each a sequence of its own."""
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    blocks = [block.strip("\n") for block in path.read_text("utf-8").split("\n\n") if block.strip()]
    encoded = [tuple(opened.engine.tokenizer.encode(block)) for block in blocks]
    return [Passage(Prefix(ids, len(ids))) for ids in encoded if ids]


def _chains(opened: OpenedEngine, behaviour_name: str, source: ChainSource) -> list[LabelledRollout]:
    its, engine = behaviour(behaviour_name), opened.engine
    found = load_problems(source.problems, n=source.n_problems, seed=source.seed)
    prompted = prompts_of(found, lambda problem: opened.template.prompt(problem, engine.tokenizer))
    of = {prefix.id: (problem, prefix) for problem, prefix in prompted}
    requests = [
        Request(Condition(prefix, opened.card.sampling), idx, seed_for(source.seed, prefix.id, idx))
        for _, prefix in prompted
        for idx in range(source.n)
    ]
    rollouts = [result for result in engine.sample(requests) if isinstance(result, Rollout)]
    rollouts.sort(key=lambda rollout: (rollout.prefix_id, rollout.sample_idx))
    return [label_rollout(its, *of[rollout.prefix_id], rollout, engine.tokenizer) for rollout in rollouts]
