"""The math scorer against published verdicts: the base solutions of Thought Anchors' traces, right and wrong."""

import json
from pathlib import Path

import pytest

from cotlab.chains import AnswerScorer, Problem, Response

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TRACES = sorted(SHARED.glob("thought-anchors*/*/*_base_solution/problem_*/base_solution.json"))

pytestmark = pytest.mark.skipif(not TRACES, reason="the published Thought Anchors traces are not here")


def test_verdicts_on_base_solutions_are_the_published_ones() -> None:
    disagree, n_right = [], 0
    with AnswerScorer() as scorer:
        for path in TRACES:
            base = json.loads(path.read_text())
            told = json.loads(path.with_name("problem.json").read_text())
            problem = Problem(told["problem"], told["gt_answer"], "math")
            assert base["prompt"].rstrip().endswith("<think>")
            verdict = scorer.verdict(problem, Response(base["full_cot"].removeprefix(base["prompt"]), thinking=True))
            n_right += verdict.outcome == "correct"
            same = verdict.outcome == ("correct" if base["is_correct"] else "wrong")
            if not (same and verdict.answer == base["answer"]):
                disagree.append((str(path.parent), verdict, base["answer"], base["is_correct"]))
    assert not disagree
    assert 10 < n_right < len(TRACES) - 10


def test_reference_solutions_are_right() -> None:
    with AnswerScorer() as scorer:
        for path in TRACES:
            told = json.loads(path.with_name("problem.json").read_text())
            problem = Problem(told["problem"], told["gt_answer"], "math")
            assert scorer.verdict(problem, Response(told["gt_solution"])).outcome == "correct", path
