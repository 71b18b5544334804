"""What `cotlab edit` does: from options to edits, to rollouts, to an effect."""

from __future__ import annotations

import contextlib
import json as json_
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.cli.measured import print_steps, shown, step_json
from cotlab.cli.output import out, print_json
from cotlab.cli.progress import Bar
from cotlab.errors import DataError, UserError
from cotlab.interventions import AddToPrompt, DeleteStep, Edit, EditedPrefix, InsertText, ReplaceStep, edits_from_json
from cotlab.measures import (
    Metric,
    chain_rollouts,
    checked_metric,
    load_similarity,
    measure_steps,
    on_policy_effect,
    step_effect,
)
from cotlab.reports.labels import step_labels
from cotlab.reports.text import format_p
from cotlab.runs import Run
from cotlab.sampling import Revisit, draw_edited, draw_forced, find_chain, revisit
from cotlab.stats import Estimate
from cotlab.trees import MIN_ROLLOUTS, ConditionIds, begun_at, chain_draws

__all__ = ["EditRequest", "carry_out"]

LARGEST_FILE = 10_000_000
"""Bytes of a file of edits."""


@dataclass(frozen=True, slots=True)
class EditRequest:
    """What was asked for."""

    run: Path
    chain: str | None
    rollouts: int
    metric: str
    step: int | None
    insert: str | None
    replace: str | None
    on_policy: bool
    similarity: str
    delete: bool
    keep: int | None
    hint: str | None
    edits: Path | None
    force_answer: bool
    stub: str | None

    def check(self, run: Run) -> None:
        """Look at what was asked for before anything is loaded.

        Raises:
            UserError: There is no such chain, or `made` says what does not go together.
        """
        chain = find_chain(run, self.chain)
        if self.on_policy:
            self.wanted(chain)
        elif not self.force_answer:
            self.made(chain, run.problems()[chain.problem_id].question)

    def made(self, chain: Chain, question: str) -> tuple[int, list[Edit]]:
        """Steps kept, and the edits.

        Raises:
            UserError: Nothing is asked for, or it does not go together.
        """
        found = read_edits(self.edits) if self.edits is not None else []
        found += self._at_step(chain)
        if self.hint is not None:
            found.append(AddToPrompt(self.hint, question))
        if not found:
            raise UserError(
                "nothing to edit: use --insert, --replace or --delete with --step, --hint, --edits or --force-answer"
            )
        touched = [one.step + 1 for one in found if isinstance(one, DeleteStep | ReplaceStep)]
        touched += [one.before for one in found if isinstance(one, InsertText)]
        keep = self.keep if self.keep is not None else max(touched, default=0)
        if keep > len(chain.steps):
            raise UserError(f"--keep {keep} lies beyond the chain, which has {len(chain.steps)} steps")
        return keep, found

    def wanted(self, chain: Chain) -> tuple[int, str]:
        """With --on-policy: steps kept, and what is to be said next.

        Raises:
            UserError: --on-policy does not go with what else is asked for, or there is no such step.
        """
        others = {"insert": self.insert, "hint": self.hint, "edits": self.edits, "keep": self.keep}
        given = [name for name, value in others.items() if value is not None]
        given += ["delete"] * self.delete + ["force-answer"] * self.force_answer
        if self.step is None or self.replace is None or given:
            with_ = f", not --{given[0]}" if given else ""
            raise UserError(
                f"--on-policy takes --step and --replace{with_}: what the model is to say in the step's place"
            )
        if self.step >= len(chain.steps):
            raise UserError(f"step {self.step} lies beyond the chain, which has {len(chain.steps)} steps")
        return self.step, self.replace

    def _at_step(self, chain: Chain) -> list[Edit]:
        asked = [name for name in ("insert", "replace") if getattr(self, name) is not None] + ["delete"] * self.delete
        if not asked and self.step is None:
            return []
        if self.step is None or len(asked) != 1:
            given = " and ".join(f"--{name}" for name in asked) or "--step alone"
            raise UserError(f"{given} given: use one of --insert, --replace, --delete, and --step with it")
        last = len(chain.steps) if self.insert is not None else len(chain.steps) - 1
        if self.step > last:
            raise UserError(
                f"step {self.step} lies beyond the chain, which has {len(chain.steps)} steps. Use 0..{last}"
            )
        if self.insert is not None:
            return [InsertText(self.step, self.insert)]
        if self.replace is None:
            return [DeleteStep(self.step)]
        said = chain.steps[self.step].text
        blank = said[len(said.rstrip()) :] if self.replace == self.replace.rstrip() else ""
        return [ReplaceStep(self.step, self.replace + blank)]


