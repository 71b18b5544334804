"""What each step of a chain does: by the oracle where the task has one, else by the category model."""

from __future__ import annotations

from typing import Any

from cotlab.categories import CategoryModel, score_chain
from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.chains.problem import Problem
from cotlab.chains.score import Score, step_subject
from cotlab.runs import Run

__all__ = ["ORACLE_ID", "label_chain", "label_steps"]

ORACLE_ID = "tiny-oracle/1"
"""Scorer of the steps of the tiny reasoner's tasks."""


def label_steps(run: Run, chain: Chain, problem: Problem) -> None:
    """Exact labels where there are any, else what the category model says; steps that are tokens get none."""
    if not label_chain(run, chain, problem) and get_cutter(chain.cutter_id).rule is not None:
        score_chain(run, chain, problem, CategoryModel.load())


def label_chain(run: Run, chain: Chain, problem: Problem) -> bool:
    """Store category, backtracking, reachability, slips and state of every step, read by the oracle.

    A step that holds several of the oracle's sentences takes the labels of the last; one that holds none is unknown.

    Returns:
        Whether the problem is one of the tiny reasoner's tasks; else nothing is stored.
    """
    from cotlab import tiny

    task = tiny.problem_from_question(problem.question)
    if task is None:
        return False
    sentences = tiny.parse_chain(task, "".join(step.text for step in chain.steps))
    scores, start = [], 0
    for step in chain.steps:
        end = start + len(step.text)
        inside = [sentence for sentence in sentences if start < sentence.end <= end]
        value: dict[str, Any] = {
            "category": "unknown",
            "backtracks": None,
            "reachable": None,
            "slips": None,
            "state": None,
        }
        if inside:
            last = inside[-1]
            value = {
                "category": last.category,
                "backtracks": any(sentence.backtracks for sentence in inside),
                "reachable": last.reachable,
                "slips": sum(sentence.slips for sentence in inside),
                "state": last.state,
            }
        scores.append(Score("step", step_subject(chain.id, step.idx), ORACLE_ID, value))
        start = end
    run.add_scores(scores)
    return True
