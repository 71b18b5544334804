"""Training rows: a picture, and behind it several questions that do not see each other.

All questions of a row share the tokens of the picture; a block mask keeps each from the others, and each counts its
positions from the picture on. So every question is computed exactly as if it stood alone, at a fraction of the cost.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from pretrain import pixel_values
from torch import Tensor
from words import IMAGE

from cotlab.tiny import scenes as sc

IGNORED = -100
TOKENS = (sc.CANVAS // sc.PATCH) ** 2
ASKED: dict[sc.Kind, int] = {
    "exists": 6, "exists-colour": 3, "relation": 2, "colour": 1, "letters": 1, "count": 2, "describe": 1,
}  # fmt: skip
"""Questions on each picture, by kind."""
ANSWER, ANSWER_WEIGHT = 2, 6.0
"""Place of a direct answer's first token, behind the tag and the empty line that close the thoughts, and its weight in
the loss: it is one token beside the dozens of a description."""
DESCRIBED, HINTED, BLIND = 0.12, 0.06, 0.06
"""Shares: existence questions behind a true description, behind a guess; rows without their picture."""
TOLD = 0.75
"""Share of the questions of a row without its picture that stand behind a true description."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question in tokens, with what is to be said."""

    question: sc.Question
    prompt: list[int]
    """From behind the picture up to and with the opened thoughts."""
    said: list[int]
    """Thoughts, answer and end token."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Padded rows."""

    pixels: Tensor
    """(pictures, 3, 48, 48); rows without one have none here."""
    ids: Tensor
    """(rows, length) int64."""
    positions: Tensor
    """(rows, length) int64."""
    mask: Tensor
    """(rows, 1, length, length): what each token sees."""
    labels: Tensor
    """(rows, length) int64: the next token where it is to be said, else -100."""
    weights: Tensor
    """(rows, length): how much each label counts."""

    def __len__(self) -> int:
        return len(self.ids)


class Writer:
    """Turns scenes and questions into tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.encode = lru_cache(maxsize=200_000)(self._encode)
        self.image = tokenizer.convert_tokens_to_ids(IMAGE)
        self.begin = [tokenizer.bos_token_id, *self.encode("<｜User｜>")]
        self.opened = list(self.encode("<｜Assistant｜><think>\n"))

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def exchange(self, scene: sc.Scene, question: sc.Question) -> Exchange:
        """A question on a scene and the completion that is taught."""
        lines = sc.completion(scene, question).splitlines(keepends=True)
        said = [i for line in self._pieces(lines) for i in self.encode(line)]
        return Exchange(question, [*self.encode(question.prompt), *self.opened], [*said, self.tokenizer.eos_token_id])

    @staticmethod
    def _pieces(lines: list[str]) -> Iterator[str]:
        """Lines, with the end of thoughts in one piece: tokens never cross a line but there."""
        while lines:
            line = lines.pop(0)
            yield line + lines.pop(0) if line == "</think>\n" else line

    def rows(self, scenes: list[sc.Scene], asked: list[list[Exchange]], blind: set[int]) -> Rows:
        """Rows of equal width; `blind` ones come without their picture."""
        made = [self._row(exchanges, place in blind) for place, exchanges in enumerate(asked)]
        width = max(len(ids) for ids, *_ in made)
        ids = torch.full((len(made), width), self.tokenizer.pad_token_id)
        positions = torch.zeros(len(made), width, dtype=torch.long)
        labels, block = torch.full((len(made), width), IGNORED), torch.full((len(made), width), -1)
        for place, (row, at, blocks, goal, _) in enumerate(made):
            for tensor, values in ((ids, row), (positions, at), (block, blocks), (labels, goal)):
                tensor[place, : len(values)] = torch.tensor(values)
        weights = torch.ones(len(made), width)
        for place, (*_, answers) in enumerate(made):
            weights[place, answers] = ANSWER_WEIGHT
        same = block[:, :, None] == block[:, None, :]
        mask = (same | (block == 0)[:, None, :]) & torch.ones(width, width, dtype=torch.bool).tril()
        seen = [scene for place, scene in enumerate(scenes) if place not in blind]
        pixels = pixel_values(seen) if seen else torch.zeros(0, 3, sc.CANVAS, sc.CANVAS)
        return Rows(pixels, ids, positions, mask[:, None], labels, weights)

    def _row(
        self, exchanges: list[Exchange], blind: bool
    ) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
        """Ids, positions, blocks and labels, and where the first tokens of direct answers are told."""
        ids = [*self.begin, *([] if blind else [self.image] * TOKENS)]
        shared = len(ids)
        positions, blocks, labels, answers = list(range(shared)), [0] * shared, [IGNORED] * shared, list[int]()
        for number, one in enumerate(exchanges, 1):
            if one.question.kind not in sc.ALOUD:
                answers.append(len(ids) + len(one.prompt) - 1 + ANSWER)
            tokens = one.prompt + one.said
            ids += tokens
            positions += range(shared, shared + len(tokens))
            blocks += [number] * len(tokens)
            labels += [IGNORED] * (len(one.prompt) - 1) + one.said + [IGNORED]
        return ids, positions, blocks, labels, answers


def draw_questions(scene: sc.Scene, rng: random.Random, blind: bool) -> list[sc.Question]:
    """The questions of a training row; without a picture only what text or habit can answer."""
    asked: list[sc.Question] = []
    for kind, n in ASKED.items():
        if blind and kind not in ("exists", "exists-colour"):
            continue
        drawn = [sc.ask(scene, kind, rng) for _ in range(n)]
        asked += [_with_context(scene, one, rng, blind) for one in drawn if one]
    rng.shuffle(asked)
    return asked


def _with_context(scene: sc.Scene, question: sc.Question, rng: random.Random, blind: bool) -> sc.Question:
    if question.kind not in ("exists", "exists-colour"):
        return question
    draw = rng.random()
    if draw < (TOLD if blind else DESCRIBED):
        return question.after(sc.caption(scene))
    if draw < (TOLD if blind else DESCRIBED) + HINTED:
        return question.after(f"I think there is a {rng.choice((question.shape, rng.choice(sc.SHAPES)))}.")
    return question


def stream(writer: Writer, world: sc.World, scenes: int, seed: int, blind_share: float = BLIND) -> Iterator[Rows]:
    """Endless batches of training scenes; equal seeds give equal batches."""
    rng = random.Random(seed)
    while True:
        drawn = [scene for scene in (sc.draw_scene(rng, world) for _ in range(scenes)) if scene.split == "train"]
        blind = {place for place in range(len(drawn)) if rng.random() < blind_share}
        asked = [
            [writer.exchange(scene, question) for question in draw_questions(scene, rng, place in blind)]
            for place, scene in enumerate(drawn)
        ]
        yield writer.rows(drawn, asked, blind)
