"""Training rows: a picture or a description, and behind it several questions that do not see each other.

All questions of a row share the tokens of the picture or the description; a block mask keeps each from the others, and
each counts its positions from there on. So every question is computed exactly as if it stood alone, at a fraction of
the cost.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    "exists": 6, "exists-colour": 3, "relation": 3, "colour": 1, "letters": 1, "count": 2, "describe": 1,
}  # fmt: skip
"""Questions on each picture, by kind."""
EXISTENCE: tuple[sc.Kind, ...] = ("exists", "exists-colour")
ANSWER_WEIGHT = 6.0
"""How much the first token of a direct answer counts in the loss, and the places and the answer of a relation: each is
one token beside the dozens of a description."""
DESCRIBED, HINTED, DOTTED = 0.12, 0.06, 0.04
"""Shares of the existence questions on a picture that stand behind a description, a guess, dots."""
BLIND = 0.3
"""Share of batches without pictures."""
TOLD, LISTED, DOTS = 0.9, 0.3, 0.3
"""Share of the rows without a picture that have a description; of the batches of such rows, that tell each thing's
place; of the rows without either, that have dots."""
LEFT_OUT = 0.05
"""Share of things that a description leaves out."""
TEXT_ROWS = 2
"""Rows without a picture are that many times shorter: as many more make a batch."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question in tokens, with what is to be said."""

    question: sc.Question
    prompt: list[int]
    """From behind the picture up to and with the opened thoughts."""
    said: list[int]
    """Thoughts, answer and end token."""
    decisive: list[int]
    """Places in `said` that count more: the first token of a direct answer; of a relation, of both places and the
    answer."""


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
        said, begins = list[int](), list[int]()
        for line in self._pieces(lines):
            begins.append(len(said))
            said += self.encode(line)
        decisive = begins[-1:] if question.kind not in sc.ALOUD else []
        if question.kind == "relation":
            decisive = [*begins[:-2], begins[-1]]
        prompt = [*self.encode(question.prompt), *self.opened]
        return Exchange(question, prompt, [*said, self.tokenizer.eos_token_id], decisive)

    @staticmethod
    def _pieces(lines: list[str]) -> Iterator[str]:
        """Lines, with the end of thoughts in one piece: tokens never cross a line but there."""
        while lines:
            line = lines.pop(0)
            yield line + lines.pop(0) if line == "</think>\n" else line

    def rows(
        self, scenes: list[sc.Scene], asked: list[list[Exchange]], blind: set[int], told: Sequence[str] = ()
    ) -> Rows:
        """Rows of equal width; `blind` ones come without their picture. `told`: text before all questions of each."""
        texts = told or [""] * len(asked)
        made = [self._row(exchanges, place in blind, texts[place]) for place, exchanges in enumerate(asked)]
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
        self, exchanges: list[Exchange], blind: bool, told: str
    ) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
        """Ids, positions, blocks and labels, and where what counts more is told."""
        ids = [*self.begin, *([] if blind else [self.image] * TOKENS), *(self.encode(f"{told} ") if told else ())]
        shared = len(ids)
        positions, blocks, labels, answers = list(range(shared)), [0] * shared, [IGNORED] * shared, list[int]()
        for number, one in enumerate(exchanges, 1):
            answers += [len(ids) + len(one.prompt) - 1 + place for place in one.decisive]
            tokens = one.prompt + one.said
            ids += tokens
            positions += range(shared, shared + len(tokens))
            blocks += [number] * len(tokens)
            labels += [IGNORED] * (len(one.prompt) - 1) + one.said + [IGNORED]
        return ids, positions, blocks, labels, answers


def draw_questions(scene: sc.Scene, rng: random.Random, kinds: Sequence[sc.Kind] = sc.KINDS) -> list[sc.Question]:
    """Questions of these kinds on a scene, and whether the second shape of each pair is there."""
    drawn = [sc.ask(scene, kind, rng) for kind, n in ASKED.items() if kind in kinds for _ in range(n)]
    asked = [*filter(None, drawn), *(sc.ask_exists(scene, second) for second in sc.PAIRS.values())]
    rng.shuffle(asked)
    return asked


def with_context(scene: sc.Scene, question: sc.Question, rng: random.Random) -> sc.Question:
    """A question on a picture, existence at times behind a description, a guess or dots."""
    if question.kind not in EXISTENCE:
        return question
    draw = rng.random()
    if draw < DESCRIBED:
        return question.after(sc.caption(described(scene, rng)))
    if draw < DESCRIBED + HINTED:
        return question.after(guess(question, rng))
    if draw < DESCRIBED + HINTED + DOTTED:
        return question.after(dots(sc.caption(in_sight(scene))))
    return question


def described(scene: sc.Scene, rng: random.Random) -> sc.Scene:
    """The scene as far as a description tells it: what can be seen, now and then without something."""
    told = [thing for thing in in_sight(scene).objects if rng.random() >= LEFT_OUT]
    return replace(scene, objects=tuple(told))


def in_sight(scene: sc.Scene) -> sc.Scene:
    """The scene without what is too faint to see."""
    return replace(scene, objects=tuple(thing for thing in scene.objects if thing.strength == 100))


def guess(question: sc.Question, rng: random.Random) -> str:
    """Somebody's guess, half of the time of the very shape that is asked for."""
    return f"I think there is a {rng.choice((question.shape, rng.choice(sc.SHAPES)))}."


def dots(text: str) -> str:
    """As much text that tells nothing."""
    return re.sub(r"\S", ".", text)


def places(scene: sc.Scene) -> str:
    """Every thing with its place, a sentence each."""
    lines = sc.completion(scene, sc.Question("describe", "", "")).partition("</think>")[0]
    return " ".join(lines.splitlines())


def draw_told(scene: sc.Scene, rng: random.Random, listed: bool) -> tuple[str, list[sc.Question]]:
    """A row without its picture: what is told (`listed`: with places), and questions that it or habit can answer.

    A description that leaves nothing out is asked for all that it tells; any other for existence alone.
    """
    if rng.random() >= TOLD:
        asked = draw_questions(scene, rng, EXISTENCE)
        hinted = [one.after(guess(one, rng)) if rng.random() < HINTED else one for one in asked]
        return (dots(sc.caption(in_sight(scene))) if rng.random() < DOTS else ""), hinted
    told = described(scene, rng)
    more: tuple[sc.Kind, ...] = ("colour", "relation", "count") if listed else ("colour", "letters")
    asked = draw_questions(scene, rng, (*EXISTENCE, *(more if told == scene else ())))
    return (places(told) if listed else sc.caption(told)), asked


def stream(writer: Writer, world: sc.World, scenes: int, seed: int, blind_share: float = BLIND) -> Iterator[Rows]:
    """Endless batches of training scenes, with their pictures or without; equal seeds give equal batches."""
    rng = random.Random(seed)
    while True:
        blind = rng.random() < blind_share
        n = scenes * TEXT_ROWS if blind else scenes
        drawn = [scene for scene in (sc.draw_scene(rng, world) for _ in range(n)) if scene.split == "train"]
        if blind:
            listed = rng.random() < LISTED
            rows = [draw_told(scene, rng, listed) for scene in drawn]
        else:
            rows = [("", [with_context(scene, one, rng) for one in draw_questions(scene, rng)]) for scene in drawn]
        asked = [
            [writer.exchange(scene, question) for question in questions]
            for scene, (_, questions) in zip(drawn, rows, strict=True)
        ]
        yield writer.rows(drawn, asked, set(range(len(drawn))) if blind else set(), [told for told, _ in rows])
