"""Vectors from what a user names: a behaviour in the model's own chains, or two files of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def make_vector(
    behaviour_name: str,
    hooks: Sequence[str],
    *,
    method: str = "matched",
    texts: tuple[Path | None, Path | None, str] = (None, None, "last"),
    model: str = "tiny",
    problems: str = "countdown",
    n_problems: int = 50,
    n: int = 5,
    engine: str = "auto",
    engine_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> SteeringVector:
    """Make a vector; nothing is stored.

    Args:
        behaviour_name: A key of `BEHAVIOURS`; of texts, what the card calls the vector.
        hooks: Hook points; none: resid_post of every layer but the last.
        method: One of `METHODS`.
        texts: Files of texts, parted by blank lines, that the vector leads to and away from; and `last` or `mean`.
        model: Name or folder.
        problems: Problem set or file.
        n_problems: How many.
        n: Rollouts of each.
        engine: auto, vllm or transformers.
        engine_options: Of the engine.
        seed: Of problems and rollouts.

    Raises:
        UserError: Something cannot be, one line.
    """
    positive, negative, at = texts
    if (positive is None) != (negative is None):
        raise UserError("texts are wanted on both sides: give --positive and --negative")
    if at not in ("last", "mean"):
        raise UserError(f"at '{at}' not understood. Use last or mean")
    opened = open_steerable(model, engine, engine_options)
    with opened.engine as read:
        points = [HookPoint.parse(hook) for hook in hooks]
        points = points or [HookPoint("resid_post", layer) for layer in range(read.shape.n_layers - 1)]
        if positive is not None and negative is not None:
            to, away = _passages(positive, opened), _passages(negative, opened)
            data = f"{positive.name} against {negative.name}"
            return text_vector(read, to, away, points, name=behaviour_name, at=at, data=data)  # type: ignore[arg-type]
        its = behaviour(behaviour_name)
        labelled = _chains(opened, its.name, problems, n_problems, n, seed)
        data = f"{len(labelled)} unsteered rollouts of {n_problems} problems of {problems}, seed {seed}"
        return behaviour_vector(read, its, labelled, points, method=method, data=data)  # type: ignore[arg-type]


def with_norms(
    vector: SteeringVector,
    *,
    model: str = "tiny",
    problems: str = "countdown",
    n_problems: int = 20,
    n: int = 1,
    engine: str = "auto",
    engine_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> SteeringVector:
    """A vector (of another tool, or of another model) for a model, with the norms that doses are relative to.

    Args:
        vector: Any whose width and layers fit.
        model: The model that it is to be used on.
        problems: Problem set or file whose chains the norms are measured on.
        n_problems: How many.
        n: Rollouts of each.
        engine: auto, vllm or transformers.
        engine_options: Of the engine.
        seed: Of problems and rollouts.

    Raises:
        UserError: The vector does not fit, or something else cannot be; one line.
    """
    opened = open_steerable(model, engine, engine_options)
    with opened.engine as read:
        card = read.card
        here = (card.model, card.revision)
        fitted = vector if (vector.card.model, vector.card.revision) == here else vector.for_model(*here)
        fitted.check(read.shape, *here)
        chains = _chains(opened, "backtracking", problems, n_problems, n, seed)
        return measure_norms(read, [chain.passage for chain in chains], fitted)


def _passages(path: Path, opened: OpenedEngine) -> list[Passage]:
    """Texts of a file, as they stand, each a sequence of its own."""
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    blocks = [block.strip("\n") for block in path.read_text("utf-8").split("\n\n") if block.strip()]
    encoded = [tuple(opened.engine.tokenizer.encode(block)) for block in blocks]
    return [Passage(Prefix(ids, len(ids))) for ids in encoded if ids]


def _chains(
    opened: OpenedEngine, behaviour_name: str, problems: str, n_problems: int, n: int, seed: int
) -> list[LabelledRollout]:
    its, engine = behaviour(behaviour_name), opened.engine
    found = load_problems(problems, n=n_problems, seed=seed)
    prompted = prompts_of(found, lambda problem: opened.template.encode(problem, engine.tokenizer))
    of = {prefix.id: (problem, prefix) for problem, prefix in prompted}
    requests = [
        Request(Condition(prefix, opened.card.sampling), idx, seed_for(seed, prefix.id, idx))
        for _, prefix in prompted
        for idx in range(n)
    ]
    rollouts = [result for result in engine.sample(requests) if isinstance(result, Rollout)]
    rollouts.sort(key=lambda rollout: (rollout.prefix_id, rollout.sample_idx))
    return [label_rollout(its, *of[rollout.prefix_id], rollout, engine.tokenizer) for rollout in rollouts]
