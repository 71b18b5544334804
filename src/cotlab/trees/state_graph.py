"""The state graph of a problem: equal states of all its rollouts are one node, so that returns become cycles.

1. Every rollout walks from the state that it begins in; a sentence that leaves the state as it is moves nowhere.
2. A move to a state where the same rollout has been before is a return.
3. Depth is the least number of moves from the state where rollouts from the prompt begin.

Node attributes: `visits` (moves into it and beginnings in it), `rollouts` (different ones), `depth` (None where no way
leads from the prompt), `outcomes`, `value` (Estimate: right answers among the rollouts that come through; only where a
state tells all that matters is that the value of the state), `text` (what most often led here), `chain` (whether the
base chain comes through). Edge attributes: `count`, `rollouts`, `returns`, `text`. Graph attributes: `reader`, `root`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from cotlab.chains.score import Outcome
from cotlab.trees.draws import Draws
from cotlab.trees.states import StatePath
from cotlab.trees.value import MIN_ROLLOUTS, value

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["StateGraph", "build_state_graph"]

StateGraph: TypeAlias = "nx.DiGraph[str]"


@dataclass(slots=True)
class _Place:
    """A node or an edge while rollouts go through it."""

    count: int = 0
    returns: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Outcome of each rollout that comes through, by its id."""

    def enter(self, path: StatePath, text: str, came_back: bool) -> None:
        self.count += 1
        self.returns += came_back
        self.outcomes[path.rollout_id] = path.outcome
        if text:
            self.texts[text] += 1

    @property
    def text(self) -> str:
        return self.texts.most_common(1)[0][0] if self.texts else ""


def build_state_graph(
    paths: Sequence[StatePath], *, reader_id: str, chain_states: Iterable[str] = (), min_n: int = MIN_ROLLOUTS
) -> StateGraph:
    """Merge the states of rollouts of one problem into a graph.

    Args:
        paths: The rollouts, as `state_paths` gives them.
        reader_id: Who read the states.
        chain_states: States of the base chain.
        min_n: A node with fewer rollouts has no value.

    Returns:
        A networkx DiGraph (attributes: see the module); empty where there are no rollouts.
    """
    import networkx as nx

    nodes: dict[str, _Place] = defaultdict(_Place)
    edges: dict[tuple[str, str], _Place] = defaultdict(_Place)
    for path in paths:
        _follow(path, nodes, edges)
    graph: StateGraph = nx.DiGraph(reader=reader_id, root=_root(paths))
    on_chain = set(chain_states)
    for state, place in nodes.items():
        draws = Draws.of(state, list(place.outcomes.values()), rollout_ids=list(place.outcomes))
        graph.add_node(
            state,
            visits=place.count,
            rollouts=len(place.outcomes),
            depth=None,
            outcomes={outcome: n for outcome, n in draws.outcome_counts().items() if n},
            value=value(draws, min_n=min_n).estimate,
            text=place.text,
            chain=state in on_chain,
        )
    for (before, after), place in edges.items():
        graph.add_edge(
            before, after, count=place.count, rollouts=len(place.outcomes), returns=place.returns, text=place.text
        )
    if graph.graph["root"] in graph:
        for state, depth in nx.single_source_shortest_path_length(graph, graph.graph["root"]).items():
            graph.nodes[state]["depth"] = depth
    return graph


def _follow(path: StatePath, nodes: dict[str, _Place], edges: dict[tuple[str, str], _Place]) -> None:
    seen = {path.states[0]}
    nodes[path.states[0]].enter(path, "", came_back=False)
    for (before, after), sentence in zip(pairwise(path.states), path.said, strict=True):
        if after != before:
            text = " ".join(sentence.split())
            nodes[after].enter(path, text, after in seen)
            edges[before, after].enter(path, text, after in seen)
            seen.add(after)


def _root(paths: Sequence[StatePath]) -> str | None:
    """Where most of the rollouts begin that have kept least."""
    least = min((path.origin for path in paths), default=0)
    begun = Counter(path.states[0] for path in paths if path.origin == least)
    return begun.most_common(1)[0][0] if begun else None
