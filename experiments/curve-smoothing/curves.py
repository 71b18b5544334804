"""The stored questions of Forking Fast as outcome curves: a few draws to smooth, and the truth from other draws."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TRUTH_DRAWS = 100
"""Draws a branch that the truth is made of; they are never among those that are smoothed."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: at each position some next tokens (branches) with their probabilities and 200 answers each."""

    name: str
    track: str
    number: int
    """Place among the questions: seeds its splits."""
    weights: list[Array]
    """Probabilities of the branches of each position, renormalised."""
    answers: list[NDArray[np.int64]]
    """Category of each draw, shape [branches, draws], for each position."""
    categories: int

    def draws(self, first: int, last: int, order: list[NDArray[np.intp]]) -> Array:
        """Weighted histograms of single draws, shape [draws, positions, categories]."""
        found = np.zeros((last - first, len(self.weights), self.categories))
        for t, (weights, answers) in enumerate(zip(self.weights, self.answers, strict=True)):
            chosen = np.take_along_axis(answers, order[t], axis=1)[:, first:last]
            for branch, weight in enumerate(weights):
                found[np.arange(last - first), t, chosen[branch]] += weight
        return found

    def split(self, s: int, seed: int) -> tuple[Array, Array]:
        """`s` single draws a position, and the truth: the mean of `TRUTH_DRAWS` others."""
        rng = np.random.default_rng([self.number, seed, s])
        order = [rng.permuted(np.tile(np.arange(a.shape[1]), (len(a), 1)), axis=1) for a in self.answers]
        n = self.answers[0].shape[1]
        return self.draws(0, s, order), self.draws(n - TRUTH_DRAWS, n, order).mean(axis=0)

    def mixture(self, s: int, seed: int) -> tuple[Array, Array]:
        """The same where a draw chooses its next token by its probability: whole counts."""
        rng = np.random.default_rng([self.number, seed, s, 1])
        singles, truth = np.zeros((s, len(self.weights), self.categories)), []
        for t, (weights, answers) in enumerate(zip(self.weights, self.answers, strict=True)):
            shuffled = rng.permuted(answers, axis=1)
            branch = rng.choice(len(weights), size=s, p=weights)
            singles[np.arange(s), t, shuffled[branch, np.arange(s)]] = 1
            other = shuffled[:, -TRUTH_DRAWS:]
            truth.append(weights @ np.array([np.bincount(row, minlength=self.categories) for row in other]))
        return singles, np.array(truth) / TRUTH_DRAWS

    @property
    def gain(self) -> Array:
        """Draws that one weighted draw of every branch is worth: 1/Σw², shape [positions]."""
        return np.array([1 / (weights**2).sum() for weights in self.weights])


def load(folder: Path) -> list[Question]:
    """All `*/row*.json.gz` under a folder, in the order of their names."""
    files = sorted(folder.glob("*/row*.json.gz"))
    if not files:
        raise SystemExit(f"no */row*.json.gz under {folder}: give the folder of the stored questions")
    return [_read(path, number) for number, path in enumerate(files)]


def _read(path: Path, number: int) -> Question:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        row = json.load(file)
    category = {name: k for k, name in enumerate(row["categories"])}
    weights, answers = [], []
    for t in row["idxs"]:
        here = [branch for branch in row["branches"] if branch["t"] == t]
        p = np.array([branch["tok_p"] for branch in here])
        weights.append(p / p.sum())
        answers.append(np.array([[category[answer] for answer in branch["answers"]] for branch in here]))
    return Question(f"{path.parent.name}/{path.name[:6]}", path.parent.name, number, weights, answers, len(category))


def total_variation(found: Array, truth: Array) -> float:
    """Mean over positions of half the sum of absolute differences."""
    return float(0.5 * np.abs(found - truth).sum(axis=1).mean())
