import random
import time
from collections import defaultdict
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotlab.trees import layout


def make(parents, spine_length):
    """Tree in which node i + 1 hangs below node parents[i]; the spine follows first children."""
    tree = nx.DiGraph()
    tree.add_node("0", depth=0)
    for i, parent in enumerate(parents):
        tree.add_node(str(i + 1), depth=tree.nodes[str(parent)]["depth"] + 1)
        tree.add_edge(str(parent), str(i + 1))
    spine = ["0"]
    while len(spine) < spine_length and (child := next(iter(tree.successors(spine[-1])), None)):
        spine.append(child)
    tree.graph["spines"] = [spine]
    return tree


TREES = st.integers(0, 60).flatmap(lambda n: st.tuples(*(st.integers(0, i) for i in range(n))))


@given(parents=TREES, spine_length=st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_is_tidy(parents, spine_length):
    tree = make(parents, spine_length)
    positions = layout(tree)
    assert set(positions) == set(tree)
    on_spine = set(tree.graph["spines"][0])
    levels = defaultdict(list)
    for node, (x, y) in positions.items():
        assert y == tree.nodes[node]["depth"]
        assert node not in on_spine or x == 0
        levels[y].append((x, node))
        beside = [child for child in tree.successors(node) if child not in on_spine]
        if beside and node not in on_spine:
            ends = positions[beside[0]][0], positions[beside[-1]][0]
            assert x == pytest.approx(sum(ends) / 2)
    for level in levels.values():
        level.sort()
        assert all(b[0] - a[0] >= 1 - 1e-9 for a, b in pairwise(level))
        # No crossings: parents stand in the order of their children.
        parents_x = [positions[p][0] for _, node in level for p in tree.predecessors(node)]
        assert all(a <= b + 1e-9 for a, b in pairwise(parents_x))


def test_neighbours_share_room():
    """One alternative at each of 50 steps: all stand next to the spine."""
    parents = [i for i in range(0, 50)]
    tree = make(parents, 51)
    for i in range(50):
        tree.add_node(f"a{i}", depth=i + 1)
        tree.add_edge(str(i), f"a{i}")
    positions = layout(tree)
    assert {positions[f"a{i}"][0] for i in range(50)} == {1}


def test_time_is_linear():
    def seconds(n):
        tree = make([random.Random(i).randrange(max(0, i - 30), i + 1) for i in range(n)], n)
        times = []
        for _ in range(3):
            started = time.process_time()
            layout(tree)
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(16_000) < 8 * 2.5 * seconds(2_000)


def test_deep_trees_do_not_recurse():
    tree = make(list(range(20_000)), 1)
    assert layout(tree)["20000"][1] == 20_000
