"""Problems are solvable, parse back from their question, and keep the two splits apart."""

import random

import pytest

from cotlab import tiny


def test_problems_parse_back_from_their_question() -> None:
    for task in tiny.generate_problems(500, seed=3):
        assert tiny.problem_from_question(task.question) == task
    assert tiny.problem_from_question("What is the capital of France?") is None
    assert tiny.problem_from_question("Make 35 from 2, 3 and 4 with +, - and *, using each number once.") is None


def test_splits_never_share_a_problem() -> None:
    train = {task.key for task in tiny.generate_problems(3000, seed=1)}
    heldout = [task.key for task in tiny.generate_problems(300, seed=1, split="heldout")]
    assert not train & set(heldout)
    assert len(set(heldout)) == 300


def test_equal_seeds_give_equal_problems_and_chains() -> None:
    assert tiny.generate_problems(20, seed=5) == tiny.generate_problems(20, seed=5)
    assert tiny.generate_problems(20, seed=5) != tiny.generate_problems(20, seed=6)
    task = tiny.generate_problems(1, seed=5)[0]
    assert tiny.write_chain(task, random.Random(1)) == tiny.write_chain(task, random.Random(1))


def test_reference_answers_are_right() -> None:
    for task in tiny.generate_problems(500, seed=4, split="heldout"):
        assert tiny.check_answer(task, f"\\boxed{{{task.answer}}}") is True
        assert task.split == "heldout"


def test_faults_name_the_value() -> None:
    with pytest.raises(ValueError, match="unknown manner 'angry'"):
        tiny.generate_problems(1, manner="angry")
    with pytest.raises(ValueError, match="different heldout problems"):
        tiny.generate_problems(5000, family="solve", split="heldout")
