"""Moves, returns and re-joining on paths whose answers are plain to see."""

import pytest

from cotlab.measures import rejoining, returns_by_move, search_profile
from cotlab.trees import StatePath, build_state_graph


def path(states: str, rollout: str = "r", origin: int = 0) -> StatePath:
    return StatePath(rollout, origin, "correct", tuple(states), tuple(states[1:]))


def test_profile_counts_moves_returns_breadth_and_depth():
    paths = [path("ABCA", f"a{i}") for i in range(10)] + [path("ABBD", f"b{i}") for i in range(30)]
    found = search_profile(build_state_graph(paths, reader_id="x"), paths)
    assert (found.states, found.breadth, found.depth, found.rollouts) == (4, (1, 1, 2), 2, 40)
    assert found.moves.value == pytest.approx((10 * 3 + 30 * 2) / 40)
    assert found.distinct.value == pytest.approx(3)
    assert found.returning.value == pytest.approx(0.25)
    assert found.returns.value == pytest.approx(10 / 90)
    assert found.returns.low < found.returns.value < found.returns.high
    assert found.returning.low < 0.25 < found.returning.high
    assert [one.value for one in returns_by_move(paths)] == [0, 0, 1]
    assert [one.n for one in returns_by_move(paths)] == [40, 40, 10]


def test_rates_are_of_rollouts_from_the_prompt():
    paths = [path("AB", f"a{i}") for i in range(12)] + [path("BAB", f"b{i}", origin=1) for i in range(50)]
    found = search_profile(build_state_graph(paths, reader_id="x"), paths)
    assert found.rollouts == 12 and found.returning.value == 0
    few = search_profile(build_state_graph(paths[:3], reader_id="x"), paths[:3])
    assert few.returning.value is None and "3 rollouts, at least 10" in few.returning.reason
    assert few.moves.value is None and few.moves.reason
    none = search_profile(build_state_graph([], reader_id="x"), [])
    assert none.rollouts == 0 and none.depth == 0 and none.returns.value is None


@pytest.mark.parametrize(
    ("states", "origin", "left_at"),
    [
        ("ABCD", 0, None),  # never leaves
        ("AXCD", 0, (0, True)),
        ("AXYZ", 0, (0, False)),
        ("ABXAB", 0, (1, False)),  # goes back to where the chain was, not to where it comes
        ("ABBXD", 0, (1, True)),  # says more about B first
        ("CXD", 2, (2, True)),
        ("CD", 2, None),
        ("BC", 1, None),  # ends on the chain
        ("ABCDX", 0, None),  # goes on where the chain is over
    ],
)
def test_rejoining_is_coming_to_where_the_chain_comes_later(states, origin, left_at):
    every, by_step = rejoining([path(states, f"r{i}", origin) for i in range(20)], "ABCD")
    if left_at is None:
        assert every.value is None and every.n == 0
        return
    step, joined = left_at
    assert every.value == by_step[step].value == float(joined) and every.n == 20
    assert all(one.value is None for at, one in enumerate(by_step) if at != step)


def test_steps_of_the_chain_that_stay_are_not_waited_for():
    every, _ = rejoining([path("ABD", f"r{i}") for i in range(20)], "ABBBD")
    assert every.value is None and every.n == 0
    every, by_step = rejoining([path("ABXD", f"r{i}") for i in range(20)], "ABBBD")
    assert every.value == 1 and by_step[3].value == 1
