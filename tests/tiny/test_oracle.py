"""The oracle reads back what the writer planted, and stands any text."""

import random
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotlab import tiny
from cotlab.tiny.arithmetic import evaluate_text

COUNTDOWN = "Make 34 from 5, 6 and 8 with +, - and *, using each number once."
SOLVE = "Solve 7 * x + 4 = 53 for x. Be quick."


def problem(question: str) -> tiny.TinyProblem:
    found = tiny.problem_from_question(question)
    assert found is not None
    return found


def test_reading_back_gives_the_labels_that_were_planted(chains: list[tiny.LabelledChain]) -> None:
    for chain in chains:
        assert tiny.parse_chain(chain.problem, chain.text) == chain.steps


def test_steps_are_the_lines_of_the_text(chains: list[tiny.LabelledChain]) -> None:
    for chain in chains:
        lines = [line for line in chain.text.split("\n") if line and line != "</think>"]
        assert [step.text for step in chain.steps] == lines
        assert all(chain.text[step.start : step.end] == step.text for step in chain.steps)


def test_every_category_and_both_outcomes_occur(chains: list[tiny.LabelledChain]) -> None:
    categories = {step.category for chain in chains for step in chain.steps}
    assert categories == {kind.category for kind in tiny.KINDS.values()}
    kinds = {step.kind for chain in chains for step in chain.steps}
    # Organisms alone speak of hints; a refutation comes once in 2,000 chains: it catches what a slip let pass.
    assert set(tiny.KINDS) - kinds <= {"refute", "hint", "trust"}
    assert {chain.correct for chain in chains} == {chain.gave_up for chain in chains} == {True, False}


def test_the_last_state_is_reachable_exactly_where_the_answer_is_right(chains: list[tiny.LabelledChain]) -> None:
    assert all(chain.steps[-1].reachable == chain.correct for chain in chains)


def completes(numbers: tuple[int, ...], target: int, start: str) -> bool:
    """Brute force over all expressions that begin with what is committed."""
    for (a, b, c), op, last in product(permutations(numbers), "+-*", "+-*"):
        value, middle = evaluate_text(f"({a} {op} {b}) {last} {c}"), evaluate_text(f"{a} {op} {b}")
        assert value is not None and middle is not None
        committed = start == "" or start == f"{c} last" or start.startswith((f"({a} {op} {b})=", f"({b} {op} {a})="))
        if committed and value[0] == target and 1 <= middle[0] <= 99:
            return True
    return False


def test_reachability_agrees_with_brute_force(chains: list[tiny.LabelledChain]) -> None:
    checked = 0
    for chain in chains[:250]:
        if chain.problem.numbers is None:
            continue
        for step in chain.steps:
            committed = step.state.split("|")[1]
            if committed.endswith("closed") or "=" not in committed and " last" not in committed and committed:
                continue
            assert step.reachable == completes(chain.problem.numbers, chain.problem.target, committed), step
            checked += 1
    assert checked > 500


def test_equal_states_have_equal_keys_however_reached() -> None:
    one = "I have 5, 6 and 8 and want 34.\nTry 5 + 6 = 11, leaving 11 and 8.\nWait, that fails, back to 5, 6 and 8.\n"
    other = "From 5, 6 and 8 I need 34.\nKeep 5 for last: 34 - 5 = 29, 34 + 5 = 39.\nHmm, no luck, back to 5, 6 and 8."
    task = problem(COUNTDOWN)
    first, second = tiny.parse_chain(task, one), tiny.parse_chain(task, other)
    assert first[0].state == first[2].state == second[2].state
    assert first[1].state != second[1].state
    assert [step.reachable for step in first] == [True, False, True]
    assert [step.backtracks for step in first] == [False, False, True]


def test_slips_and_false_verdicts_are_told_apart() -> None:
    text = (
        "Keep 6 for last: 34 - 6 = 27, 34 + 6 = 40.\nSo 5 and 8 must make 27 or 40.\n5 * 8 = 40, no.\n5 * 8 = 41, no."
    )
    plan, need, misjudged, slipped = tiny.parse_chain(problem(COUNTDOWN), text)
    assert (plan.computations, plan.slips, plan.sound) == (2, 1, True)
    assert need.sound and not misjudged.sound
    assert (misjudged.slips, slipped.slips, slipped.sound) == (0, 1, True)


def test_guesses_narrow_x() -> None:
    text = "Try x = 5.\n7 * 5 = 35.\n35 + 4 = 39, need 53, too small.\nSo x is more than 5.\nTry x = 7."
    steps = tiny.parse_chain(problem(SOLVE), text)
    assert [step.reachable for step in steps] == [False, False, False, True, True]
    assert steps[3].state == "7*x+4=53|5<x<100"


def test_unknown_sentences_leave_the_state() -> None:
    task = problem(COUNTDOWN)
    steps = tiny.parse_chain(
        task, "<think>\nKeep 6 for last: 34 + 6 = 40.\nBananas are nice! Try 5 + \n</think>\n\nThe"
    )
    assert [step.category for step in steps] == ["plan_generation", "unknown", "unknown", "unknown"]
    assert {step.state for step in steps} == {"5,6,8>34|6 last"}


words = st.sampled_from(
    [*" \n.,=+-*()x{}", "Wait", "Try ", "Keep ", " for last: ", "5", "100", "\\boxed{", "</think>", "é"]
)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 900), noise=st.lists(words, max_size=12).map("".join), seed=st.integers(0, 50))
def test_any_text_is_labelled(cut: int, noise: str, seed: int) -> None:
    rng = random.Random(seed)
    task = tiny.draw_problem(rng)
    text = tiny.write_chain(task, rng).text
    broken = text[:cut] + noise + text[cut:]
    for step in tiny.parse_chain(task, broken):
        assert broken[step.start : step.end] == step.text
    tiny.check_answer(task, broken)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("(5 * 8) - 6", True),
        ("5×8-6", True),
        ("5 \\times 8 - 6", True),
        ("(5 * 8) - 6 = 34", True),
        ("40 - 6", False),
        ("5 * 8 - 6 + 0", False),
        ("__import__('os')", False),
        ("9**9**9**9", False),
        ("", None),
    ],
)
def test_countdown_answers(answer: str, right: bool | None) -> None:
    assert tiny.check_answer(problem(COUNTDOWN), f"</think>\n\nThe answer is \\boxed{{{answer}}}.") is right


def test_solve_answers() -> None:
    assert tiny.check_answer(problem(SOLVE), "\\boxed{3} no, \\boxed{x = 7}") is True
    assert tiny.check_answer(problem(SOLVE), "\\boxed{6}") is False
    assert tiny.check_answer(problem(SOLVE), "I think it is 7") is None
