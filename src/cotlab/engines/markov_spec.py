"""The law of a Markov "language model": symbols, states, edges and the answers of its last states.

A state offers symbols with probabilities; each leads to one next state. The end-of-sequence symbol ends the rollout,
and the state in which it was said holds the answer. States may be visited again (cycles).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from cotlab.identity import content_id

__all__ = ["EOS", "TRUNCATED", "UNPARSABLE", "Edge", "MarkovSpec"]

EOS = "<eos>"
"""Symbol that ends a rollout; it decodes to nothing."""
TRUNCATED = "truncated"
"""Key of the rollouts that ran into max_tokens, in distributions of answers."""
UNPARSABLE = "unparsable"
"""Key of the rollouts that ended in a state without an answer."""


@dataclass(frozen=True, slots=True)
class Edge:
    """From `state`, `symbol` is said with probability `p` and leads to `target` (not read where the symbol is EOS)."""

    state: str
    symbol: str
    p: float
    target: str = ""


@dataclass(frozen=True)
class MarkovSpec:
    """A frozen law. Equal laws have equal ids; `delay` and `fail_every` change no token and are left out of the id."""

    name: str
    start: str
    edges: tuple[Edge, ...]
    answers: tuple[tuple[str, str], ...]
    """Answer of each state that has one: what a rollout says that ends there."""
    entries: tuple[tuple[str, str], ...] = ()
    """Symbols of a prompt, each with the state in which a rollout then starts (the last one counts)."""
    gold: str | None = None
    """The right answer, where the spec has one."""
    delay: float = 0.0
    """Seconds that each rollout takes, for tests of progress and of killed runs."""
    fail_every: int = 0
    """Every so many requests of an engine give a Failure (0: none), for tests of resume; asked again, they succeed."""

    def __post_init__(self) -> None:
        mass: dict[str, float] = {}
        for edge in self.edges:
            if not 0 < edge.p <= 1:
                raise ValueError(f"edge {edge.symbol!r} of state {edge.state!r} has p {edge.p}, expected in (0, 1]")
            mass[edge.state] = mass.get(edge.state, 0.0) + edge.p
        for state, total in mass.items():
            if not math.isclose(total, 1, abs_tol=1e-9):
                raise ValueError(f"edges of state {state!r} have probabilities that sum to {total}, expected 1")
        targets = {self.start, *dict(self.entries).values()} | {
            edge.target for edge in self.edges if edge.symbol != EOS
        }
        for state in sorted(targets - set(mass)):
            raise ValueError(f"state {state!r} is reached but has no edges; end it with Edge({state!r}, EOS, 1.0)")
        if len(self._offers) != len(self.edges):
            raise ValueError("a state offers the same symbol twice; give each symbol one edge a state")

    @cached_property
    def _offers(self) -> dict[tuple[str, str], Edge]:
        return {(edge.state, edge.symbol): edge for edge in self.edges}

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Names of the states, in the order in which edges name them."""
        return tuple(dict.fromkeys(edge.state for edge in self.edges))

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Texts of the symbols without EOS: those of the edges in their order, then those of the entries."""
        said = [edge.symbol for edge in self.edges if edge.symbol != EOS]
        return tuple(dict.fromkeys(said + list(dict(self.entries))))

    @cached_property
    def answer_of(self) -> dict[str, str]:
        """Answer of each state that has one."""
        return dict(self.answers)

    @cached_property
    def id(self) -> str:
        """Tagged hash of the law."""
        edges = [[edge.state, edge.symbol, edge.p, edge.target] for edge in self.edges]
        return content_id(
            "markov", [self.name, self.start, edges, sorted(self.answers), sorted(self.entries), self.gold]
        )

    @cached_property
    def _only_target(self) -> dict[str, str | None]:
        """Where a symbol leads, if it leads to one single state wherever it is offered."""
        targets = {symbol: {state} for symbol, state in self.entries}
        for edge in self.edges:
            if edge.symbol != EOS:
                targets.setdefault(edge.symbol, set()).add(edge.target)
        return {symbol: next(iter(found)) if len(found) == 1 else None for symbol, found in targets.items()}

    def follow(self, state: str, symbol: str) -> str:
        """State after `symbol`.

        A symbol that `state` does not offer (an edited prefix holds some) leads where it leads elsewhere, if that is
        one single state, an entry's state included; otherwise, like text of no symbol, it changes nothing.
        """
        edge = self._offers.get((state, symbol))
        if edge is not None:
            return state if symbol == EOS else edge.target
        return self._only_target.get(symbol) or state

    def first_state(self, prompt_symbols: Iterable[str]) -> str:
        """State in which a rollout starts whose prompt holds these symbols."""
        entries = dict(self.entries)
        return ([self.start] + [entries[symbol] for symbol in prompt_symbols if symbol in entries])[-1]