def read_edits(path: Path) -> list[Edit]:
    """Edits out of a JSON file.

    Raises:
        UserError: The file cannot be read, is too large, is not JSON, or holds something else.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(f"file of edits '{path}' is larger than {LARGEST_FILE:,} bytes")
        return list(edits_from_json(json_.loads(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, json_.JSONDecodeError, RecursionError) as error:
        raise DataError(f"file of edits '{path}' cannot be read: {error}. Give a JSON list of edits") from error


def carry_out(request: EditRequest, opening: Mapping[str, Any], *, dry: bool, json: bool) -> None:
    """Sample what is missing, then print the effect."""
    metric = checked_metric(request.metric)
    with (
        Bar() as bar,
        contextlib.redirect_stdout(sys.stderr),
        revisit(request.run, progress=bar, check=request.check, **opening) as again,
    ):
        chain = find_chain(again.run, request.chain)
        if request.on_policy:
            document = _on_policy(again, chain, request, metric, dry)
        elif request.force_answer:
            document = _forced(again, chain, request, metric, dry)
        else:
            document = _edited(again, chain, request, metric, dry)
    steps, named = document.pop("_steps", (None, {}))
    if json:
        print_json({"run": str(request.run), "chain": chain.id, **document})
    elif steps is not None:
        print_steps(f"forced-answer importance of chain {chain.id}", steps, metric, named)
    else:
        out().print(document["line"], markup=False)


def _forced(again: Revisit, chain: Chain, request: EditRequest, metric: Metric, dry: bool) -> dict[str, Any]:
    stub, close = request.stub, again.run.identity.think_close
    if dry:
        return _planned(request.rollouts * (len(chain.steps) + 1))
    sampler = again.sampler({"kind": "edit", "chain": chain.id, "force-answer": stub, "n": request.rollouts})
    draw_forced(sampler, chain, request.rollouts, again.settings, text=stub, think_close=close)
    again.score()
    steps = measure_steps(again.run, chain, "forced-answer", scorer_id=again.scorer.id, metric=metric)
    told = {"sampled_now": sampler.drawn.rollouts, "failures": sampler.drawn.failures, "stopped": sampler.drawn.stopped}
    named = {idx: str(label.get("category", "")) for idx, label in step_labels(again.run, chain).items()}
    return {**told, "steps": [step_json(step, named) for step in steps], "_steps": (steps, named)}


def _edited(again: Revisit, chain: Chain, request: EditRequest, metric: Metric, dry: bool) -> dict[str, Any]:
    keep, edits = request.made(chain, again.run.problems()[chain.problem_id].question)
    if dry:
        return _planned(request.rollouts)
    sampler = again.sampler(
        {
            "kind": "edit",
            "chain": chain.id,
            "keep": keep,
            "edits": [one.to_json() for one in edits],
            "n": request.rollouts,
        }
    )
    (made,) = draw_edited(sampler, chain, [(keep, edits)], request.rollouts, again.settings)
    again.score()
    effect = _effect(again, chain, keep, made, metric)
    line = (
        f"{', '.join(one.kind for one in edits)} (off-policy) after {keep} steps: {metric} {shown(effect, metric)} "
        f"against the unchanged prefix, p {format_p(effect.p)}"
    )
    if effect.value is None:
        line = f"{', '.join(one.kind for one in edits)} after {keep} steps: no effect to tell: {effect.reason}"
    told = {"sampled_now": sampler.drawn.rollouts, "failures": sampler.drawn.failures, "stopped": sampler.drawn.stopped}
    return {
        **told,
        "keep": keep,
        "edits": [one.to_json() for one in edits],
        "prefix": made.prefix.id,
        "kept_text": made.kept_text,
        "effect": effect.to_json(),
        "line": f"{line}; {sampler.drawn.rollouts} rollouts sampled now",
    }


def _on_policy(again: Revisit, chain: Chain, request: EditRequest, metric: Metric, dry: bool) -> dict[str, Any]:
    """Rollouts from the step's prefix, until there are as many as asked for; those that say it against the others."""
    step, wanted = request.wanted(chain)
    similar = load_similarity(request.similarity, again.run.problems()[chain.problem_id])
    if dry:
        return _planned(request.rollouts)
    spec = {"kind": "on-policy", "chain": chain.id, "keep": step, "wanted": wanted, "n": request.rollouts}
    sampler = again.sampler(spec)
    sampler.draw([chain.prefix(step)], request.rollouts, again.settings, phase="on-policy edit")
    again.score()
    condition = ConditionIds(again.settings.id, again.engine.card.id)
    data = chain_rollouts(again.run, chain, scorer_id=again.scorer.id, condition=condition)
    found = on_policy_effect(data, step, wanted, similar, metric=metric)
    effect, share = found.effect, found.share
    says = f"{share.value:.0%} of {share.n} rollouts say it" if share.value is not None else str(share.reason)
    line = f"on-policy after {step} steps: {metric} {shown(effect, metric)} of saying it, {says} ({similar.id})"
    if effect.value is None:
        needed = f": try -n {ceil(1.5 * MIN_ROLLOUTS / share.value):,}" if share.value and share.value < 0.5 else ""
        line = f"on-policy after {step} steps: no effect to tell: {effect.reason}{needed} ({similar.id})"
    told = {"sampled_now": sampler.drawn.rollouts, "failures": sampler.drawn.failures, "stopped": sampler.drawn.stopped}
    return {
        **told,
        "keep": step,
        "wanted": wanted,
        "similarity": similar.id,
        "share": share.to_json(),
        "effect": effect.to_json(),
        "line": f"{line}; {sampler.drawn.rollouts} rollouts sampled now",
    }


def _effect(again: Revisit, chain: Chain, keep: int, made: EditedPrefix, metric: Metric) -> Estimate:
    """The edited prefix against the one that it was made of."""
    condition = ConditionIds(again.settings.id, again.engine.card.id)
    before = chain_draws(again.run, chain, scorer_id=again.scorer.id, condition=condition)[keep]
    after = begun_at(again.run, made.prefix.id, scorer_id=again.scorer.id, condition=condition)
    return step_effect(before, after, metric)


def _planned(rollouts: int) -> dict[str, Any]:
    line = f"at most {rollouts:,} rollouts; what the run holds is not sampled again. Nothing was stored."
    return {"dry_run": True, "rollouts": rollouts, "line": line}
