"""Wrong gold answers in a run, mended: judged anew, nothing sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cotlab.chains.answers import gold_fault
from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.problem import Problem
from cotlab.chains.scorers import Scorer
from cotlab.errors import DataError, UserError
from cotlab.problems import gold_answer
from cotlab.runs import Run, mend_problem
from cotlab.runs.scores import FORMER
from cotlab.sampling.progress import Progress
from cotlab.sampling.scoring import score_run

__all__ = ["MendedGold", "mend_gold", "with_answer"]

NAMED = 5
"""Problems that a message names."""


@dataclass(frozen=True, slots=True)
class MendedGold:
    """What mending did."""

    problems: tuple[tuple[Problem, Problem], ...]
    """Each as it was and as it is."""
    scored: dict[str, int]
    """Rollouts that each scorer has judged now."""
    left: tuple[str, ...]
    """Scorers whose verdicts were set aside and that cannot be found here: score with them again."""


def with_answer(run: Run, answer: str, chosen: str | None = None) -> Problem:
    """A problem of a run with another gold answer.

    Args:
        run: The run.
        answer: As in a problem file.
        chosen: Name of the problem, or how its id starts; needed where the run has several.

    Raises:
        UserError: There is no such problem, there are several, or its checker has no use for the answer.
    """
    asked = _asked(run)
    found = [p for p in asked if chosen in (None, p.name) or p.id.startswith(chosen or "")]
    if len(found) != 1:
        named = ", ".join(p.name or p.id[:8] for p in asked[:NAMED]) + (", …" if len(asked) > NAMED else "")
        what = f"{len(found)} problems" + (f" '{chosen}'" if chosen else "")
        raise UserError(f"{run.path} has {what}. Choose one with --problem: {named or 'none'}")
    problem = replace(found[0], answer=gold_answer(answer))
    if fault := gold_fault(problem):
        raise DataError(f"problem {problem.name or problem.id[:8]!r}: {fault}")
    return problem


def mend_gold(run: Run, golds: Sequence[Problem], *, progress: Progress | None = None) -> MendedGold:
    """Put the gold answers of `golds` in the place of those of the same questions, and judge these rollouts again.

    Args:
        run: Open for writing.
        golds: Problems as they should be; those without an answer, or not in the run, are passed over. One without
            images stands for the question with its images, where the run asks it of one set of images alone.
        progress: Told how scoring goes.

    Raises:
        UserError: None of them is in the run, or the run asks the question of several images and no image is named.
    """
    pairs = _matched(_asked(run), [p for p in golds if p.answer is not None])
    if not pairs:
        raise UserError(
            f"none of {len(golds)} problems with an answer is in {run.path}. Give the same questions, "
            "with the same images where they show any"
        )
    scorers, mended, aside = _scorers(run), [], dict[str, None]()
    with run.transaction():
        for old, new in pairs:
            if old.id != new.id:
                problem, judged_by = mend_problem(run, old.id, new)
                mended.append((old, problem))
                aside |= dict.fromkeys(judged_by)
    # Also what an earlier call set aside and was killed before it judged again.
    due = [*aside, *(name.split(":", 2)[2] for name in run.scorers() if name.startswith(FORMER))]
    scored = {key: score_run(run, scorers[key], progress=progress) for key in dict.fromkeys(due) if key in scorers}
    return MendedGold(tuple(mended), scored, tuple(key for key in aside if key not in scorers))


def _matched(asked: Sequence[Problem], golds: Sequence[Problem]) -> list[tuple[Problem, Problem]]:
    """Each problem of a run that has a gold answer, with it."""
    wanted = {_asks(p): p for p in golds}
    alike = Counter(_asks(p)[:2] for p in asked)
    found = []
    for problem in asked:
        bare = wanted.get((problem.question, problem.choices, ()))
        if (same := wanted.get(_asks(problem))) is not None:
            found.append((problem, same))
        elif bare is not None:
            if alike[_asks(problem)[:2]] > 1:
                raise UserError(
                    f"the run asks {problem.question[:60]!r} of several images, and the gold answer names none: give "
                    "each with its image"
                )
            found.append((problem, replace(bare, images=problem.images)))
    return found


def _asks(problem: Problem) -> tuple[object, ...]:
    """What a gold answer is an answer to."""
    return problem.question, problem.choices, problem.images


def _asked(run: Run) -> list[Problem]:
    """Problems that have prefixes."""
    begun = {row.problem_id for row in run.prefixes()}
    return [problem for key, problem in run.problems().items() if key in begun]


def _scorers(run: Run) -> dict[str, Scorer]:
    """The scorers of the run's studies, by id, as far as they can be found here."""
    names = ["answers", *((study.spec.get("asked") or {}).get("scorer") for study in run.studies())]
    found: dict[str, Scorer] = {}
    for name in dict.fromkeys(name for name in names if isinstance(name, str)):
        try:
            scorer = load_scorer(name)
        except UserError:  # its file is elsewhere now: told as `left`, where it had given verdicts
            continue
        found[scorer.id] = scorer
    return found
