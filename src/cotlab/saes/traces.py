"""Token sequences that autoencoders are trained and tried on: prompt, thoughts and answer, kept apart.

From the rollouts of runs, or from a JSONL file of texts. Activations are read teacher-forced, so any model with the
same tokens can read them: base and distill on the same tokens at the same positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags
from cotlab.chains.tokens import Tokenizer
from cotlab.errors import DataError
from cotlab.identity import content_id
from cotlab.runs import Run

__all__ = ["PARTS", "Part", "Trace", "file_traces", "kept", "run_traces", "special_ids", "split_traces"]

Part = Literal["prompt", "think", "answer"]
PARTS: tuple[Part, ...] = get_args(Part)
"""In their order: the prompt with what the template adds; thoughts up to their closing tag; what follows."""


class _Row(BaseModel):
    """A line of a data file."""

    model_config = ConfigDict(extra="ignore")
    prompt: str = ""
    response: str = ""
    text: str = ""
    problem: str = ""


_SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class Trace:
    """Tokens of one prompt and one response."""

    id: str
    problem: str
    """Traces of one problem are alike: intervals draw problems again."""
    ids: tuple[int, ...]
    """Prompt and response."""
    n_prompt: int
    n_think: int
    """Tokens of the response up to and including the tag that closes its thoughts; all, where none does."""
    question: str = ""
    """What was asked, for the categories of its steps; "" where that is not known."""
    images: tuple[Image, ...] = ()
    """What the prompt shows."""

    @property
    def whole(self) -> Prefix:
        """As a prefix that keeps all of the response."""
        return Prefix(self.ids, self.n_prompt, self.images)

    @cached_property
    def parts(self) -> NDArray[np.int8]:
        """Part of each token, an index in `PARTS`, shape (tokens,)."""
        found = np.full(len(self.ids), PARTS.index("answer"), dtype=np.int8)
        found[: self.n_prompt + self.n_think] = PARTS.index("think")
        found[: self.n_prompt] = PARTS.index("prompt")
        return found

    @property
    def response_ids(self) -> tuple[int, ...]:
        """What follows the prompt."""
        return self.ids[self.n_prompt :]

    def cut(self, longest: int) -> Trace:
        """Its first tokens."""
        if len(self.ids) <= longest:
            return self
        n_prompt = min(self.n_prompt, longest)
        return replace(self, ids=self.ids[:longest], n_prompt=n_prompt, n_think=min(self.n_think, longest - n_prompt))


def run_traces(
    runs: Sequence[Path | str],
    tokenizer: Tokenizer,
    *,
    n: int,
    tags: ThinkTags | None = DEFAULT_TAGS,
    seed: int = 0,
) -> list[Trace]:
    """Whole baseline rollouts of runs, the same number of each problem as far as there are.

    Args:
        runs: Run folders.
        tokenizer: Of the model that wrote them.
        n: How many at most, of each run.
        tags: Think tags of that model; None where it does not think aloud.
        seed: Of the choice.

    Raises:
        DataError: A run has no such rollouts.
    """
    from cotlab.whitebox.run_examples import chosen_rollouts

    found: list[Trace] = []
    for folder in runs:
        its = []
        with Run.open(folder) as run:
            problems = run.problems()
            owner = {row.id: row.problem_id for row in run.prefixes()}
            for rollout in chosen_rollouts(run, owner, n, seed, whole=True):
                prompt = run.prefix(rollout.prefix_id)
                problem = problems[owner[rollout.prefix_id]]
                trace = _trace(rollout.id, problem.id, prompt.prompt_ids, rollout.token_ids or (), tokenizer, tags)
                its.append(replace(trace, question=problem.question, images=prompt.images))
        found += sorted(its, key=lambda trace: content_id("trace", [seed, trace.id]))[:n]
    return sorted(found, key=lambda trace: content_id("trace", [seed, trace.id]))


def file_traces(
    path: Path, tokenizer: Tokenizer, *, n: int | None = None, tags: ThinkTags | None = DEFAULT_TAGS
) -> list[Trace]:
    """Traces of a JSONL file, one object a line: `prompt` and `response`, or `text` alone (all of it response).

    Text is taken as it is: a prompt holds what the chat template adds.

    Raises:
        DataError: The file or a line cannot be read.
    """
    from cotlab.problems.files import read_text

    found: list[Trace] = []
    for number, line in enumerate(read_text(path, 1 << 31, "data file").split("\n"), 1):
        if not line.strip() or (n is not None and len(found) >= n):
            continue
        try:
            told = _Row.model_validate_json(line)
        except ValidationError as error:
            raise DataError(f"data file '{path}' line {number}: {error.errors()[0]['msg'].lower()}") from None
        prompt, response = tokenizer.encode(told.prompt), tokenizer.encode(told.response or told.text)
        if not response:
            raise DataError(f"data file '{path}' line {number} has no response: give 'response' or 'text'")
        name = content_id("trace", [list(prompt), list(response)])
        found.append(_trace(name, told.problem or name, tuple(prompt), tuple(response), tokenizer, tags))
    if not found:
        raise DataError(f"data file '{path}' has no lines: give one object with prompt and response a line")
    return found


def split_traces(traces: Sequence[Trace], share: float, seed: int = 0) -> tuple[list[Trace], list[Trace]]:
    """Traces in two, whole problems on either side.

    Args:
        traces: What is split.
        share: Of the problems that go to the first.
        seed: Of the choice.
    """
    problems = sorted({trace.problem for trace in traces}, key=lambda name: content_id("split", [seed, name]))
    first = set(problems[: round(share * len(problems))])
    return [trace for trace in traces if trace.problem in first], [
        trace for trace in traces if trace.problem not in first
    ]


def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Tokens that are left out of every measure: begin, end, padding and the like (as SAELens leaves out).

    Tokens of a chat template (`<｜User｜>`) stay: models have much to say at them.
    """
    hf = getattr(tokenizer, "hf", None)
    named = (getattr(hf, f"{name}_token_id", None) for name in _SPECIAL)
    return tokenizer.eos_ids | {int(token) for token in named if token is not None}


def kept(trace: Trace, special: Iterable[int]) -> NDArray[np.bool_]:
    """Which tokens of a trace are measured: all but special ones, shape (tokens,)."""
    return ~np.isin(np.asarray(trace.ids), list(special))


def _trace(
    name: str,
    problem: str,
    prompt: tuple[int, ...],
    response: tuple[int, ...],
    tokenizer: Tokenizer,
    tags: ThinkTags | None,
) -> Trace:
    return Trace(name, problem, prompt + response, len(prompt), _n_think(response, tokenizer, tags))


def _n_think(response: tuple[int, ...], tokenizer: Tokenizer, tags: ThinkTags | None) -> int:
    if tags is None:
        return 0
    text = ""
    for n, piece in enumerate(tokenizer.pieces(response), 1):
        text += piece
        if tags.close in text[-len(piece) - len(tags.close) :]:
            return n
    return len(response)
