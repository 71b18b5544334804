"""The same analyses of shuffled labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cotlab.measures import YesNoRow, blame_report, look_report, pope_report
from cotlab.problems import OWN
from cotlab.stats import NullRate, null_rate, shuffled_within

__all__ = ["null_rates"]


def null_rates(rows: Sequence[YesNoRow], name: str, shuffles: int, seed: int) -> list[NullRate]:
    """Views dealt out anew within questions; kinds of negatives within images."""

    def deal(rng: np.random.Generator) -> list[YesNoRow]:
        order = shuffled_within([row.problem for row in rows], rng)
        return [replace(row, said=rows[i].said, odds=rows[i].odds) for row, i in zip(rows, order, strict=True)]

    def looks(rng: np.random.Generator) -> bool:
        return any(one.shown for one in look_report(deal(rng), seed=int(rng.integers(2**31))).contrasts)

    def blames(rng: np.random.Generator) -> bool:
        found = blame_report(deal(rng), seed=int(rng.integers(2**31)))
        return any(one.shown for blame in (found.false_yes, found.false_no) for one in blame.contrasts)

    own = [row for row in rows if row.view == OWN]
    absent = [row for row in own if row.gold == "no"]

    def hallucinates(rng: np.random.Generator) -> bool:
        order = shuffled_within([row.image for row in absent], rng)
        mixed = [replace(row, said=absent[i].said) for row, i in zip(absent, order, strict=True)]
        found = pope_report(mixed, seed=int(rng.integers(2**31))).harder.values()
        return any(one.q is not None and one.q < 0.05 for one in found)

    return [
        null_rate(
            finds,
            analysis=f"{name}: {what} by Holm's rule",
            shuffles=shuffles,
            seed=seed,
        )
        for what, finds in (
            ("negatives exchanged within images; false yes differs at 5%", hallucinates),
            ("views exchanged within questions; any difference of looking at 5%", looks),
            ("views exchanged within questions; any difference of blame at 5%", blames),
        )
    ]
