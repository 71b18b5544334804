from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotlab.chains.answer_judge import AnswerJudge
from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.problem import Problem
from cotlab.chains.scorers import AnswerScorer, Response, Scorer
from cotlab.chains.think import ThinkTags
from cotlab.errors import UserError

FIVE = Problem("What is 2 + 3?", "5", name="five")
CHECKERS = st.sampled_from(["number", "choice", "countdown", "exact"])


def outcomes(scorer: Scorer, *responses: Response) -> list[str]:
    return [value["outcome"] for value in scorer.score(FIVE, responses)]


def test_the_answer_part_decides() -> None:
    scorer = AnswerScorer()
    assert scorer.score(FIVE, [Response(r"\boxed{4}?</think>It is \boxed{5}.")]) == [
        {"answer": "5", "key": "5", "outcome": "correct"}
    ]
    assert outcomes(
        scorer,
        Response("7, no, 5</think> The answer is 5."),
        Response(r"so \boxed{5} </think> done"),
        Response("5, or 4</think> I give up."),
        Response("it is 5", thinking=True),
        Response(r"it is \boxed{5}", thinking=True),
        Response("it is 5"),
        Response("<think>it is 5"),
    ) == ["correct", "correct", "unparsable", "unparsable", "correct", "correct", "unparsable"]


def test_truncated_is_never_wrong_and_never_right() -> None:
    responses = [Response(rf"</think>\boxed{{{number}}} and", "length") for number in (4, 5)]
    expected = {"answer": None, "key": None, "outcome": "truncated"}
    assert AnswerScorer().score(FIVE, responses) == [expected, expected]


def test_extractors_and_tags_can_be_chosen_and_enter_the_id() -> None:
    text = r"[T]\boxed{4}[/T] The answer is 5, seen 3 times"
    assert outcomes(AnswerScorer(["phrase"], ThinkTags("[T]", "[/T]")), Response(text)) == ["correct"]
    assert outcomes(AnswerScorer(["last-number"], ThinkTags("[T]", "[/T]")), Response(text)) == ["wrong"]
    ids = [
        scorer.id
        for scorer in (
            AnswerScorer(),
            AnswerScorer(["boxed", "phrase"]),
            AnswerScorer(tags=ThinkTags("[T]", "[/T]")),
            load_scorer("answers"),
            load_scorer("answers:boxed+phrase"),
        )
    ]
    assert ids == ["answers/1", "answers/1:boxed+phrase", "answers/1@[T][/T]", "answers/1", "answers/1:boxed+phrase"]
    with pytest.raises(UserError, match="unknown extractor 'box': choose from boxed, "):
        load_scorer("answers:box")


@settings(deadline=None)
@given(
    CHECKERS, st.text() | st.text(st.sampled_from("\\boxed{}ABCJ0123456789+-*/=(). </think>answer is"), max_size=120)
)
def test_any_response_gets_a_verdict(checker: str, text: str) -> None:
    gold = {"number": "5", "choice": "B"}.get(checker)
    problem = Problem("q", gold, checker, meta={"numbers": [2, 3], "target": 5})
    scorer = AnswerScorer()
    (value,) = scorer.score(problem, [Response(text)])
    assert value["outcome"] in ("correct", "wrong", "unparsable", "unjudged")
    assert (value["key"] is None) == (value["outcome"] == "unparsable")


def test_twenty_thousand_tiny_responses_agree_with_the_oracle() -> None:
    from cotlab import tiny
    from cotlab.problems.tasks import tiny_problem

    rng = random.Random(0)
    tasks = tiny.generate_problems(100, seed=3, split="heldout")
    texts = [[tiny.write_chain(task, rng).text for _ in range(20)] for task in tasks]
    scorer = AnswerScorer()
    seconds = 0.0
    for task, chains in zip(tasks, texts, strict=True):
        problem, responses = tiny_problem(task, "x"), [Response(text, thinking=True) for text in chains]
        start = time.process_time()
        values = scorer.score(problem, responses * 10)
        seconds += time.process_time() - start
        right = [tiny.check_answer(task, text) for text in chains]
        assert [value["outcome"] == "correct" for value in values] == [bool(known) for known in right] * 10
    assert seconds < 5
    assert isinstance(scorer.judge, AnswerJudge) and scorer.judge.starts == 0


