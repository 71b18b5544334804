"""Hiding a step of a chain: what follows without it, and whether that agrees with resampling.

A branch: rollouts from a prefix that keeps the step, while no token behind it can attend to it, beside the baseline of
the same engine with equal seeds and beside other steps hidden (controls: as near in length as the chain has them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.chain import Chain
from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.settings import SamplingSettings
from cotlab.engines import open_engine
from cotlab.engines.base import Engine
from cotlab.engines.requests import refuse_intervention
from cotlab.errors import UserError
from cotlab.interventions import AttentionSuppression, Baseline
from cotlab.measures import Similarity, chain_rollouts, sentence_importance
from cotlab.runs import Run
from cotlab.sampling import Budget, Progress, Sampler, Silent, score_run
from cotlab.stats import Estimate, paired_difference, rank_correlation
from cotlab.whitebox.attention import suppression_matrix
from cotlab.whitebox.branching import answer_shift, outcomes_of
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.run_chain import chain_of, chain_spans, check_step

__all__ = ["SuppressionArm", "SuppressionBranch", "compare_suppression", "suppress_run", "suppress_step"]


@dataclass(frozen=True, slots=True)
class SuppressionArm:
    """Rollouts with one step hidden."""

    step: int
    """The hidden step."""
    intervention_id: str
    value: float
    """Share of right answers."""
    shift: Estimate
    """Value minus the baseline's, paired by seed."""
    answers: Estimate
    """Total variation between its answers and the baseline's, with the floor of exchanged pairs."""
    tokens: int
    """Tokens that looked without seeing the step, over all rollouts."""


