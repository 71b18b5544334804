"""Can a sentence's importance be read from inside, and before it is said?

Two measures of Thought Anchors that take the model and no rollouts (Bogdan et al. 2025, §3.2 and §3.3): the attention
that later sentences pay to a sentence by receiver heads, and what they lose when it is hidden from them. And readers
(`experiments.readings`): does the state at a sentence, or before it, say that the answer hangs on it?
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import cotlab as ct
from cotlab.chains.chain import Chain
from cotlab.measures import RatedStep, category_contrast, rank_agreement
from cotlab.reports import Finding
from cotlab.sampling import FinishedStudy
from cotlab.stats import Estimate, NullRate, null_rate
from experiments.lab import Lab
from experiments.readings import (
    BEFORE,
    Extra,
    Marked,
    Opened,
    Reader,
    findings,
    open_inside,
    places_of,
    rates,
    said_next,
)
from experiments.rules import told_apart
from experiments.sentences.own import COMPARED

if TYPE_CHECKING:
    from cotlab.chains.think import ThinkTags
    from cotlab.whitebox import Examples, Inside, LabelledRollout

__all__ = ["HIDDEN", "INSIDE", "RECEIVED", "InsideRead", "read_inside"]

RECEIVED, HIDDEN = "attention of receiver heads, %", "loss when hidden"
INSIDE = (RECEIVED, HIDDEN)
"""Attention weight in percent, over heads and later sentences; KL of next tokens in nats, over later sentences."""
HEADS = 20
"""Receiver heads, as many as the paper takes; of a model with few, a quarter of its heads."""
LONGEST = 4_096
"""Tokens of a chain that is read; attention and predictions of longer ones do not fit a GPU."""
PARTS = 3
"""Of a chain, within which ranks are taken: both measures fall along a chain whatever is said."""
LESS = tuple(f"{name} less its floor" for name in COMPARED)
"""KL of few rollouts is mostly the null floor of its place: how many answers are open there, whatever is said."""
HANGS, SHARE = "the answer hangs on the sentence", 1 / 3
"""The third of a chain's sentences that moves its answers most, by resampling KL less its floor."""
MIDDLE = 1
"""Steps before the end, at which shuffled labels are read: right before the sentence."""


@dataclass(frozen=True, slots=True)
class InsideRead:
    """What was read."""

    steps: tuple[RatedStep, ...]
    """Those given, with what the inside says of them."""
    estimates: tuple[Finding, ...]
    null_rate: tuple[NullRate, ...]
    warnings: tuple[str, ...] = ()


def read_inside(lab: Lab, study: FinishedStudy, steps: Sequence[RatedStep], shuffles: int) -> InsideRead:
    """Read the chains of some rated steps."""
    opened = open_inside(lab.model)
    if isinstance(opened, str):
        missing = Finding.of(f"AUC: {HANGS}", Estimate.missing(opened), evidence="correlated")
        return InsideRead(tuple(steps), (missing,), ())
    wanted = {step.chain for step in steps}
    with ct.Run.open(study.path) as run:
        chains, tags = [chain for chain in run.chains() if chain.id in wanted], run.identity.tags
    steps = [_less_floor(step) for step in steps]
    kept = [chain for chain in chains if len(chain.prompt_ids) + chain.steps[-1].end <= LONGEST]
    warnings: tuple[str, ...] = ()
    if left := len(chains) - len(kept):
        warnings = (f"{left} of {len(chains)} chains have more than {LONGEST:,} tokens and were not read from inside.",)
    said = {chain.id: {step.idx for step in chain.steps if _has_words(step.text, tags)} for chain in kept}
    rated = _with_inside(steps, kept, said, opened.inside, lab)
    estimates = _agreement(rated, lab.model)
    null = _shuffled(rated, lab.model, shuffles, lab.seed)
    marked = _marked(rated, kept, said)
    extra: dict[str, Extra] = {"uncertainty of the next token": partial(_unsure, opened)}
    places = {before: places_of(opened, marked, before, extra) for before in BEFORE} if marked else {}
    estimates += findings(HANGS, places, lab.seed)
    null += rates(HANGS, places[MIDDLE], BEFORE[MIDDLE], lab.number("inside_shuffles"), lab.seed) if marked else []
    return InsideRead(tuple(rated), tuple(estimates), tuple(null), warnings)


def _less_floor(step: RatedStep) -> RatedStep:
    """With what is left of each KL."""
    left = {
        less: step.values[name] - step.values[f"{name}, null floor"]
        for name, less in zip(COMPARED, LESS, strict=True)
        if name in step.values and f"{name}, null floor" in step.values
    }
    return replace(step, values={**step.values, **left})


def _has_words(text: str, tags: ThinkTags) -> bool:
    """Whether a step is more than a think tag: the end of thinking is like no sentence, by any measure."""
    for tag in (tags.open, tags.close):
        text = text.replace(tag, "")
    return any(sign.isalnum() for sign in text)


