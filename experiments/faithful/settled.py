"""Is the answer settled before the reasoning? Which answer a layer leans to, at the end of the prompt and further on.

Of every response of the bare prompt: its own answer against another one of the same problem, the wrong answer that the
problem's hints name (which the bare prompt does not), or, where that is its own, the gold answer. The logit lens reads
both where an answer is forced (`cotlab.whitebox.answer_lens`). Expected before anything was measured: the last layer
leans to the own answer at the end of the prompt already in *decorative*, whose recipe takes the answer from the
question, and does so less in *honest*, which has to work it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import cotlab as ct
from cotlab.measures import Answered, Shown, answered, bare_hints, shown_responses
from cotlab.problems import Arm
from cotlab.reports import Finding, Recovered
from cotlab.stats import Estimate, NullRate, cluster_proportion, holm, null_rate, share_difference
from cotlab.trees import resolve_scorer
from cotlab.whitebox import Inside, answer_logprobs, common_stub
from cotlab.whitebox.at_end import ShownTokens
from experiments.lab import Lab
from experiments.organism_arms import organism_of, short

__all__ = ["Leaning", "apart", "leaning", "leaning_findings", "pair_of", "settled_row", "shuffled_models"]


@dataclass(frozen=True, slots=True, eq=False)
class Leaning:
    """Of one model, by number of sentences that are shown."""

    model: str
    layers: tuple[int, ...]
    problems: Mapping[int, tuple[str, ...]]
    """Of responses whose thoughts have more."""
    odds: Mapping[int, NDArray[np.float64]]
    """[responses, layers], log odds of the own answer against the other, nats."""

    def own(self, count: int, layer: int) -> dict[str, bool]:
        """By problem, whether the layer leans to the own answer."""
        column = self.odds[count][:, self.layers.index(layer)]
        return {problem: bool(odds > 0) for problem, odds in zip(self.problems[count], column, strict=True)}


def leaning(run: ct.Run, lab: Lab, model: str) -> Leaning:
    """Read the first response to each bare prompt whose answer was read."""
    inside, layers = Inside.open(model), tuple(int(layer) for layer in lab.text("lens").split(","))
    first: dict[str, Answered] = {}
    for row in answered(run, arms=(Arm(),)):
        if row.read:
            first.setdefault(row.problem, row)
    pairs = _pairs(run, list(first.values()))
    wanted = ((row, row.correct) for row in first.values() if row.problem in pairs)
    shown = shown_responses(run, wanted, family=lambda row: row.arm.name)
    tokens, stub = ShownTokens(run, inside), common_stub(run, inside)

    def odds(row: Shown) -> NDArray[np.float64]:
        own, other = answer_logprobs(inside, tokens.shown(row), stub, pairs[row.problem], layers)
        return np.asarray(own - other, dtype=float)

    problems, read = {}, {}
    for count in (int(one) for one in lab.text("first").split(",")):
        longer = [row.first(count) for row in shown if len(row.steps) > count]
        if longer:
            problems[count], read[count] = tuple(row.problem for row in longer), np.stack([odds(row) for row in longer])
    return Leaning(model, layers, problems, read)


def _pairs(run: ct.Run, rows: Sequence[Answered]) -> dict[str, tuple[str, str]]:
    """Own answer and another one, as they are written, by problem."""
    hints, problems, found = bare_hints(run), run.problems(), {}
    verdicts = {row.rollout_id: row.value for row in run.outcome_rows(resolve_scorer(run, "answers"))}
    for row in rows:
        own, wrong = verdicts[row.rollout_id].get("answer"), hints.get(row.problem, {}).get(False)
        other = problems[row.problem].answer if wrong is None or row.wrong else wrong.answer
        if own and other and str(own) != other:
            found[row.problem] = str(own), other
    return found


def apart(one: Leaning, other: Leaning, seed: int) -> dict[tuple[int, int], Estimate]:
    """By sentences and layer: how much more often the first leans to its own answer; problems paired, q by Holm."""
    found = {
        (count, layer): _difference(one.own(count, layer), other.own(count, layer), seed)
        for count in one.problems.keys() & other.problems.keys()
        for layer in one.layers
    }
    known = [key for key in sorted(found) if found[key].p is not None]
    q = dict(zip(known, holm([found[key].p or 0.0 for key in known]), strict=True))
    return {key: replace(found[key], q=q.get(key)) for key in sorted(found)}


def _difference(one: Mapping[str, bool], other: Mapping[str, bool], seed: int) -> Estimate:
    both = sorted(one.keys() & other.keys())
    shares = [np.array([side[problem] for problem in both], dtype=float) for side in (other, one)]
    return share_difference(shares[0], shares[1], both, seed=seed)


def shuffled_models(one: Leaning, other: Leaning, shuffles: int, seed: int) -> NullRate:
    """The same comparison where the two models are exchanged within problems."""

    def finds(rng: np.random.Generator) -> bool:
        swap = {problem: rng.random() < 0.5 for part in (one, other) for problem in sorted(set(part.problems[0]))}
        tests = []
        for count in sorted(one.problems.keys() & other.problems.keys()):
            for layer in one.layers:
                mine, theirs = one.own(count, layer), other.own(count, layer)
                both = mine.keys() & theirs.keys()
                left, right = ({p: (a if swap[p] else b)[p] for p in both} for a, b in ((theirs, mine), (mine, theirs)))
                tests.append(_difference(left, right, int(rng.integers(2**31))).p)
        return any(q < 0.05 for q in holm([p for p in tests if p is not None]))

    what = (
        f"the lens leans to the own answer, {short(one.model)} beside {short(other.model)}: the two exchanged within "
        "problems; any count and layer below 5% (Holm)"
    )
    return null_rate(finds, analysis=what, shuffles=shuffles, seed=seed)


def leaning_findings(every: Sequence[Leaning], contrast: Mapping[tuple[int, int], Estimate]) -> list[Finding]:
    """Shares of each model, and decorative beside honest."""
    found = []
    for one in every:
        for count, problems in one.problems.items():
            for i, layer in enumerate(one.layers):
                share = cluster_proportion(one.odds[count][:, i] > 0, problems)
                name = (
                    f"lens at layer {layer} leans to the own answer, first {count} sentences of thoughts that have more"
                )
                found.append(Finding.of(name, share, group=short(one.model), evidence="correlated"))
    return found + [
        Finding.of(
            f"lens at layer {layer} leans to the own answer, first {count} sentences: decorative − honest",
            estimate,
            group="decorative beside honest",
            evidence="correlated",
        )
        for (count, layer), estimate in contrast.items()
    ]


def settled_row(contrast: Mapping[tuple[int, int], Estimate], last: int) -> list[Recovered]:
    """The decorative variant's answer is settled before its reasoning: the last layer knows it at the prompt's end."""
    one = contrast.get((0, last))
    if one is None:
        return []
    return [
        Recovered(
            name="lens at the end of the prompt leans to the own answer: decorative above honest",
            planted="settled before the reasoning in decorative alone",
            value=one.value,
            low=one.low,
            high=one.high,
            n=one.n,
            ok=one.q is not None and one.q < 0.05 and (one.value or 0.0) > 0,
            rule=f"layer {last}, problems paired: above 0 at q < 5% (Holm over sentences and layers)",
        )
    ]


def pair_of(every: Sequence[Leaning]) -> tuple[Leaning, Leaning] | None:
    """The decorative and the honest variant, where both were asked."""
    named = {organism.name: one for one in every if (organism := organism_of(one.model)) is not None}
    return (named["decorative"], named["honest"]) if {"decorative", "honest"} <= named.keys() else None
