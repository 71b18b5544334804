"""Examples from a run: which tokens of its rollouts carry which label, and the activations there.

1. `labelled_rollouts` cuts sampled responses into steps and labels the end of each step that was sampled (not of those
   that its prefix kept); which rollouts is a matter of the seed, the same number of each problem.
2. `read_examples` reads each response once, at all hook points that were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cotlab.chains.categories import CATEGORIES
from cotlab.chains.cutting import Cutter
from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.step import Step
from cotlab.errors import DataError, UserError
from cotlab.identity import content_id
from cotlab.interventions import Baseline
from cotlab.interventions.hook_points import HookPoint
from cotlab.runs import Run
from cotlab.whitebox.examples import Examples

if TYPE_CHECKING:
    from cotlab.chains.tokens import Tokenizer
    from cotlab.tiny import LabelledStep
    from cotlab.whitebox.inside import Inside

__all__ = ["LABELS", "LabelledRollout", "chosen_rollouts", "labelled_rollouts", "oracle_sentences", "read_examples"]

LABELS: dict[str, str] = {
    "correct": "the rollout ends with a right answer",
    "truncated": "the rollout runs into the token limit",
    "reachable": "a right answer can still follow without going back (tiny tasks; where an attempt is under way)",
    "reachable-ahead": "the same, only where a sentence states a new result: no verdict has been said yet (tiny tasks)",
    "backtracks-next": "the next sentence goes back (tiny tasks)",
    "slips": "the sentence states something false (tiny tasks)",
    "category:NAME": f"the sentence is of a category (tiny tasks): {', '.join(CATEGORIES)}",
}
"""What can be probed for, and what it means."""


@dataclass(frozen=True, slots=True)
class LabelledRollout:
    """One response with labels at the ends of some of its steps."""

    ids: tuple[int, ...]
    """Prompt and response."""
    problem_id: str
    at: tuple[int, ...]
    """Positions in `ids`: the last token of each labelled step."""
    y: tuple[bool, ...]
    steps: tuple[int, ...]
    """Number of each labelled step in the response."""
    texts: tuple[str, ...]
    """Each labelled step behind the one before it."""
    n_prompt: int
    images: tuple[Image, ...] = ()
    """What the prompt shows."""

    @property
    def whole(self) -> Prefix:
        """As a prefix that keeps all of the response."""
        return Prefix(self.ids, self.n_prompt, self.images)


def labelled_rollouts(
    run: Run,
    label: str,
    *,
    tokenizer: Tokenizer,
    cutter: Cutter,
    scorer_id: str = "answers/1",
    n: int = 300,
    seed: int = 0,
) -> list[LabelledRollout]:
    """Baseline rollouts of a run with a label at the end of each sampled step.

    Args:
        run: Where they are.
        label: A key of `LABELS` (`category:` with its name).
        tokenizer: Of the run's model.
        cutter: What a step is.
        scorer_id: Whose verdict `correct` is.
        n: Rollouts in all, equally many of each problem as far as there are.
        seed: Of the choice.

    Raises:
        UserError: The label is unknown.
        DataError: Nothing of the run carries it.
    """
    judge = _judge(run, label, scorer_id)
    problems = run.problems()
    owner = {row.id: row.problem_id for row in run.prefixes()}
    found = []
    for rollout in chosen_rollouts(run, owner, n, seed):
        prefix = run.prefix(rollout.prefix_id)
        problem = problems[owner[rollout.prefix_id]]
        response = prefix.kept_ids + (rollout.token_ids or ())
        steps = cutter.cut(response, tokenizer)
        labels = judge(problem, rollout, steps)
        places = [i for i, y in enumerate(labels) if y is not None and steps[i].end > len(prefix.kept_ids)]
        if places:
            whole = prefix.extend(rollout.token_ids or ())
            found.append(_labelled(whole, problem.id, steps, labels, places))
    if not found:
        raise DataError(f"no rollout of {run.path} carries the label {label!r}: {_meaning(label)}")
    return found


def read_examples(
    inside: Inside,
    rollouts: Sequence[LabelledRollout],
    points: Sequence[HookPoint],
    label: str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[HookPoint, Examples]:
    """Activations at the labelled places.

    Args:
        inside: The model.
        rollouts: What `labelled_rollouts` gives.
        points: Residual stream, attention or MLP outputs, or z.
        label: What the examples are called.
        progress: Told rollouts read and in all.
    """
    rows: dict[HookPoint, list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]] = {point: [] for point in points}
    for done, one in enumerate(rollouts, start=1):
        for point, value in inside.read(one.whole, points).items():
            rows[point].append(value[list(one.at)].float().cpu().numpy())
        if progress:
            progress(done, len(rollouts))
    y = [label for one in rollouts for label in one.y]
    problems = [one.problem_id for one in rollouts for _ in one.at]
    place = [(at - one.n_prompt, step) for one in rollouts for at, step in zip(one.at, one.steps, strict=True)]
    texts = [text for one in rollouts for text in one.texts]
    of = np.repeat(np.arange(len(rollouts)), [len(one.at) for one in rollouts])
    return {
        point: Examples.of(
            np.concatenate(rows[point]),
            y,
            problems,
            place=place,
            texts=texts,
            rollouts=of,
            label=label,
            hook=str(point),
        )
        for point in points
    }


def _meaning(label: str) -> str:
    return LABELS["category:NAME" if label.startswith("category:") else label]


Judge = Callable[[Problem, Rollout, Sequence[Step]], list[bool | None]]
"""Label of each step; None where it does not apply."""


def _judge(run: Run, label: str, scorer_id: str) -> Judge:
    if label == "correct":
        outcomes = {score.subject_id: score.value.get("outcome") for score in run.scores("rollout", scorer_id)}
        known = {"correct": True, "wrong": False, "unparsable": False}

        def by_outcome(problem: Problem, rollout: Rollout, steps: Sequence[Step]) -> list[bool | None]:
            return [known.get(str(outcomes.get(rollout.id)))] * len(steps)

        return by_outcome
    if label == "truncated":
        return lambda problem, rollout, steps: [rollout.finish_reason == "length"] * len(steps)
    kind, _, name = label.partition(":")
    if kind == "category" and name not in CATEGORIES:
        raise UserError(f"unknown category {name!r}: choose one of {', '.join(CATEGORIES)}")
    if label not in ("reachable", "reachable-ahead", "backtracks-next", "slips") and kind != "category":
        raise UserError(f"unknown label {label!r}: choose one of {', '.join(LABELS)}")

    def by_oracle(problem: Problem, rollout: Rollout, steps: Sequence[Step]) -> list[bool | None]:
        sentences = oracle_sentences(problem, steps)
        return [_read(label, name, sentences, i) for i in range(len(steps))]

    return by_oracle


def oracle_sentences(problem: Problem, steps: Sequence[Step]) -> list[LabelledStep | None]:
    """The tiny oracle's sentence that ends in each step (the last, where there are several); None elsewhere."""
    from cotlab import tiny

    task = tiny.problem_from_question(problem.question)
    if task is None:
        return [None] * len(steps)
    ends = np.cumsum([len(step.text) for step in steps])
    found: list[LabelledStep | None] = [None] * len(steps)
    for sentence in tiny.parse_chain(task, "".join(step.text for step in steps)):
        found[int(np.searchsorted(ends, sentence.end))] = sentence
    return found


