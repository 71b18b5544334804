"""Steering vectors from activations: contrasts of places in labelled chains, of prompts, of texts.

- `matched` (default): at the last token before a sentence, those where the next sentence is of the behaviour minus
  those where it is not, within places of equal context (what the sentence before them does), contexts weighted by
  n₁n₀/(n₁+n₀). What merely goes along with the behaviour, such as that a check has just failed, cancels.
- `difference`: the same without matching.
- `pca`: first principal component of the differences of each problem, with their mean's sign and norm.
- `steering-thinking-llms`: mean over spans of the behaviour minus mean over all tokens of the thoughts (averaged as
  there: spans one by one, chains one by one), where a span is the token before a sentence and its first ten; rescaled
  to the norm of the overall mean (Venhoff et al. 2025, `train_vectors.py`: `[start − 1 : min(end − 1, start + 10)]`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cotlab.engines.base import Engine, Passage
from cotlab.errors import UserError
from cotlab.interventions import HookPoint, SteeringVector, VectorCard
from cotlab.whitebox.behaviours import Behaviour, LabelledRollout

__all__ = ["METHODS", "VectorMethod", "behaviour_vector", "measure_norms", "text_vector"]

VectorMethod = Literal["matched", "difference", "pca", "steering-thinking-llms"]
METHODS: tuple[VectorMethod, ...] = get_args(VectorMethod)
MIN_PLACES = 10
"""Fewer places than this on either side give no vector."""
SPLITS = 20
"""Random splits of the problems that the stability of a direction is judged by."""
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Places:
    """Activations at the places of a contrast, and what is averaged beside them."""

    values: Array
    """(places, points, d_model)"""
    holds: NDArray[np.bool_]
    contexts: NDArray[np.str_]
    problems: NDArray[np.str_]
    overall: Array
    """(rollouts, points, d_model): mean over the thoughts of each."""
    overall_problems: NDArray[np.str_]
    mean_norms: tuple[float, ...]

    def of(self, problems: NDArray[np.str_]) -> Places:
        """Those of some problems."""
        at, on = np.isin(self.problems, problems), np.isin(self.overall_problems, problems)
        return replace(
            self,
            values=self.values[at],
            holds=self.holds[at],
            contexts=self.contexts[at],
            problems=self.problems[at],
            overall=self.overall[on],
            overall_problems=self.overall_problems[on],
        )


def behaviour_vector(
    engine: Engine,
    its: Behaviour,
    rollouts: Sequence[LabelledRollout],
    points: Sequence[HookPoint],
    *,
    method: VectorMethod = "matched",
    data: str = "",
) -> SteeringVector:
    """Make a vector of a behaviour.

    Args:
        engine: Of the model that the rollouts are of; gives activations.
        its: The behaviour.
        rollouts: Labelled for it.
        points: One direction for each.
        method: See the module.
        data: What the card says of the rollouts.

    Returns:
        The vector; its card tells the mean norm at each point, how many places there were on each side, and the cosine
        between the directions of two halves of the problems.

    Raises:
        UserError: The method is unknown, or there are too few places.
    """
    if method not in METHODS:
        raise UserError(f"unknown method '{method}'; there are: {', '.join(METHODS)}")
    places = _read(engine, rollouts, points, whole_spans=method == "steering-thinking-llms")
    sides = int(places.holds.sum()), int((~places.holds).sum())
    if min(sides) < MIN_PLACES and (method != "steering-thinking-llms" or sides[0] < MIN_PLACES):
        raise UserError(
            f"{sides[0]} places with {its.name} and {sides[1]} without in {len(rollouts)} rollouts; a vector takes "
            f"{MIN_PLACES} of each. Take more rollouts, or another behaviour"
        )
    make = _MAKERS[method]
    card = VectorCard(
        name=its.name,
        model=engine.card.model,
        revision=engine.card.revision,
        template_id=engine.card.template_id,
        method=f"{method}/1",
        positions=_POSITIONS[method],
        data=data or f"{len(rollouts)} rollouts of {len(set(places.overall_problems.tolist()))} problems",
        n=sides,
        mean_norms=places.mean_norms,
        stability=_stability(places, make),
    )
    return SteeringVector(tuple(points), make(places).astype(np.float32), card)


def text_vector(
    engine: Engine,
    positive: Sequence[Passage],
    negative: Sequence[Passage],
    points: Sequence[HookPoint],
    *,
    name: str,
    at: Literal["last", "mean"] = "last",
    data: str = "",
) -> SteeringVector:
    """Mean activation of some texts minus that of others: prompt pairs (`last`), contrasting chains (`mean`).

    Args:
        engine: Gives activations.
        positive: Texts that the vector is to lead to. Tokens behind the prefix are read, or all where there are none.
        negative: Texts that it is to lead away from.
        points: One direction for each.
        name: What the card calls it.
        at: Last token of each text, or the mean over its tokens.
        data: What the card says of the texts.

    Raises:
        UserError: One side has no text.
    """
    if not positive or not negative:
        raise UserError(f"a contrast needs texts on both sides; there are {len(positive)} and {len(negative)}")
    sides, norms = [], []
    for passages in (positive, negative):
        rows = []
        for passage, read in zip(passages, engine.read(passages, points), strict=True):
            first = len(passage.prefix.token_ids) if passage.new_ids else 0
            tokens = np.stack([read[point][first:] for point in points], axis=1).astype(np.float64)
            norms.append(np.linalg.norm(tokens, axis=-1).mean(axis=0))
            rows.append(tokens[-1] if at == "last" else tokens.mean(axis=0))
        sides.append(np.array(rows))
    card = VectorCard(
        name=name,
        model=engine.card.model,
        revision=engine.card.revision,
        template_id=engine.card.template_id,
        method=f"texts-{at}/1",
        positions="last token of each text" if at == "last" else "mean over the tokens of each text",
        data=data,
        n=(len(positive), len(negative)),
        mean_norms=tuple(float(norm) for norm in np.mean(norms, axis=0)),
    )
    difference = sides[0].mean(axis=0) - sides[1].mean(axis=0)
    return SteeringVector(tuple(points), difference.astype(np.float32), card)


def measure_norms(engine: Engine, passages: Iterable[Passage], vector: SteeringVector) -> SteeringVector:
    """The vector, knowing the mean norm of the activations at its points over the new tokens of these passages.

    Raises:
        UserError: There are no passages.
    """
    passages = list(passages)
    if not passages:
        raise UserError("norms are measured on rollouts, and there are none")
    sums, n = np.zeros(len(vector.points)), 0
    for passage, read in zip(passages, engine.read(passages, vector.points), strict=True):
        first = len(passage.prefix.token_ids) if passage.new_ids else 0
        sums += [np.linalg.norm(read[point][first:], axis=1).sum() for point in vector.points]
        n += len(passage.token_ids) - first
    return vector.with_mean_norms(tuple(float(total / n) for total in sums))


def _read(
    engine: Engine, rollouts: Sequence[LabelledRollout], points: Sequence[HookPoint], whole_spans: bool
) -> Places:
    values, holds, contexts, problems, overall = [], [], [], [], []
    norms, n_tokens, kept = np.zeros(len(points)), 0, [r for r in rollouts if len(r.sentences) > 1]
    if not kept:
        raise UserError(f"none of {len(rollouts)} rollouts has two sentences")
    passages = [rollout.passage for rollout in kept]
    for rollout, read in zip(kept, engine.read(passages, points), strict=True):
        tokens = np.stack([read[point] for point in points], axis=1)
        first, last = rollout.sentences[0].start, rollout.sentences[-1].end
        thoughts = tokens[first:last].astype(np.float64)
        norms += np.linalg.norm(thoughts, axis=-1).sum(axis=0)
        n_tokens += len(thoughts)
        overall.append(thoughts.mean(axis=0))
        for before, sentence in zip((None, *rollout.sentences), rollout.sentences, strict=False):
            start, end = sentence.start, sentence.end
            if whole_spans:
                span = tokens[start - 1 : min(end - 1, start + 10)]
            elif before is not None:
                span = tokens[start - 1 : start]
            else:
                continue
            if len(span):
                values.append(span.mean(axis=0, dtype=np.float64))
                holds.append(sentence.holds)
                contexts.append("" if before is None else before.context)
                problems.append(rollout.problem_id)
    return Places(
        np.array(values),
        np.array(holds, dtype=bool),
        np.array(contexts, dtype=np.str_),
        np.array(problems, dtype=np.str_),
        np.array(overall),
        np.array([rollout.problem_id for rollout in kept], dtype=np.str_),
        tuple(float(norm / n_tokens) for norm in norms),
    )


def _difference(places: Places) -> Array:
    found: Array = places.values[places.holds].mean(axis=0) - places.values[~places.holds].mean(axis=0)
    return found


def _matched(places: Places) -> Array:
    total, weight = np.zeros(places.values.shape[1:]), 0.0
    for context in np.unique(places.contexts):
        here = places.contexts == context
        yes, no = places.values[here & places.holds], places.values[here & ~places.holds]
        if len(yes) and len(no):
            w = len(yes) * len(no) / (len(yes) + len(no))
            total += w * (yes.mean(axis=0) - no.mean(axis=0))
            weight += w
    if not weight:
        raise UserError("no context holds places of both sides; take method 'difference'")
    total /= weight
    return total


def _pca(places: Places) -> Array:
    by_problem: dict[str, Array] = defaultdict(lambda: np.zeros(places.values.shape[1:]))
    for problem in np.unique(places.problems):
        here = places.problems == problem
        if (here & places.holds).any() and (here & ~places.holds).any():
            by_problem[problem] = _difference(places.of(np.array([problem])))
    rows = np.array(list(by_problem.values()))
    if len(rows) < 2:
        raise UserError(f"{len(rows)} problems have places of both sides; method 'pca' takes 2 or more")
    mean = rows.mean(axis=0)
    out = np.zeros_like(mean)
    for point in range(mean.shape[0]):
        component = np.linalg.svd(rows[:, point], full_matrices=False)[2][0]
        out[point] = component * np.copysign(np.linalg.norm(mean[point]), component @ mean[point])
    found: Array = out
    return found


def _venhoff(places: Places) -> Array:
    overall = places.overall.mean(axis=0)
    raw = places.values[places.holds].mean(axis=0) - overall
    scaled: Array = raw * np.linalg.norm(overall, axis=1, keepdims=True) / np.linalg.norm(raw, axis=1, keepdims=True)
    return scaled


_MAKERS: dict[VectorMethod, Callable[[Places], Array]] = {
    "matched": _matched,
    "difference": _difference,
    "pca": _pca,
    "steering-thinking-llms": _venhoff,
}
_POSITIONS: dict[VectorMethod, str] = {
    "matched": "last token before a sentence, matched by what the sentence before it does",
    "difference": "last token before a sentence",
    "pca": "last token before a sentence",
    "steering-thinking-llms": "last token before a sentence and its first ten, against all tokens of the thoughts",
}


def _stability(places: Places, make: Callable[[Places], Array]) -> dict[str, float | int]:
    """Mean cosine between the directions that two halves of the problems give, over points and splits."""
    problems = np.unique(places.overall_problems)
    rng, cosines = np.random.default_rng(0), []
    for _ in range(SPLITS):
        shuffled = rng.permutation(problems)
        halves = [places.of(shuffled[::2]), places.of(shuffled[1::2])]
        if any(half.holds.sum() < 2 or (~half.holds).sum() < 2 for half in halves):
            continue
        try:
            a, b = (make(half) for half in halves)
        except UserError:  # a half without both sides in any context says nothing of stability
            continue
        cosines.append((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)))
    if not cosines:
        return {"splits": 0}
    return {"split_half_cosine": round(float(np.mean(cosines)), 4), "splits": len(cosines)}