OWN = """
from cotlab.chains.scorers import Response

class Short:
    id = "short/2"
    def score(self, problem, responses):
        return [len(response.text) < 5 for response in responses]

def exact(problem, response):
    return response.text == problem.answer

def share(problem, response):
    return 0.25 if response.text else 1

def verdict(problem, response):
    return {"answer": response.text, "key": response.text.lower(), "outcome": "wrong", "words": [1, None]}

def odd(problem, response):
    return RETURNED

def broken(problem, response):
    return 1 / 0

def fewer(): ...
fewer.id, fewer.score = "fewer/1", lambda problem, responses: [True]
number = 3
"""


def own(tmp_path: Path, attribute: str, returned: str = "None") -> Any:
    path = tmp_path / "own.py"
    path.write_text(OWN.replace("RETURNED", returned))
    return load_scorer(f"{path}:{attribute}")


def test_own_scorers_of_every_kind(tmp_path: Path) -> None:
    responses = [Response("5"), Response("", "length"), Response("longer")]
    assert outcomes(own(tmp_path, "exact"), *responses) == ["correct", "truncated", "wrong"]
    assert outcomes(own(tmp_path, "Short"), *responses) == ["correct", "truncated", "wrong"]
    assert own(tmp_path, "share").score(FIVE, responses[:1]) == [
        {"answer": None, "key": None, "outcome": "wrong", "score": 0.25}
    ]
    assert own(tmp_path, "verdict").score(FIVE, responses)[1:] == [
        {"answer": "", "key": "", "outcome": "truncated", "words": [1, None]},
        {"answer": "longer", "key": "longer", "outcome": "wrong", "words": [1, None]},
    ]


def test_a_changed_file_is_another_scorer(tmp_path: Path) -> None:
    first, again = own(tmp_path, "Short").id, own(tmp_path, "Short").id
    assert first == again and first.startswith("short/2@")
    assert own(tmp_path, "Short", "2").id != first
    assert own(tmp_path, "exact").id.startswith("exact@")


@pytest.mark.parametrize(
    "returned",
    [
        "None",
        "'yes'",
        "1.5",
        "{'answer': '5'}",
        "{'outcome': 'ok'}",
        "float('nan')",
        "{'outcome': 'wrong', 'x': {1}}",
        "{'outcome': 'correct', 'x': float('nan')}",
        "{'outcome': 'correct', 'x': [{'y': float('-inf')}]}",
    ],
)
def test_what_an_own_scorer_returns_is_checked(tmp_path: Path, returned: str) -> None:
    with pytest.raises(
        UserError, match=r"scorer odd returned .* for response 0 to problem 'five': return True"
    ) as error:
        own(tmp_path, "odd", returned).score(FIVE, [Response("5")])
    assert "\n" not in str(error.value)


def test_faults_of_own_scorers_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"broken raised ZeroDivisionError: .* on response 0 of 1 to problem 'five'"):
        own(tmp_path, "broken").score(FIVE, [Response("5")])
    with pytest.raises(UserError, match=r"fewer/1 returned \[True\] for 2 responses"):
        own(tmp_path, "fewer").score(FIVE, [Response("5"), Response("6")])


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("nonsense", "unknown scorer 'nonsense'"),
        ("no.such.module:thing", "cannot be imported"),
        ("no-such-file.py:thing", "does not exist"),
        ("cotlab.chains.scorers:nothing", "has no 'nothing'"),
        ("cotlab.chains.own_scorer:CACHE", "has no 'CACHE'"),
        (":", "unknown scorer ':'"),
    ],
)
def test_unknown_scorers(spec: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        load_scorer(spec)


def test_an_attribute_that_is_no_scorer(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is 3: name a callable"):
        own(tmp_path, "number")


def test_a_file_that_does_not_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("def broken(:\n")
    with pytest.raises(UserError, match="cannot be imported.*SyntaxError"):
        load_scorer(f"{path}:x")
