"""Answers to yes-or-no questions under views, one row a question and view: what the studies of images stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cotlab.chains.answer_odds import AnswerOdds
from cotlab.chains.problem import Problem
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.yes_no import YesNo
from cotlab.errors import UserError
from cotlab.interventions.base import Baseline
from cotlab.problems import OWN, View, gold_of, pope_ids
from cotlab.runs import Run, Study
from cotlab.sampling import VIEWS_STUDY, odds_id
from cotlab.stats import Estimate, holm
from cotlab.trees import resolve_scorer

__all__ = ["Contrast", "YesNoRow", "drawn_with", "of_view", "paired_counts", "pairs_of", "with_holm", "yes_no_rows"]

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class YesNoRow:
    """One question under one view."""

    problem: str
    """Id of the question as it is in its set."""
    image: str
    """Id of the question's own image."""
    view: View
    gold: YesNo
    """Right under the question's own view."""
    truth: YesNo | None
    """Right under this view; None where nothing tells."""
    said: tuple[YesNo | None, ...] = ()
    """What the rollouts answered; None: not read."""
    odds: AnswerOdds | None = None
    splits: Mapping[str, int] = field(default_factory=dict)
    """How often it comes up in each split of a POPE set."""
    shared: str | None = None
    """Prompt of this view where questions on several images come down to it (no image, the same words): their answers
    are the same ones."""

    @property
    def drawn(self) -> str:
        """What is drawn again as a whole: the image, or the prompt that several images share."""
        return self.shared or self.image

    @property
    def p_yes(self) -> float | None:
        """P(yes) of yes and no before any thought; None where it was not read."""
        return None if self.odds is None else self.odds.p_yes

    @property
    def answer(self) -> YesNo | None:
        """The likelier answer: no sampling in it."""
        return None if self.p_yes is None else "yes" if self.p_yes >= 0.5 else "no"


@dataclass(frozen=True, slots=True)
class Contrast:
    """What changes from one view to another."""

    measure: str
    """`P(yes)`, `says yes` (of rollouts) or `errs`."""
    gold: YesNo
    """Questions with this right answer."""
    first: View
    second: View
    difference: Estimate
    """Second minus first, questions paired; `q` is p after Holm's rule over the family."""

    @property
    def name(self) -> str:
        """`masked − elsewhere`."""
        return f"{self.second.name} − {self.first.name}"

    @property
    def shown(self) -> int:
        """1 or −1: direction of a difference that is shown (q below 5%, interval on that side); else 0."""
        one = self.difference
        if one.q is None or one.q >= ALPHA or one.low is None or one.high is None:
            return 0
        return 1 if one.low > 0 else -1 if one.high < 0 else 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "first": self.first.name, "second": self.second.name, "shown": self.shown}


