"""How a model searches: moves, returns, backtracks and re-joining, from rollouts read as states.

Rates are of rollouts from the prompt (`origin` 0): those alone are draws of whole chains of thought. Re-joining is of
rollouts begun along a chain. Intervals draw whole rollouts again (`cluster_mean`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cotlab.stats import Estimate, cluster_mean, proportion_estimate
from cotlab.trees import MIN_ROLLOUTS, StateGraph, StatePath

__all__ = ["SearchProfile", "rejoining", "returns_by_move", "search_profile"]


@dataclass(frozen=True, slots=True)
class SearchProfile:
    """How rollouts from the prompt move through states."""

    rollouts: int
    states: int
    """Different states in the graph, of all rollouts."""
    breadth: tuple[int, ...]
    """Different states at each depth (least number of moves from the root)."""
    depth: int
    """Of the deepest state."""
    moves: Estimate
    """Mean number of moves to another state, a rollout."""
    distinct: Estimate
    """Mean number of different states, a rollout."""
    returning: Estimate
    """Share of rollouts that come back at least once to a state where they have been."""
    returns: Estimate
    """Share of moves that come back, over all moves."""


def search_profile(graph: StateGraph, paths: Sequence[StatePath], *, min_n: int = MIN_ROLLOUTS) -> SearchProfile:
    """Measure a state graph and the rollouts from the prompt in it.

    Args:
        graph: What `build_state_graph` made of the paths.
        paths: The same paths.
        min_n: Fewer rollouts from the prompt give reasons in place of rates.
    """
    whole = [path for path in paths if path.origin == 0]
    depths = Counter(depth for _, depth in graph.nodes(data="depth") if depth is not None)
    moves = [path.moves for path in whole]
    came_back = [_came_back(states) for states in moves]
    return SearchProfile(
        rollouts=len(whole),
        states=len(graph),
        breadth=tuple(depths[d] for d in range(max(depths, default=-1) + 1)),
        depth=max(depths, default=0),
        moves=_mean([len(states) - 1 for states in moves], min_n),
        distinct=_mean([len(set(states)) for states in moves], min_n),
        returning=proportion_estimate(sum(any(back) for back in came_back), len(whole), min_n=min_n),
        returns=_mean_of_all(came_back, min_n),
    )


def returns_by_move(paths: Sequence[StatePath], *, min_n: int = MIN_ROLLOUTS) -> tuple[Estimate, ...]:
    """Share of rollouts from the prompt whose first, second, … move comes back to a state where they have been.

    Of those that still move; with fewer than `min_n` of them there is a reason.
    """
    came_back = [_came_back(path.moves) for path in paths if path.origin == 0]
    longest = max(map(len, came_back), default=0)
    still = [[back[move] for back in came_back if len(back) > move] for move in range(longest)]
    return tuple(proportion_estimate(sum(back), len(back), min_n=min_n) for back in still)


def rejoining(
    paths: Sequence[StatePath], chain: Sequence[str], *, min_n: int = MIN_ROLLOUTS
) -> tuple[Estimate, tuple[Estimate, ...]]:
    """Share of the rollouts that leave a chain and come later to a state where the chain comes later.

    A rollout leaves where its next state is not the chain's next one; it re-joins where it enters a state that the
    chain enters after that place and had not entered before it. An answer is not told apart from other states: where
    two ways end in the same answer, they meet there.

    Args:
        paths: Rollouts of the chain's problem, begun at its prefixes.
        chain: The chain's states, one for each prefix 0 … number of steps.
        min_n: Fewer rollouts that leave give a reason.

    Returns:
        The share over all rollouts that leave, and one for each step of the chain that they leave at.
    """
    left = [
        (place, joined) for path in paths if (found := _leaves(path, chain)) is not None for place, joined in [found]
    ]
    by_step = [[joined for place, joined in left if place == step] for step in range(max(len(chain) - 1, 0))]
    each = tuple(proportion_estimate(sum(joined), len(joined), min_n=min_n) for joined in by_step)
    return _mean([float(joined) for _, joined in left], min_n), each


def _leaves(path: StatePath, chain: Sequence[str]) -> tuple[int, bool] | None:
    """The step at which a rollout leaves the chain and whether it re-joins; None where it never leaves."""
    place, last = path.origin, len(chain) - 1
    for position, state in enumerate(path.states[1:], start=1):
        if place < last and state == chain[place + 1]:
            place += 1
            continue
        if state == path.states[position - 1]:
            continue  # it says more about the state that it is in
        while place < last and chain[place + 1] == chain[place]:
            place += 1  # the chain does too
        if place < last and state == chain[place + 1]:
            place += 1
            continue
        if place == last:
            return None
        ahead = set(chain[place + 1 :]) - set(chain[: place + 1])
        return place, any(later in ahead for later in path.states[position:])
    return None


def _came_back(states: Sequence[str]) -> list[bool]:
    """Of each move, whether it leads to a state that came before."""
    seen, back = {states[0]}, []
    for _, after in pairwise(states):
        back.append(after in seen)
        seen.add(after)
    return back


def _mean(values: Sequence[float], min_n: int) -> Estimate:
    return cluster_mean(values, range(len(values)), min_clusters=max(min_n, 2))


def _mean_of_all(came_back: Sequence[Sequence[bool]], min_n: int) -> Estimate:
    values = np.array([back for moves in came_back for back in moves], dtype=float)
    rollouts = [idx for idx, moves in enumerate(came_back) for _ in moves]
    return cluster_mean(values, rollouts, min_clusters=max(min_n, 2))
