"""The category model: a linear-chain conditional random field over the sentences of a chain of thought.

1. Each sentence gives a score to every category: a linear function of its features.
2. Each pair of neighbours gives a score to every pair of categories: a check goes on, a plan is followed by computing.
3. The marginal probability of every category is exact (forward and backward sums; Lafferty, McCallum and Pereira 2001).
4. The category said is the one with the highest probability / prior^0.3, which costs the most frequent one a little:
   Cohen's κ, unlike accuracy, does not reward what frequency alone would give.

`experiments/sentence-categories` trains and judges it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.categories.features import Features, sentence_features
from cotlab.categories.lexicon import backtracks
from cotlab.chains.categories import Category

__all__ = ["MODEL_ID", "CategoryModel", "CategoryVerdict", "marginals"]

FloatArray = NDArray[np.float64]
PRIOR_POWER = 0.3
MODEL_ID = "categories/1"
"""Scorer id of the model that ships: name and version."""


@dataclass(frozen=True, slots=True)
class CategoryVerdict:
    """What a sentence does, as the model sees it."""

    category: Category
    probability: float
    """Of that category, given the whole chain. How often it is right: `experiments/sentence-categories`."""
    probabilities: dict[str, float]
    """Of every category that the model knows; they sum to 1."""
    backtracks: bool
    """Whether it says that it gives up the present attempt (a rule, not a part of the model)."""

    def to_json(self) -> dict[str, Any]:
        """Value of a score on a step."""
        shares = {name: round(share, 4) for name, share in self.probabilities.items()}
        return {
            "category": self.category,
            "backtracks": self.backtracks,
            "probability": round(self.probability, 4),
            "probabilities": shares,
        }


@dataclass(frozen=True, slots=True, eq=False)
class CategoryModel:
    """Weights of the field. Reading it from disk takes milliseconds; nothing is sampled and nothing is sent."""

    categories: tuple[Category, ...]
    names: dict[str, int]
    """Row of each feature."""
    weights: FloatArray
    """[features, categories]."""
    bias: FloatArray
    """[categories]."""
    transitions: FloatArray
    """[categories, categories]: from a sentence to the next."""
    start: FloatArray
    """[categories]."""
    prior: FloatArray
    """Share of each category in what it was trained on, [categories]."""

    @classmethod
    def load(cls, folder: Path | None = None) -> CategoryModel:
        """Read a model; None: the one that ships.

        Raises:
            FileNotFoundError: This installation came without it.
        """
        from safetensors.numpy import load_file

        folder = folder or Path(str(files("cotlab.categories"))) / "weights"
        header = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        tensors = {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()}
        names = {name: row for row, name in enumerate(header["features"])}
        return cls(tuple(header["categories"]), names, **tensors)

    def save(self, folder: Path) -> None:
        """Write it: `model.safetensors` (half precision) and `model.json` (names)."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            "weights": self.weights.astype(np.float16),
            **{name: getattr(self, name).astype(np.float32) for name in ("bias", "transitions", "start", "prior")},
        }
        save_file(tensors, folder / "model.safetensors")
        header = {"categories": self.categories, "features": list(self.names)}
        (folder / "model.json").write_text(json.dumps(header, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def id(self) -> str:
        """Scorer id: name and version."""
        return MODEL_ID

    def probabilities(self, sentences: Sequence[str], question: str = "") -> FloatArray:
        """Marginal probability of every category, [sentences, categories]."""
        return self.from_features(sentence_features(sentences, question))

    def from_features(self, rows: Sequence[Features]) -> FloatArray:
        """The same from features of the sentences of one chain."""
        scores = np.tile(self.bias, (len(rows), 1))
        for row, features in zip(scores, rows, strict=True):
            known = [(self.names[name], value) for name, value in features.items() if name in self.names]
            if known:
                at, values = zip(*known, strict=True)
                row += np.asarray(values) @ self.weights[list(at)]
        return marginals(scores, self.transitions, self.start)

    def decide(self, found: FloatArray) -> NDArray[np.intp]:
        """Index of the category that is said of each sentence, [sentences]."""
        best: NDArray[np.intp] = np.argmax(found / self.prior**PRIOR_POWER, axis=1)
        return best

    def classify(self, sentences: Sequence[str], question: str = "") -> list[CategoryVerdict]:
        """Say what every sentence of a chain does.

        Args:
            sentences: The whole chain of thought, in order; think tags are no sentences.
            question: What was asked, where it is known.
        """
        if not sentences:
            return []
        found = self.probabilities(sentences, question)
        return [
            CategoryVerdict(
                category=self.categories[at],
                probability=float(row[at]),
                probabilities={name: float(share) for name, share in zip(self.categories, row, strict=True)},
                backtracks=backtracks(sentence),
            )
            for sentence, row, at in zip(sentences, found, self.decide(found).tolist(), strict=True)
        ]


def marginals(scores: FloatArray, transitions: FloatArray, start: FloatArray) -> FloatArray:
    """Marginals of a linear chain by forward and backward sums in log space.

    Args:
        scores: [positions, labels], natural logarithms up to a constant.
        transitions: [labels, labels].
        start: [labels].

    Returns:
        [positions, labels]; rows sum to 1.
    """
    if not len(scores):
        return np.empty(scores.shape)
    forward, backward = np.empty(scores.shape), np.zeros(scores.shape)
    forward[0] = scores[0] + start
    for t in range(1, len(scores)):
        forward[t] = scores[t] + np.logaddexp.reduce(forward[t - 1][:, None] + transitions, axis=0)
    for t in range(len(scores) - 2, -1, -1):
        backward[t] = np.logaddexp.reduce(transitions + scores[t + 1] + backward[t + 1], axis=1)
    joint = forward + backward
    shares: FloatArray = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    return shares