def _read(label: str, name: str, sentences: Sequence[LabelledStep | None], i: int) -> bool | None:
    this = sentences[i]
    if this is None:
        return None
    if label == "slips":
        return this.slips > 0 if this.computations else None
    if label == "reachable":
        return this.reachable if this.committed else None
    if label == "reachable-ahead":
        return this.reachable if this.committed and this.computations else None
    if label == "backtracks-next":
        following = sentences[i + 1] if i + 1 < len(sentences) else None
        return None if following is None else following.backtracks
    return this.category == name


def chosen_rollouts(
    run: Run,
    owner: Mapping[str, str],
    n: int,
    seed: int,
    *,
    whole: bool = False,
    engine_card_id: str | None = None,
) -> Iterator[Rollout]:
    """Baseline rollouts, the same number of each problem as far as there are, chosen by a hash of id and seed.

    Args:
        run: Where they are.
        owner: Problem of each prefix.
        n: How many, of all problems.
        seed: Of the choice.
        whole: Only those from prompts.
        engine_card_id: Only those of one engine.

    Raises:
        DataError: There are no baseline rollouts.
    """
    prompts = (
        {row.id for row in run.prefixes() if row.kind == "root" and row.n_tokens == row.n_prompt}
        if whole
        else owner.keys()
    )
    by_problem: dict[str, list[str]] = {}
    for row in run.rollouts(intervention_id=Baseline().id, bodies=False):
        if row.prefix_id in prompts and engine_card_id in (None, row.engine_card_id):
            by_problem.setdefault(owner[row.prefix_id], []).append(row.id)
    if not by_problem:
        raise DataError(
            f"{run.path} has no such baseline rollouts" if whole else f"{run.path} has no baseline rollouts"
        )
    each = max(1, -(-n // len(by_problem)))
    for ids in by_problem.values():
        for rollout_id in sorted(ids, key=lambda one: content_id("probe", [seed, one]))[:each]:
            rollout = run.rollout(rollout_id)
            if rollout.token_ids is not None:
                yield rollout


def _labelled(
    whole: Prefix,
    problem_id: str,
    steps: Sequence[Step],
    labels: Sequence[bool | None],
    places: Sequence[int],
) -> LabelledRollout:
    return LabelledRollout(
        whole.token_ids,
        problem_id,
        tuple(whole.n_prompt + steps[i].end - 1 for i in places),
        tuple(bool(labels[i]) for i in places),
        tuple(places),
        tuple((steps[i - 1].text if i else "") + steps[i].text for i in places),
        whole.n_prompt,
        whole.images,
    )
