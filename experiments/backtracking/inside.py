"""Can it be read from inside, and earlier, that the next sentence goes back?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import cotlab as ct
from cotlab.categories import backtracks
from cotlab.reports import Finding
from cotlab.sampling import FinishedStudy
from cotlab.stats import Estimate, NullRate
from experiments.lab import Lab
from experiments.readings import Extra, Marked, Opened, Reader, findings, places_of, rates, said_next, whole_rollouts

if TYPE_CHECKING:
    from cotlab.whitebox import Examples, LabelledRollout

__all__ = ["read_inside"]

WHAT = "a sentence goes back"
WHEN = {1: "right before it", 2: "a sentence earlier", 3: "two sentences earlier"}
SHUFFLED = 2
Table = NDArray[np.float64]


def read_inside(lab: Lab, study: FinishedStudy, opened: Opened | str) -> tuple[list[Finding], list[NullRate]]:
    """Rows and shuffled analyses, on rollouts from the prompts: every sentence but the first of each."""
    if isinstance(opened, str):
        return [Finding.of(f"AUC: {WHAT}", Estimate.missing(opened), evidence="correlated")], []
    with ct.Run.open(study.path) as run:
        marked = [
            Marked(
                problem.id, whole, steps, tuple(backtracks(step.text) if i else None for i, step in enumerate(steps))
            )
            for problem, whole, steps in whole_rollouts(run, study, opened, lab.number("read"))
        ]
    extra: dict[str, Extra] = {
        f"lens, layer {opened.layer}": lambda rows, layer, last: _openings(opened, rows, layer),
        "lens, last layer": lambda rows, layer, last: _openings(opened, rows, last),
    }
    places = {before: places_of(opened, marked, before, extra) for before in WHEN}
    null = rates(WHAT, places[SHUFFLED], WHEN[SHUFFLED], lab.number("inside_shuffles"), lab.seed)
    return findings(WHAT, places, lab.seed, WHEN), null


def _openings(opened: Opened, rows: Sequence[LabelledRollout], examples: Examples) -> Reader:
    """What a layer would say next (logit lens), weighed by how often what begins so comes before the label.

    The rates of tokens are learned from the sentences of other problems; of the response itself only what the layer
    would say is read, not what comes.
    """
    following = np.array([one.ids[at + 1] for one in rows for at in one.at])
    tokens, number = np.unique(following, return_inverse=True)
    chances = _chances(opened, examples, tokens)

    def read(y: NDArray[np.bool_], train: NDArray[np.bool_]) -> Table:
        n = np.bincount(number[train], minlength=len(tokens))
        positive = np.bincount(number[train & y], minlength=len(tokens))
        return np.asarray(chances @ ((positive + y[train].mean()) / (n + 1)))

    return read


def _chances(opened: Opened, examples: Examples, tokens: NDArray[np.int64]) -> Table:
    """P(next token) of the given tokens by the logit lens, [examples, tokens]."""
    found = [said[:, tokens].exp().cpu().numpy() for said in said_next(opened, examples)]
    return np.asarray(np.concatenate(found), dtype=float)