def _with_inside(
    steps: Sequence[RatedStep], chains: Sequence[Chain], said: Mapping[str, set[int]], inside: Inside, lab: Lab
) -> list[RatedStep]:
    """Both measures of each step that has words, where later ones tell of it."""
    from cotlab.whitebox.attention import MIN_DISTANCE, received, receiver_heads
    from cotlab.whitebox.chain_attention import ChainAttention

    read = []
    for number, chain in enumerate(chains, 1):
        lab.progress.phase(f"attention along chain {number} of {len(chains)}", 0)
        read.append(ChainAttention.read(inside, chain))
    found: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    weights = [one.weights.numpy() for one in read]
    if any(matrix.shape[-1] >= MIN_DISTANCE + 4 for matrix in weights):
        heads = receiver_heads(weights).top(min(HEADS, weights[0].shape[0] * weights[0].shape[1] // 4))
        layers, numbers = np.transpose(heads)
        for chain, matrix in zip(chains, weights, strict=True):
            if matrix.shape[-1] > MIN_DISTANCE:
                for idx, value in enumerate(received(matrix)[layers, numbers].mean(axis=0).tolist()):
                    found[chain.id, idx][RECEIVED] = 100 * value
    for chain, one in zip(chains, read, strict=True):
        for idx, row in enumerate(one.suppression.numpy()[:-1]):
            found[chain.id, idx][HIDDEN] = float(np.nanmean(row))
    length = {chain.id: len(chain.steps) for chain in chains}
    rated = []
    for step in steps:
        idx = _idx(step, length.get(step.chain, 0))
        more = found.get((step.chain, idx), {}) if idx in said.get(step.chain, ()) else {}
        rated.append(replace(step, values={**step.values, **more}))
    return rated


def _idx(step: RatedStep, n_steps: int) -> int:
    return round(step.place * n_steps)


def _agreement(steps: Sequence[RatedStep], whose: str) -> list[Finding]:
    """Rank agreement with what rollouts say, over whole chains and in like places; planning against computation."""
    found = []
    for name in INSIDE:
        for other in LESS:
            for bins, where in ((1, "whole chains"), (PARTS, "thirds of chains")):
                estimate = rank_agreement(steps, name, other, bins=bins)
                told = f"rank agreement of {name} and {other}, within {where}"
                found.append(Finding.of(told, estimate, group=whose, evidence="correlated"))
        contrast = category_contrast(steps, name, "plan_generation", "active_computation")
        found.append(Finding.of(f"{name}: planning less computation", contrast, group=whose, evidence="correlated"))
    return found


def _shuffled(steps: Sequence[RatedStep], whose: str, shuffles: int, seed: int) -> list[NullRate]:
    """How often a measure from inside agrees with rollouts whose sentences were exchanged within thirds of chains."""
    if rank_agreement(steps, HIDDEN, LESS[0], bins=PARTS).value is None:
        return []

    def finds(name: str, rng: np.random.Generator) -> bool:
        return told_apart(rank_agreement(_exchanged(steps, name, rng), name, LESS[0], bins=PARTS))

    rule = "sentences exchanged within thirds of chains: p < .05 and the whole interval on one side of 0"
    return [
        null_rate(partial(finds, name), analysis=f"{whose}, {name} and {LESS[0]}: {rule}", shuffles=shuffles, seed=seed)
        for name in INSIDE
        if any(name in step.values for step in steps)
    ]


def _exchanged(steps: Sequence[RatedStep], name: str, rng: np.random.Generator) -> list[RatedStep]:
    """Values of one measure dealt anew among the steps of a part of a chain that have one."""
    parts: dict[tuple[str, int], list[int]] = defaultdict(list)
    for i, step in enumerate(steps):
        if name in step.values:
            parts[step.chain, int(step.place * PARTS)].append(i)
    mixed = list(steps)
    for places in parts.values():
        for to, at in zip(places, rng.permutation(places).tolist(), strict=True):
            mixed[to] = replace(steps[to], values={**steps[to].values, name: steps[at].values[name]})
    return mixed


def _unsure(opened: Opened, rows: Sequence[LabelledRollout], layer: Examples, last: Examples) -> Reader:
    """Entropy of what the model would say next, nats; it learns nothing."""
    found = [-(said.exp() * said).sum(-1).cpu().numpy() for said in said_next(opened, last)]
    scores = np.concatenate(found).astype(float)
    return lambda y, train: scores


def _marked(steps: Sequence[RatedStep], chains: Sequence[Chain], said: Mapping[str, set[int]]) -> list[Marked]:
    """Chains, each with the sentences marked on which its answers hang most."""
    by_chain: dict[str, dict[int, float]] = defaultdict(dict)
    length = {chain.id: len(chain.steps) for chain in chains}
    for step in steps:
        idx = _idx(step, length.get(step.chain, 0))
        if idx in said.get(step.chain, ()) and LESS[0] in step.values:
            by_chain[step.chain][idx] = step.values[LESS[0]]
    found = []
    for chain in chains:
        values = by_chain[chain.id]
        if len(values) < 3:
            continue
        least = float(np.quantile(list(values.values()), 1 - SHARE))
        labels = tuple(values[i] > least if i in values else None for i in range(len(chain.steps)))
        found.append(Marked(chain.problem_id, chain.prefix(len(chain.steps)), tuple(chain.steps), labels))
    return found
