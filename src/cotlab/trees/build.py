"""The tree of a run's rollouts: prefixes as nodes, steps on the edges. Several prompts make a tree each, in one graph.

1. Every chain gives a line of nodes, one a prefix; chains that begin alike share nodes.
2. Each rollout follows a chain as far as its token ids do. Where it leaves, its next steps are added, step by step;
   equal text after the same node is one node. So rollouts that begin alike share nodes as well.
3. The tree is bounded: at each depth the steps that most rollouts say come first, and what does not fit is counted.

Node attributes: `kind` (chain or branch), `depth`, `n_tokens` (None for branches: they are told apart by text), `step`
(steps of the chain kept; None for branches), `n_rollouts` (begun here), `visits` (rollouts through here), `outcomes`,
`answers`, `value` (Estimate). Edge attributes: `text`, `kind` (`step`), `count` (rollouts that say it), `base` (whether
a chain does). Graph attributes: `chain_ids`, `spines` (for each prompt, the nodes of its first chain from the root
down), `left_out` (steps that did not fit).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from cotlab.chains.chain import Chain
from cotlab.chains.tokens import Tokenizer
from cotlab.errors import UserError
from cotlab.identity import content_id
from cotlab.runs import Run
from cotlab.stats import Estimate
from cotlab.trees.conditions import ConditionIds
from cotlab.trees.draws import OUTCOMES, Draws
from cotlab.trees.passing import Passage, by_position, draws_at, unfinished
from cotlab.trees.paths import RolloutPath, paths
from cotlab.trees.value import MIN_ROLLOUTS, value

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Tree", "build_tree"]

Tree: TypeAlias = "nx.DiGraph[str]"


def build_tree(
    run: Run,
    chains: Chain | Sequence[Chain] | None = None,
    *,
    scorer_id: str,
    condition: ConditionIds | None = None,
    depth: int | None = 1,
    max_nodes: int = 5_000,
    tokenizer: Tokenizer | None = None,
    min_n: int = MIN_ROLLOUTS,
    found: Mapping[str, Sequence[RolloutPath]] | None = None,
) -> Tree:
    """Build the tree of one problem or of several.

    Args:
        run: Where the rollouts are.
        chains: One chain or several, the first of a prompt is its spine; None: all of the run.
        scorer_id: Whose verdicts count.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        depth: Steps of each rollout after it left its chain; None: to its end.
        max_nodes: Largest number of nodes; those of the chains are always there.
        tokenizer: See `cotlab.trees.paths.paths`.
        min_n: A node with fewer rollouts has no value.
        found: Paths that were read already (with that `depth`), by chain id; the others are read.

    Returns:
        A networkx DiGraph: a tree for each prompt, its edges away from the prompt (attributes: see the module).

    Raises:
        UserError: What `chain_draws` raises, or there is no chain.
    """
    chains = run.chains() if chains is None else [chains] if isinstance(chains, Chain) else list(chains)
    if not chains:
        raise UserError(f"run {run.path} has no chain to make a tree of. Resample one first")
    growing = _Growing(min_n)
    best: dict[str, tuple[Sequence[str], RolloutPath]] = {}
    for chain in chains:
        along = (found or {}).get(chain.id)
        if along is None:
            along = list(paths(run, chain, scorer_id=scorer_id, condition=condition, depth=depth, tokenizer=tokenizer))
        lacking = unfinished(run, chain, scorer_id=scorer_id, condition=condition)
        nodes = growing.add_chain(chain, [path.passage for path in along], lacking)
        for path in along:  # those from the prompt are found along every chain
            rollout_id = path.passage.rollout_id
            if rollout_id not in best or path.passage.last > best[rollout_id][1].passage.last:
                best[rollout_id] = nodes, path
    left_out = growing.grow(growing.start(list(best.values())), max_nodes)
    first = {chain.prefix(0): chain for chain in reversed(chains)}
    growing.tree.graph.update(
        chain_ids=[chain.id for chain in chains],
        spines=[
            list(dict.fromkeys(chain.prefix(k).id for k in range(len(chain.steps) + 1)))
            for chain in reversed(first.values())
        ],
        left_out=left_out,
    )
    return growing.tree


@dataclass(slots=True)
class _Walker:
    """A rollout at the node that it has reached."""

    passage: Passage
    node: str
    steps: Sequence[str]


@dataclass(slots=True)
class _Growing:
    """A tree while it grows."""

    min_n: int
    tree: Tree = field(init=False)
    children: dict[tuple[str, str], str] = field(default_factory=dict)
    """Child by parent and text."""
    through: dict[str, list[Passage]] = field(default_factory=lambda: defaultdict(list))
    """Rollouts through each branch."""
    too_few: dict[tuple[int, bool], Estimate] = field(default_factory=dict)
    """Why there is no value, by number of rollouts and whether some could not be judged."""

    def __post_init__(self) -> None:
        import networkx as nx

        self.tree = nx.DiGraph()

    def add_chain(self, chain: Chain, passages: Sequence[Passage], lacking: Mapping[int, str]) -> list[str]:
        """Add the line of a chain; returns its nodes, one for each number of steps kept."""
        nodes: list[str] = []
        here = by_position(passages, len(chain.steps))
        for k in range(len(chain.steps) + 1):
            prefix = chain.prefix(k)
            nodes.append(prefix.id)
            if prefix.id not in self.tree:
                depth = self.tree.nodes[nodes[-2]]["depth"] + 1 if k else 0
                self.tree.add_node(
                    prefix.id, kind="chain", depth=depth, n_tokens=len(prefix.token_ids), step=k, n_rollouts=0, visits=0
                )
                at = [passages[i] for i in here[k]]
                self._judge(prefix.id, draws_at(chain, k, at, lacking=lacking.get(k)))
            if k and nodes[-2] != prefix.id:
                text = chain.steps[k - 1].text
                self.children.setdefault((nodes[-2], text), prefix.id)
                if not self.tree.has_edge(nodes[-2], prefix.id):
                    self.tree.add_edge(nodes[-2], prefix.id, text=text, kind="step", count=0, base=True)
        return nodes

    def start(self, found: Sequence[tuple[Sequence[str], RolloutPath]]) -> list[_Walker]:
        """Lead rollouts along the nodes of their chains to where they leave them."""
        ways: dict[tuple[int, int, int], list[str]] = {}
        went: Counter[tuple[int, int, int]] = Counter()
        walkers = []
        for nodes, path in found:
            passage = path.passage
            key = id(nodes), passage.origin, passage.last
            if key not in ways:
                ways[key] = list(dict.fromkeys(nodes[passage.origin : passage.last + 1]))
            went[key] += 1
            walkers.append(_Walker(passage, ways[key][-1], path.steps))
        for key, n in went.items():
            self._pass(ways[key], n)
        return walkers

    def _pass(self, way: Sequence[str], n: int) -> None:
        """Count n rollouts along a way."""
        self.tree.nodes[way[0]]["n_rollouts"] += n
        for node in way:
            self.tree.nodes[node]["visits"] += n
        for parent, child in pairwise(way):
            self.tree.edges[parent, child]["count"] += n

    def grow(self, walkers: list[_Walker], max_nodes: int) -> int:
        """Follow the rollouts step by step; returns how many different steps did not fit."""
        left_out = 0
        while walkers := [walker for walker in walkers if walker.steps]:
            wanted = Counter((walker.node, walker.steps[0]) for walker in walkers)
            for place, _ in wanted.most_common():
                if place not in self.children:
                    if len(self.tree) < max_nodes:
                        self._add_branch(*place)
                    else:
                        left_out += 1
            walkers = [arrived for walker in walkers if (arrived := self._step(walker)) is not None]
        for node, passages in self.through.items():
            if len(passages) < self.min_n:
                self._count(node, passages)
            else:
                self._judge(node, Draws.of(node, [p.outcome for p in passages], keys=[p.key for p in passages]))
        return left_out

    def _step(self, walker: _Walker) -> _Walker | None:
        """Go one step; None where it has no place in the tree."""
        child = self.children.get((walker.node, walker.steps[0]))
        if child is None:
            return None
        self.tree.edges[walker.node, child]["count"] += 1
        self.tree.nodes[child]["visits"] += 1
        if self.tree.nodes[child]["kind"] == "branch":
            self.through[child].append(walker.passage)
        return _Walker(walker.passage, child, walker.steps[1:])

    def _add_branch(self, parent: str, text: str) -> None:
        node = content_id("branch", [parent, text])
        depth = self.tree.nodes[parent]["depth"] + 1
        self.tree.add_node(node, kind="branch", depth=depth, n_tokens=None, step=None, n_rollouts=0, visits=0)
        self.tree.add_edge(parent, node, text=text, kind="step", count=0, base=False)
        self.children[parent, text] = node

    def _count(self, node: str, passages: Sequence[Passage]) -> None:
        """What `_judge` says of a node with too few rollouts for a value, of which large trees have most."""
        outcomes = dict.fromkeys(OUTCOMES, 0)
        answers: dict[str, int] = {}
        for passage in passages:
            outcomes[passage.outcome] += 1
            if passage.key is not None:
                answers[passage.key] = answers.get(passage.key, 0) + 1
        ordered = answers if len(answers) < 2 else dict(sorted(answers.items(), key=lambda pair: -pair[1]))
        kind = (len(passages), outcomes["unjudged"] > 0)
        if kind not in self.too_few:
            draws = Draws.of(node, [passage.outcome for passage in passages])
            self.too_few[kind] = value(draws, min_n=self.min_n).estimate
        self.tree.nodes[node].update(outcomes=outcomes, answers=ordered, value=self.too_few[kind])

    def _judge(self, node: str, draws: Draws) -> None:
        self.tree.nodes[node].update(
            outcomes=draws.outcome_counts(), answers=draws.answers(), value=value(draws, min_n=self.min_n).estimate
        )
