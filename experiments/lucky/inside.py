"""Can it be read from inside, and earlier, that the way is lost, that V is low, that answers will not agree?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

import cotlab as ct
from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.reports import Finding
from cotlab.runs import Run
from cotlab.sampling import FinishedStudy
from cotlab.stats import Estimate, NullRate
from cotlab.trees import Draws
from experiments.lab import Lab
from experiments.lucky.reasoner import MeasuredChain
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
    whole_rollouts,
)

if TYPE_CHECKING:
    from cotlab.tiny import LabelledStep
    from cotlab.whitebox import Examples, LabelledRollout

__all__ = ["MIDDLE", "agrees_less", "losses", "lost_at", "read_inside"]

LOW, AGREED = 0.5, 0.9
"""V below which a position counts as low; share of the commonest answer below which rollouts do not agree."""
MIDDLE = 1
"""Steps before, at which shuffled labels are read."""
LOST = "the target gets out of reach"
WHEN = {0: "after k steps", 1: "one step before", 2: "two steps before"}


def read_inside(
    lab: Lab, study: FinishedStudy, chains: Sequence[MeasuredChain]
) -> tuple[list[Finding], list[NullRate]]:
    """Rows and shuffled analyses.

    Whether a step loses the way is read along rollouts from the prompts (the oracle knows it of every one), V and
    agreement along the chains, where positions have rollouts.
    """
    opened = open_inside(lab.model)
    if isinstance(opened, str):
        return [Finding.of(f"AUC: {LOST}", Estimate.missing(opened), evidence="correlated")], []
    with ct.Run.open(study.path) as run:
        lost = losses(run, study, opened, lab.number("read"))
        lens: dict[str, Extra] = {f"lens of a right answer, layer {opened.layer}": _leaning(run, opened)}
        asked: list[tuple[str, list[Marked], dict[int, str], dict[str, Extra]]] = [
            (LOST, lost, BEFORE, lens),
            (f"V below {LOW:g}", [_marked(one, _low) for one in chains], WHEN, lens),
            (f"answers agree by less than {AGREED:g}", [_marked(one, agrees_less) for one in chains], WHEN, {}),
        ]
        found: list[Finding] = []
        null: list[NullRate] = []
        for what, marked, when, extra in asked:
            if not any(label is not None for one in marked for label in one.labels):
                found.append(Finding.of(f"AUC: {what}", Estimate.missing("no step is labelled"), evidence="correlated"))
                continue
            places = {before: places_of(opened, marked, before, extra) for before in when}
            found += findings(what, places, lab.seed, when)
            null += rates(what, places[MIDDLE], when[MIDDLE], lab.number("inside_shuffles"), lab.seed)
    return found, null


def losses(run: Run, study: FinishedStudy, opened: Opened, n: int) -> list[Marked]:
    """Rollouts from prompts, a step marked where it takes the target out of reach; only steps before which it is not.

    Args:
        run: With the rollouts.
        study: Whose rollouts.
        opened: The model.
        n: How many, equally many of each problem as far as there are.
    """
    from cotlab.whitebox.run_examples import oracle_sentences

    found = []
    for problem, whole, steps in whole_rollouts(run, study, opened, n):
        found.append(Marked(problem.id, whole, steps, lost_at(oracle_sentences(problem, steps))))
    return found


def lost_at(said: Sequence[LabelledStep | None]) -> tuple[bool | None, ...]:
    """Whether each sentence takes the target out of reach; None where it was out of it, or no attempt is under way."""
    reach = [None if one is None or not one.committed else one.reachable for one in said]
    before = [True, *(one is not False for one in reach[:-1])]
    return tuple(None if now is None or not was else not now for was, now in zip(before, reach, strict=True))


def _marked(one: MeasuredChain, label: Callable[[Draws], bool | None]) -> Marked:
    """A chain; a step is marked by the rollouts that begin behind it."""
    chain: Chain = one.chain
    labels = [None if one.cut else label(draws) for draws in (*one.draws[1:], Draws.of("", []))]
    return Marked(chain.problem_id, chain.prefix(len(chain.steps)), tuple(chain.steps), tuple(labels))


def _low(draws: Draws) -> bool | None:
    if not len(draws) or draws.count("unjudged"):
        return None
    return draws.count("correct") / len(draws) < LOW


def agrees_less(draws: Draws) -> bool | None:
    """Whether the commonest answer is that of fewer than `AGREED` of the rollouts; None without answers."""
    keys = [key for key in draws.keys.tolist() if key is not None]
    if not keys:
        return None
    return max(Counter(keys).values()) / len(keys) < AGREED


def _leaning(run: Run, opened: Opened) -> Extra:
    """How little the layer, asked for an answer now, leans to the right one; it learns nothing."""
    from cotlab.whitebox import answer_logprobs, common_stub

    stub, seen = common_stub(run, opened.inside), dict[tuple[int, ...], float]()
    answers = {problem.id: problem.answer for problem in run.problems().values()}

    def of(rows: Sequence[LabelledRollout], layer: Examples, last: Examples) -> Reader:
        shown = [(row.problem_id, Prefix(row.ids[: at + 1], row.n_prompt, row.images)) for row in rows for at in row.at]
        for problem_id, prefix in shown:
            if prefix.token_ids not in seen:
                found = answer_logprobs(opened.inside, prefix, stub, [answers[problem_id] or ""], [opened.layer])
                seen[prefix.token_ids] = -float(found[0, 0])
        scores = np.array([seen[prefix.token_ids] for _, prefix in shown])
        return lambda y, train: scores

    return of