@dataclass(frozen=True, slots=True)
class SuppressionBranch:
    """What hiding a step does from a prefix on."""

    chain_id: str
    kept: int
    """Steps of the chain that are kept."""
    prefix_id: str
    n: int
    baseline: float
    """Share of right answers with nothing hidden, of the same engine."""
    hidden: SuppressionArm
    controls: tuple[SuppressionArm, ...]
    beyond_controls: Estimate
    """Value with the step hidden minus the mean value with a control hidden, paired by seed."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def suppress_step(
    run: Run,
    engine: Engine,
    chain: Chain,
    step: int,
    settings: SamplingSettings,
    *,
    kept: int | None = None,
    blind_from: int | None = None,
    heads: tuple[str, ...] = (),
    n: int = 50,
    n_controls: int = 2,
    seed: int = 0,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> SuppressionBranch:
    """Grow a branch on which a step is hidden, into the run that the chain is of.

    Args:
        run: Open for writing.
        engine: The transformers engine; the baseline is of it, too, and drawn where it is missing.
        chain: Of the run.
        step: Which step is hidden.
        settings: Sampling settings.
        kept: Steps of the chain that are kept; default: up to the hidden one.
        blind_from: First step that does not see it; default: the next one.
        heads: Layers (`3`) and heads (`3.1`) in which it is hidden; default: all.
        n: Rollouts of each arm.
        n_controls: Other kept steps that are hidden for comparison, those nearest in length.
        seed: Of the rollouts.
        budget: Cap.
        progress: Told how it goes.

    Raises:
        UserError: There is no such step, it is not kept, the engine cannot, or rollouts are missing.
        EngineError: The engine broke; what it gave is stored.
    """
    check_step(chain, step)
    kept = step + 1 if kept is None else kept
    if not step < kept <= len(chain.steps):
        raise UserError(
            f"{kept} steps are kept: step {step} is hidden only where it is kept ({step + 1}..{len(chain.steps)})"
        )
    if blind_from is not None and blind_from > kept:
        raise UserError(
            f"{kept} steps are kept, so what cannot see step {step} begins there or before: not {blind_from}"
        )
    others = _controls(chain, step, kept if blind_from is None else blind_from, n_controls)
    arms = {i: AttentionSuppression.of_step(chain, i, blind_from=blind_from, heads=heads) for i in (step, *others)}
    refuse_intervention(arms[step], engine.card.engine, engine.capabilities)
    prefix, scorer = chain.prefix(kept), load_scorer("answers", run.identity.tags)
    spec = {"kind": "suppression", "chain": chain.id, "step": step, "kept": kept, "hidden": list(arms), "n": n}
    spec |= {"from": blind_from, "heads": list(heads)} if blind_from is not None or heads else {}
    sampler = Sampler(run, engine, run.add_study(spec, seed), seed=seed, budget=budget, progress=progress or Silent())
    sampler.draw([prefix], n, settings, phase="nothing hidden")
    for i, its in arms.items():
        sampler.draw([prefix], n, settings, phase=f"step {i} hidden", intervention=its)
    score_run(run, scorer)
    base = outcomes_of(run, engine, prefix, settings, scorer.id, Baseline(), n)
    found, rights = [], []
    for i, its in arms.items():
        mine = outcomes_of(run, engine, prefix, settings, scorer.id, its, n)
        rights.append(_right(mine))
        rows = run.rollouts(prefix_id=prefix.id, intervention_id=its.id, bodies=False)
        found.append(_arm(i, its.id, base, mine, sum(row.steered_tokens or 0 for row in rows)))
    right, beyond = float(_right(base).mean()), _beyond(rights)
    return SuppressionBranch(chain.id, kept, prefix.id, n, right, found[0], tuple(found[1:]), beyond)


def _controls(chain: Chain, step: int, kept: int, n: int) -> list[int]:
    size = [its.end - its.start for its in chain.steps]
    others = [i for i in range(kept) if i != step]
    return sorted(others, key=lambda i: (abs(size[i] - size[step]), abs(i - step)))[:n]


def _arm(
    step: int, its_id: str, base: list[tuple[str, str]], mine: list[tuple[str, str]], tokens: int
) -> SuppressionArm:
    if not tokens:
        raise UserError(f"no token behind step {step} was ever read: every rollout ends at once")
    return SuppressionArm(
        step,
        its_id,
        float(_right(mine).mean()),
        _paired(_right(base), _right(mine)),
        answer_shift([key for _, key in base], [key for _, key in mine]),
        tokens,
    )


def _right(arm: list[tuple[str, str]]) -> NDArray[np.float64]:
    """1 where an outcome is correct, shape [rollouts]."""
    return np.array([outcome == "correct" for outcome, _ in arm], dtype=float)


def _paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    ones = np.ones(len(first))
    return paired_difference((first, ones), (second, ones), range(len(first)))


def _beyond(rights: list[NDArray[np.float64]]) -> Estimate:
    if len(rights) < 2:
        return Estimate.missing("no other step is hidden for comparison: keep more steps, or ask for controls")
    return _paired(np.mean(rights[1:], axis=0), rights[0])


def compare_suppression(
    run: Run,
    inside: Inside,
    chain: Chain,
    similarity: Similarity | None = None,
    *,
    matrix: NDArray[np.float64] | None = None,
    scorer_id: str = "answers",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Estimate:
    """Rank correlation of what hiding a step costs later ones with what resampling it does to them.

    Hiding is `suppression_matrix` (KL, nats), resampling the absolute `sentence_importance` of the same chain (Bogdan
    et al. 2025, §3.3). Spearman's ρ over pairs of steps; the interval draws hidden steps again, the null exchanges
    pairs that are equally far apart, since near steps score high in both.

    Args:
        run: With rollouts from every prefix of the chain.
        inside: The run's model.
        chain: Of the run.
        similarity: Tells whether two sentences say the same; default: equal texts.
        matrix: `suppression_matrix` of the chain where it is known.
        scorer_id: Whose verdicts the rollouts need.
        seed: Of interval and null.
        progress: Told steps hidden and in all.

    Raises:
        UserError: The run holds no rollouts along the chain, or its model is another one.
    """
    data = chain_rollouts(run, chain, scorer_id=scorer_id, depth=None, tokenizer=inside.tokenizer)
    resampled = sentence_importance(data, similarity)
    hidden = (
        suppression_matrix(inside, chain.whole, chain_spans(chain), progress=progress) if matrix is None else matrix
    )
    known = [
        (one.source, one.target, abs(one.estimate.value))
        for one in resampled
        if one.estimate.value is not None and np.isfinite(hidden[one.source, one.target])
    ]
    if not known:
        return Estimate.missing("no step has rollouts before and behind it", method="spearman")
    return rank_correlation(
        [float(hidden[i, j]) for i, j, _ in known],
        [value for _, _, value in known],
        [i for i, _, _ in known],
        strata=[j - i for i, j, _ in known],
        seed=seed,
    )


def suppress_run(
    path: Path,
    step: int,
    *,
    kept: int | None = None,
    blind_from: int | None = None,
    heads: tuple[str, ...] = (),
    chain: str | None = None,
    n: int = 50,
    n_controls: int = 2,
    temperature: float | None = None,
    model: str | None = None,
    engine_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> SuppressionBranch:
    """`suppress_step` on a run folder, with the run's model and settings, on the transformers engine.

    Raises:
        UserError: There is no such chain or step, or something else cannot be; one line.
        EngineError: The engine broke; what it gave is stored.
    """
    with Run.open(path) as run:
        found = chain_of(run, chain)
        check_step(found, step)
        ids = {row.settings_id for row in run.rollouts(prefix_id=found.prefix(step).id, bodies=False)}
        known = [its for key, its in run.settings().items() if key in ids and its.temperature > 0]
        name = model or run.identity.model
    opened = open_engine(name, "transformers", options=dict(engine_options or {}))
    with opened.engine as engine, Run.open_or_create(path, opened.identity) as run:
        settings = known[0] if known else opened.card.sampling
        settings = settings if temperature is None else replace(settings, temperature=temperature)
        return suppress_step(
            run, engine, found, step, settings, kept=kept, blind_from=blind_from, heads=heads, n=n,
            n_controls=n_controls, seed=seed, budget=budget, progress=progress,
        )  # fmt: skip
