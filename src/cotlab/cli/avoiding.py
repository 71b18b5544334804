"""What `cotlab avoid` does: from options to trails, to resilience, counterfactual++ and joint importance."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.cli.measured import shown
from cotlab.cli.output import print_json, print_table
from cotlab.cli.progress import Bar
from cotlab.errors import UserError
from cotlab.measures import (
    AvoidedDraws,
    Metric,
    Similarity,
    alike,
    avoided_draws,
    avoiding_effect,
    checked_metric,
    comparable_anywhere,
    interaction,
    load_similarity,
    resilience,
    subsets,
)
from cotlab.runs import Run
from cotlab.sampling import Avoidance, IsAvoided, Revisit, Sampler, draw_avoiding, find_chain, revisit
from cotlab.stats import Estimate
from cotlab.trees import ConditionIds, chain_draws

__all__ = ["AvoidRequest", "carry_out"]

MOST_JOINT = 4
"""Steps whose every subset is sampled."""


@dataclass(frozen=True, slots=True)
class AvoidRequest:
    """What was asked for."""

    run: Path
    chain: str | None
    steps: str
    joint: bool
    similarity: str
    rounds: int
    rollouts: int
    metric: str

    def check(self, run: Run) -> None:
        """Look at what was asked for before anything is loaded.

        Raises:
            UserError: There is no such chain, or `chosen` says what is wrong.
        """
        chain = find_chain(run, self.chain)
        self.chosen(chain)
        load_similarity(self.similarity, run.problems()[chain.problem_id])

    def chosen(self, chain: Chain) -> tuple[int, ...]:
        """The steps.

        Raises:
            UserError: They are no steps of the chain, or too many for --joint.
        """
        if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", self.steps):
            raise UserError(f"steps '{self.steps}' not understood. Use numbers with commas, such as 3,5")
        found = tuple(sorted({int(step) for step in self.steps.split(",")}))
        if found[-1] >= len(chain.steps):
            raise UserError(f"step {found[-1]} lies beyond the chain, which has {len(chain.steps)} steps")
        if self.joint and not 2 <= len(found) <= MOST_JOINT:
            raise UserError(f"--joint takes 2 to {MOST_JOINT} steps, got {len(found)}: every subset is sampled")
        return found


def carry_out(request: AvoidRequest, opening: Mapping[str, Any], *, json: bool) -> None:
    """Sample what is missing, then print what was found."""
    metric = checked_metric(request.metric)
    with (
        Bar() as bar,
        contextlib.redirect_stdout(sys.stderr),
        revisit(request.run, progress=bar, check=request.check, **opening) as again,
    ):
        chain = find_chain(again.run, request.chain)
        steps = request.chosen(chain)
        problem = again.run.problems()[chain.problem_id]
        similar = comparable_anywhere(load_similarity(request.similarity, problem))
        sampler = again.sampler({"kind": "avoid", "chain": chain.id, "steps": list(steps), "similarity": similar.id})
        parts = subsets(steps) if request.joint else [steps]
        found = {part: _avoided(again, sampler, chain, part, steps[0], similar, request) for part in parts}
        rows = _measured(again, chain, steps, found, metric, joint=request.joint)
    if json:
        named_rows = [{"steps": name, "measure": measure, **one.to_json()} for name, measure, one in rows]
        told = {"sampled_now": sampler.drawn.rollouts, "stopped": sampler.drawn.stopped, "similarity": similar.id}
        print_json({"run": str(request.run), "chain": chain.id, **told, "measures": named_rows})
        return
    print_table(
        f"chain {chain.id}: steps that are never said ({similar.id})",
        ["steps", "measure", ">value", ">null", ">p", ">n1", ">n", "reason"],
        [
            [
                name,
                measure,
                shown(one, metric if measure != "resilience" else "kl"),
                "" if one.null_q95 is None else f"{one.null_q95:.2f}",
                "" if one.p is None else f"{one.p:.3f}",
                "" if one.n1 is None else str(one.n1),
                str(one.n),
                one.reason or "",
            ]
            for name, measure, one in rows
        ],
        wide=7,
    )


def _avoided(
    again: Revisit,
    sampler: Sampler,
    chain: Chain,
    part: tuple[int, ...],
    start: int,
    similar: Similarity,
    request: AvoidRequest,
) -> AvoidedDraws:
    avoidance = Avoidance(chain.id, start, part, request.rounds)
    judge = _judge(similar, chain, part)
    trails = draw_avoiding(sampler, chain, avoidance, judge, request.rollouts, again.settings)
    again.score()
    return avoided_draws(again.run, trails, scorer_id=again.scorer.id)


def _measured(
    again: Revisit,
    chain: Chain,
    steps: tuple[int, ...],
    found: Mapping[tuple[int, ...], AvoidedDraws],
    metric: Metric,
    *,
    joint: bool,
) -> list[tuple[str, str, Estimate]]:
    """(steps, measure, estimate) of each set."""
    condition = ConditionIds(again.settings.id, again.engine.card.id)
    draws = chain_draws(again.run, chain, scorer_id=again.scorer.id, condition=condition)
    rows = []
    for part, one in found.items():
        named = ", ".join(map(str, part))
        rows.append((named, "resilience", resilience(one)))
        rows.append((named, "necessity", avoiding_effect(one, draws[steps[0]], metric)))
        if part == steps[:1]:
            rows.append((named, "counterfactual++", avoiding_effect(one, draws[part[0] + 1], metric)))
    if joint and metric == "delta-v":
        rows.append((", ".join(map(str, steps)), "interaction", interaction(found, draws[steps[0]])))
    return rows


def _judge(similar: Similarity, chain: Chain, steps: Sequence[int]) -> IsAvoided:
    """Which sentences are like one of these steps."""
    texts = [chain.steps[step].text for step in steps]

    def judge(sentences: Sequence[str]) -> list[bool]:
        rows = alike(similar, texts, sentences)
        return [bool(rows[:, i].any()) for i in range(len(sentences))]

    return judge
