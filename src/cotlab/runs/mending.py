"""Mending the gold answer of a problem in a run: what was sampled stays, verdicts by the old one are set aside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cotlab.chains.problem import Problem
from cotlab.errors import RunError
from cotlab.runs.codecs import pack_json, pack_text
from cotlab.runs.database import Database
from cotlab.runs.scores import FORMER

if TYPE_CHECKING:
    from cotlab.runs.run import Run

__all__ = ["mend_problem"]


def mend_problem(run: Run, problem_id: str, mended: Problem) -> tuple[Problem, list[str]]:
    """Put another gold answer (or checker, or what the checker needs) in the place of that of a problem.

    Rollouts, prefixes and chains stay. Outcomes that scorers gave by the old gold answer are kept as those of scorer
    `former:<start of the old problem's id>:<scorer>`, so that the rollouts are unscored again for the scorer itself.
    A note says what was changed. All or nothing.

    Args:
        run: Open for writing.
        problem_id: Problem in the run.
        mended: The same question with the same choices and images; its name is not taken over.

    Returns:
        The problem as it is now, and the scorers whose outcomes were set aside.

    Raises:
        RunError: The problem is not in the run, or the other one has another prompt.
    """
    old = run.problems().get(problem_id)
    if old is None:
        raise RunError(f"problem {problem_id} is not in the run {run.path}: `cotlab runs show` tells what is")
    if (old.question, old.choices, old.images) != (mended.question, mended.choices, mended.images):
        raise RunError(f"problem {problem_id} asks something else than {mended.question[:60]!r}: that needs a new run")
    mended = replace(mended, name=old.name)
    with run.transaction():
        key = run._db.key("problem", problem_id)
        aside = _set_aside(run._db, key, problem_id)
        _replace(run._db, key, mended)
        run.add_note(
            f"gold answer mended: {old.answer!r} ({old.checker}, problem {old.id}) became {mended.answer!r} "
            f"({mended.checker}); set aside: {', '.join(aside) or 'nothing'}",
            subject=mended.id,
        )
    return mended, aside


def _set_aside(db: Database, problem: int, problem_id: str) -> list[str]:
    of_problem = "SELECT rollout.key FROM rollout JOIN prefix ON prefix.key = rollout.prefix WHERE prefix.problem = ?"
    outcomes = (
        f"subject_kind = 'rollout' AND json_extract(value, '$.outcome') IS NOT NULL AND subject IN ({of_problem})"
    )
    found = [
        scorer
        for (scorer,) in db.query(
            f"SELECT id FROM scorer WHERE key IN (SELECT scorer FROM score WHERE {outcomes}) ORDER BY key", (problem,)
        )
        if not scorer.startswith(FORMER)
    ]
    for scorer in found:
        former = f"{FORMER}{problem_id[:8]}:{scorer}"
        db.execute("INSERT INTO scorer(id) VALUES (?) ON CONFLICT(id) DO NOTHING", (former,))
        db.execute(
            f"UPDATE OR REPLACE score SET scorer = ? WHERE scorer = ? AND {outcomes}",
            (db.key("scorer", former), db.key("scorer", scorer), problem),
        )
    return found


def _replace(db: Database, key: int, mended: Problem) -> None:
    there = db.query("SELECT key FROM problem WHERE id = ?", (mended.id,))
    if there:  # asked in this run as well, without having got this prompt
        for table in ("prefix", "chain"):
            db.execute(f"UPDATE {table} SET problem = ? WHERE problem = ?", (there[0][0], key))
        db.execute("DELETE FROM problem WHERE key = ?", (key,))
        return
    answer = None if mended.answer is None else pack_text(mended.answer)
    db.execute(
        "UPDATE problem SET id = ?, answer = ?, checker = ?, meta = ? WHERE key = ?",
        (mended.id, answer, mended.checker, pack_json(dict(mended.meta)), key),
    )