def with_holm(found: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """The same with q over the whole family; what has no p is no test."""
    adjusted = iter(holm([one.difference.p for one in found if one.difference.p is not None]))
    return tuple(
        one if one.difference.p is None else replace(one, difference=replace(one.difference, q=next(adjusted)))
        for one in found
    )


def yes_no_rows(run: Run, *, scorer_id: str = "answers") -> list[YesNoRow]:
    """Questions of a run under every view that was asked, in the order of the set.

    Rollouts are those of the last study of views: its settings and engine, as many as it asked of each.

    Raises:
        UserError: The run holds no study of views, or nobody of that name has scored.
    """
    study = _last_study(run)
    spec = dict(study.spec["settings"])
    settings = SamplingSettings(**{**spec, "stop": tuple(spec["stop"])})
    card = str(study.spec["engine_card"])
    said = _said(run, resolve_scorer(run, scorer_id), settings, card, int(study.spec["n"]))
    scores = run.scores("prefix", odds_id(card))
    odds = {score.subject_id: AnswerOdds(score.value["yes"], score.value["no"]) for score in scores}
    problems, rows = run.problems(), list[YesNoRow]()
    asked = list(_asked(run, problems))
    shown: dict[str, set[str]] = {}
    for prompt_id, problem, prefix_id, _, _ in asked:
        shown.setdefault(prefix_id, set()).add(problem.images[0].id if problem.images else prompt_id)
    for prompt_id, problem, prefix_id, view, truth in asked:
        images = [image.id for image in problem.images]
        rows.append(
            YesNoRow(
                problem.id,
                images[0] if images else prompt_id,
                view,
                gold_of(problem),
                truth,
                said.get(prefix_id, ()),
                odds.get(prefix_id),
                {split: len(ids) for split, ids in pope_ids(problem).items()},
                prefix_id if view.image == "none" and len(shown[prefix_id]) > 1 else None,
            )
        )
    return rows


def of_view(rows: Iterable[YesNoRow], view: View, gold: YesNo | None = None) -> list[YesNoRow]:
    """Rows of one view, of questions with one right answer where that is given."""
    return [row for row in rows if row.view == view and gold in (None, row.gold)]


def pairs_of(rows: Iterable[YesNoRow], gold: YesNo, first: View, second: View) -> list[tuple[YesNoRow, YesNoRow]]:
    """The same questions under both views."""
    listed = list(rows)
    other = {row.problem: row for row in of_view(listed, second, gold)}
    return [(row, other[row.problem]) for row in of_view(listed, first, gold) if row.problem in other]


def drawn_with(first: YesNoRow, second: YesNoRow) -> str:
    """What a question under two views is drawn again with: its image, or a prompt that other images share."""
    return first.shared or second.drawn


def paired_counts(
    rows: Iterable[YesNoRow], gold: YesNo, first: View, second: View, trials: Callable[[YesNoRow], Sequence[bool]]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """[successes, trials] under both views, over questions that have trials under both.

    By image; questions whose prompt under a view is shared by several images (`YesNoRow.shared`) by that prompt.
    """
    counts: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
    for pair in pairs_of(rows, gold, first, second):
        found = [trials(row) for row in pair]
        if all(found):
            for one, arm in zip(found, counts, strict=True):
                entry = arm.setdefault(drawn_with(*pair), [0, 0])
                entry[0] += sum(one)
                entry[1] += len(one)
    return counts


def _asked(run: Run, problems: Mapping[str, Problem]) -> Iterable[tuple[str, Problem, str, View, YesNo | None]]:
    """(own prompt, problem, prompt, view, truth) of every question and view."""
    changed: dict[str, list[tuple[str, View, YesNo | None]]] = {}
    for edge in run.edges():
        if edge.kind == "edit" and isinstance(edge.spec, Mapping) and edge.spec.get("kind") == VIEWS_STUDY:
            one = edge.child_id, View.parse(edge.spec["view"]), edge.spec["truth"]
            changed.setdefault(edge.parent_id, []).append(one)
    for prefix in run.prefixes():
        problem = problems[prefix.problem_id]
        if prefix.kind == "root" and problem.checker == "yes-no":
            yield prefix.id, problem, prefix.id, OWN, gold_of(problem)
            for child, view, truth in changed.get(prefix.id, ()):
                yield prefix.id, problem, child, view, truth


def _said(run: Run, scorer: str, settings: SamplingSettings, card: str, n: int) -> dict[str, tuple[YesNo | None, ...]]:
    """What the first n rollouts of each prompt answered; prompts that lack some are left out."""
    found: dict[str, dict[int, YesNo | None]] = {}
    under = {"settings_id": settings.id, "engine_card_id": card, "intervention_id": Baseline().id}
    for row in run.outcome_rows(scorer, **under):
        if row.sample_idx < n:
            found.setdefault(row.prefix_id, {})[row.sample_idx] = row.value["key"]
    return {prefix: tuple(keys[i] for i in range(n)) for prefix, keys in found.items() if len(keys) == n}


def _last_study(run: Run) -> Study:
    studies = [study for study in run.studies() if study.spec.get("kind") == VIEWS_STUDY]
    if not studies:
        raise UserError(f"{run.path} holds no study of images. Ask first: cotlab vision pope --run {run.path} …")
    return studies[-1]
