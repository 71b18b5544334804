"""Verdicts by class of answers; the worker is the real one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cotlab.chains.answer_judge import AnswerJudge
from cotlab.chains.answers import check_answer
from cotlab.chains.problem import Problem
from cotlab.errors import DataError

COUNTDOWN = {"numbers": [3, 5, 8], "target": 34}


@pytest.fixture(scope="module")
def judge() -> Iterator[AnswerJudge]:
    with AnswerJudge() as judge:
        yield judge


@pytest.fixture
def no_worker() -> Iterator[AnswerJudge]:
    with AnswerJudge() as judge:
        yield judge
        assert judge.starts == 0


@pytest.mark.parametrize(
    ("checker", "gold", "answer", "key", "outcome"),
    [
        ("math", "1/2", r"\frac12", "1/2", "correct"),
        ("math", "0.5", "1/2", "1/2", "correct"),
        ("math", "18", r"\$18", "18", "correct"),
        ("math", "5", "5 apples", "5", "correct"),
        ("math", "5", "7", "7", "wrong"),
        ("math", "no solution", r"\text{no solution}", "no solution", "correct"),
        ("math", None, "0.50", "1/2", "unjudged"),
        ("number", "1/2", "x = 0.5", "1/2", "correct"),
        ("number", "1200", "1,200 cm", "1200", "correct"),
        ("number", "5", "5 or 6", None, "unparsable"),
        ("number", "5", "five", None, "unparsable"),
        ("number", None, "3", "3", "unjudged"),
        ("exact", "blue", r"\text{blue}.", "blue", "correct"),
        ("exact", "blue", "Blue", "Blue", "wrong"),
        ("exact", None, "red", "red", "unjudged"),
        ("choice", "B", "(b)", "B", "correct"),
        ("choice", "B", r"\text{C}", "C", "wrong"),
        ("choice", "B", "B. because", "B", "correct"),
        ("choice", "B", "seven", None, "unparsable"),
        ("choice", None, "A", "A", "unjudged"),
    ],
)
def test_verdicts_without_the_worker(
    no_worker: AnswerJudge, checker: str, gold: str | None, answer: str, key: str | None, outcome: str
) -> None:
    verdict = check_answer(Problem("q", gold, checker), answer, no_worker)
    assert (verdict.key, verdict.outcome) == (key, outcome)


def test_the_text_of_a_choice_stands_for_its_letter(no_worker: AnswerJudge) -> None:
    problem = Problem("q", "seven", "choice", ("six", "seven"))
    assert check_answer(problem, "Seven", no_worker).to_json() == {"answer": "Seven", "key": "B", "outcome": "correct"}
    assert check_answer(problem, "A", no_worker).outcome == "wrong"
    assert check_answer(problem, "C", no_worker).outcome == "unparsable"


@pytest.mark.parametrize(
    ("answer", "key", "outcome"),
    [
        ("(5 * 8) - (3 + 3)", "34 (misused)", "wrong"),
        (r"5 \times 8 - 3", "37", "wrong"),
        ("34", "34 (misused)", "wrong"),
        ("5 / (8 - 8) + 3", "undefined (misused)", "wrong"),
        ("I give up", None, "unparsable"),
    ],
)
def test_countdown(no_worker: AnswerJudge, answer: str, key: str | None, outcome: str) -> None:
    verdict = check_answer(Problem("q", None, "countdown", meta=COUNTDOWN), answer, no_worker)
    assert (verdict.key, verdict.outcome) == (key, outcome)


def test_countdown_rules(no_worker: AnswerJudge) -> None:
    def outcome(answer: str, **rules: object) -> str:
        return check_answer(Problem("q", None, "countdown", meta={**COUNTDOWN, **rules}), answer, no_worker).outcome

    assert outcome("8 * 5 - 3", target=37) == "correct"
    assert outcome("8 * 5", target=40) == "wrong"
    assert outcome("8 * 5", target=40, use_all=False) == "correct"
    assert outcome("8 / 5 * 3", target="24/5") == "correct"
    assert outcome("8 / 5 * 3", target="24/5", operators="+-*") == "wrong"


@pytest.mark.parametrize(
    ("problem", "named"),
    [
        (Problem("q", "1", "maths", name="p7"), "problem 'p7': unknown checker 'maths'"),
        (Problem("q", "one", "number", name="p7"), "problem 'p7': gold answer 'one' is not a number"),
        (Problem("q", "seven", "choice", ("six",), name="p7"), "neither a letter"),
        (Problem("q", None, "countdown", name="p7"), "meta 'numbers' is None"),
        (Problem("q", None, "countdown", meta={"numbers": [1], "target": "x"}), "meta 'target' is 'x'"),
    ],
)
def test_a_problem_that_cannot_be_checked_is_named(no_worker: AnswerJudge, problem: Problem, named: str) -> None:
    with pytest.raises(DataError, match=named) as raised:
        check_answer(problem, "A" if problem.checker == "choice" else "1", no_worker)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("gold", "answer", "outcome"),
    [
        (r"\frac{\sqrt2}{2}", r"\frac{1}{\sqrt{2}}", "correct"),
        ("x+1", "1+x", "correct"),
        ("50", r"50\%", "correct"),
        ("2", "x=2", "correct"),
        ("1/3", "0.333333", "correct"),
        ("1/3", "0.3333", "wrong"),
        (r"\{1,2\}", r"\{2,1\}", "correct"),
        ("(1,2)", "(2,1)", "wrong"),
        (r"\pi", "2", "wrong"),
        ("3", "9**9**9**9", "unparsable"),
        ("3", r"\frac{", "unparsable"),
        ("3", "x" * 2000, "unparsable"),
    ],
)
def test_math_equality(judge: AnswerJudge, gold: str, answer: str, outcome: str) -> None:
    assert check_answer(Problem("q", gold), answer, judge).outcome == outcome


@pytest.mark.parametrize(
    "answers",
    [
        ["1/2", "0.5", r"\frac12", r"\frac{2}{4}", r"50\%", r"2^{-1}"],
        [r"\frac{\sqrt2}{2}", r"\frac{1}{\sqrt{2}}", r"\sqrt{\frac{1}{2}}"],
        ["(x+1)^2", "x^2+2x+1", "1+x(x+2)"],
        [r"\{1,2\}", r"\{2, 1\}"],
        ["x=2", "2", r"\frac{4}{2}"],
        [r"10^{20}", "100000000000000000000"],
    ],
)
def test_equal_answers_share_a_key_whatever_the_gold_answer(judge: AnswerJudge, answers: list[str]) -> None:
    for gold in (None, "77"):
        assert len({check_answer(Problem("q", gold), answer, judge).key for answer in answers}) == 1
    for gold in answers:
        verdicts = [check_answer(Problem("q", gold), answer, judge) for answer in answers]
        assert {verdict.outcome for verdict in verdicts} == {"correct"}
        assert len({verdict.key for verdict in verdicts}) == 1


def test_different_answers_have_different_keys(judge: AnswerJudge) -> None:
    answers = ["x", "x+1", "2x", r"\sqrt2", r"\sqrt3", "(1,2)", "(2,1)", "[1,2]", "none at all", "7", "-7", "x>2"]
    keys = [check_answer(Problem("q", "77"), answer, judge).key for answer in answers]
    assert None not in keys and len(set(keys)) == len(answers)


def test_hostile_answers_are_cut_short_and_the_next_one_is_judged() -> None:
    with AnswerJudge(seconds=1.0) as judge:
        start = time.monotonic()
        for hostile in ("9^{9^{9^{9}}}", "{" * 450 + "}" * 450):
            assert check_answer(Problem("q", "x"), hostile, judge).outcome == "unparsable"
        assert check_answer(Problem("q", "9^{9^{9^{9}}}"), "x+1", judge).outcome == "wrong"
        assert check_answer(Problem("q", "x+1"), "1+x", judge).outcome == "correct"
        assert 2 <= judge.starts <= 4
        assert time.monotonic() - start < 4 * 120


@pytest.mark.slow
def test_a_worker_that_was_killed_from_outside_is_started_again() -> None:
    with AnswerJudge() as judge:
        assert judge.math("x", "x") is not None
        assert judge._worker is not None
        judge._worker.kill()
        judge._worker.wait()
        judge.math("y", None)  # lost with the worker
        again = judge.math("1+z", "z+1")
        assert again is not None and again.equal


def test_the_worker_refuses_files_programs_and_the_network(tmp_path: Path) -> None:
    program = (
        "import sys, cotlab.chains.answer_worker as w; sys.addaudithook(w._refuse)\n"
        "import os, socket, subprocess\n"
        "def tries(f, *a):\n"
        "    try: f(*a)\n"
        "    except PermissionError as e: print('refused' if 'answer worker' in str(e) else 'os')\n"
        f"tries(open, {str(tmp_path / 'x')!r}, 'w')\n"
        "tries(os.system, 'true'); tries(subprocess.run, ['true']); tries(os.remove, 'nothing')\n"
        "tries(lambda: socket.socket().connect(('127.0.0.1', 9)))\n"
        "open(w.__file__).close(); print('read')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 5 + ["read"]


def test_importing_scorers_does_not_import_sympy() -> None:
    program = (
        "import sys, cotlab.chains.scorers; print([m for m in ('sympy', 'math_verify', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
