from __future__ import annotations

import random
from dataclasses import replace

import pytest

from cotlab.chains.answer_judge import AnswerJudge
from cotlab.chains.answers import check_answer
from cotlab.chains.scorers import AnswerScorer, Response
from cotlab.errors import DataError
from cotlab.problems import PROBLEM_SETS, load_problems, parse_transcript, problem_from_text

# Worked out again, by hand, in the order of the file.
WORD_PROBLEMS = [
    6 * 8 - 5,
    12 * 4 - (31 + 9 - 6),
    2 * (9 + 5) - 2,
    3 * 4 * 15,
    (17 + 24 + 19) / 3,
    (2 * 21 + 2 * 35) / 14,
    95 + 25 - 10,
    150 - 12 * 12,
    25 * (14 + 7),
    50 - (2 * 7 + 3 * 4),
    (30 - 12) / 2,
    7 + 1,  # 29 pupils fill 7 boats of 4, and one is left
    84 / 7 - 1,
    (23 + 18 + 31 + 12) / 4,
    (240 - 240 / 3) / 8,
    18 + 21 + 24 + 27,
    80 - 20 - 10,
    (40 - 5 - 5 - 4) / 2,
    16 * 9 - 27 + 40,
    72 / (16 + 20),
]


def test_the_answers_of_the_word_problems() -> None:
    problems = load_problems("word-problems")
    assert [float(problem.answer or "nan") for problem in problems] == WORD_PROBLEMS
    assert len({problem.id for problem in problems}) == len({problem.name for problem in problems}) == 20
    assert load_problems("word-problems", n=3) == problems[:3]


@pytest.mark.parametrize("spec", ["countdown", "solve", "tiny", "arithmetic", "arithmetic:hard"])
def test_generated_sets_are_seeded_and_their_own_answers_are_right(spec: str) -> None:
    problems = load_problems(spec, n=12, seed=4)
    assert problems == load_problems(spec, n=12, seed=4)
    assert problems != load_problems(spec, n=12, seed=5)
    assert len({problem.id for problem in problems}) == len({problem.name for problem in problems}) == 12
    scorer = AnswerScorer()
    for problem in problems:
        said = [Response(rf"hm</think> The answer is \boxed{{{problem.answer}}}."), Response(r"</think> \boxed{1 + 1}")]
        assert [value["outcome"] for value in scorer.score(problem, said)][0] == "correct"
        assert scorer.score(problem, said)[1]["outcome"] != "correct"


def test_tiny_problems_are_held_out_and_known_to_the_oracle() -> None:
    from cotlab import tiny

    for problem in load_problems("tiny", n=30):
        task = tiny.problem_from_question(problem.question)
        assert task is not None and task.split == "heldout" and task.family == problem.meta["family"]
        chain = tiny.write_chain(task, random.Random(1)).text
        outcome = AnswerScorer().score(problem, [Response(chain, thinking=True)])[0]["outcome"]
        assert (outcome == "correct") == bool(tiny.check_answer(task, chain))


def test_arithmetic_levels_take_turns() -> None:
    levels = [problem.meta["level"] for problem in load_problems("arithmetic", n=6)]
    assert levels == ["easy", "medium", "hard"] * 2


@pytest.mark.parametrize(
    ("spec", "n", "named"),
    [
        ("sudoku", None, "unknown problem set 'sudoku': choose one of countdown"),
        ("arithmetic:brutal", None, "no level 'brutal': choose one of easy, medium, hard"),
        ("reasoning-gym:", None, "unknown problem set"),
        ("countdown", 0, "n is 0"),
        ("arithmetic:easy", 100_000, "at most 5000 problems at once: ask for fewer"),
        ("solve", 900, "900 solve problems: .* ask for fewer"),
    ],
)
def test_what_there_is_not(spec: str, n: int | None, named: str) -> None:
    with pytest.raises(DataError, match=named) as error:
        load_problems(spec, n=n)
    assert "\n" not in str(error.value)
    assert set(PROBLEM_SETS) >= {"countdown", "word-problems"}


def test_one_question() -> None:
    problem = problem_from_text("What is 2 + 2?", "4")
    assert (problem.question, problem.answer, problem.checker) == ("What is 2 + 2?", "4", "math")
    assert problem_from_text("Why?").answer is None
    assert problem_from_text("Why?", "yes", "exact").checker == "exact"
    with pytest.raises(DataError, match="question ' '"):
        problem_from_text(" ", "4")
    with pytest.raises(DataError, match="checker is 'maths': choose one of math"):
        problem_from_text("Why?", "4", "maths")


def test_a_question_of_the_tiny_reasoner_is_recognised() -> None:
    asked = load_problems("countdown", n=1)[0]
    assert problem_from_text(asked.question).id == asked.id
    assert problem_from_text(asked.question, str(asked.meta["target"])).id == asked.id


def test_an_answer_beside_a_task_is_checked_by_its_rule() -> None:
    question = "Use 3, 5 and 7 once each with +, - or * to get 22."
    problem = problem_from_text(question, "(3 * 5) + 7")
    assert (problem.checker, problem.answer) == ("countdown", "(3 * 5) + 7")
    assert check_answer(problem, "7 + 5 * 3", AnswerJudge()).outcome == "correct"
    assert check_answer(problem, "22", AnswerJudge()).outcome == "wrong"  # no expression of the three
    transcript = parse_transcript(f"{question}\n\n<think>\nHm.\n</think>\n\\boxed{{22}}", answer="(3 * 5) + 7")
    assert transcript.problem == replace(problem, name="transcript")
    with pytest.raises(DataError, match=r"answer '3 \+ 5' is not right for"):
        problem_from_text(question, "3 + 5")
    solve = load_problems("solve", n=1)[0]
    with pytest.raises(DataError, match="answer '12345' is not right"):
        problem_from_text(solve.question, "12345")
    assert problem_from_text(solve.question, solve.answer).checker == "number"


@pytest.mark.slow
def test_reasoning_gym_checks_its_own_problems() -> None:
    pytest.importorskip("reasoning_gym")
    problem = load_problems("reasoning-gym:countdown", n=2, seed=1)[1]
    assert problem == load_problems("reasoning-gym:countdown", n=2, seed=1)[1]
    with AnswerJudge() as judge:
        right = check_answer(problem, "".join((problem.answer or "").split()), judge)
        wrong = check_answer(problem, "1 + 1", judge)
        assert (right.outcome, wrong.outcome) == ("correct", "wrong")
        assert judge.starts == 1
        changed = type(problem)(problem.question + "!", problem.answer, problem.checker, meta=problem.meta)
        with pytest.raises(DataError, match="generates another question"):
            check_answer(changed, "1 + 1", judge)
    with pytest.raises(DataError, match="no data set 'countdwn': choose for example countdown"):
        load_problems("reasoning-gym:countdwn", n=1)


def test_reasoning_gym_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym", None)
    with pytest.raises(DataError, match="reasoning-gym is not installed: install cotlab's extra 'problems'"):
        load_problems("reasoning-gym:countdown", n=1)
