"""Which tokens of one sequence an intervention holds at, token by token as they are read.

A mask depends on places and past tokens only, never on how a sequence is split into forward passes: computing it whole,
in chunks, one token at a time, or again after a preemption gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.think import ThinkTags
from cotlab.interventions.where import Placement, Where

__all__ = ["OFF", "ON", "MaskState", "TokenRule"]

Ids = tuple[int, ...]
ON, OFF = np.ones(1, dtype=np.bool_), np.zeros(1, dtype=np.bool_)
"""Masks of one token; as one new token a row is the usual case, they are made once and told by identity."""


@dataclass(frozen=True, slots=True)
class TokenRule:
    """The part of a `Where` that looks at tokens, as token ids."""

    thinking: bool = False
    """Only between an opening and a closing think tag (neither of them included)."""
    opens: tuple[Ids, ...] = ()
    closes: tuple[Ids, ...] = ()
    ends: frozenset[int] | None = None
    """Only at these tokens."""
    triggers: tuple[Ids, ...] = ()
    """Only within `hold` tokens after one of these."""
    hold: int = 1

    @classmethod
    def of(
        cls, where: Where, encode: Callable[[str], Sequence[int]], pieces: Callable[[], Sequence[str]], tags: ThinkTags
    ) -> TokenRule | None:
        """Turn texts into token ids; None where the places alone decide.

        Args:
            where: What is asked.
            encode: Token ids of a text.
            pieces: Gives the text of every token of the vocabulary, by id; asked only where it is needed.
            tags: The model's think tags.
        """
        if not where.needs_tokens:
            return None
        thinking = where.part == "think"
        vocabulary = pieces() if where.step_ends or where.trigger else ()
        return cls(
            thinking=thinking,
            opens=(tuple(encode(tags.open)),) if thinking else (),
            closes=(tuple(encode(tags.close)),) if thinking else (),
            ends=frozenset(_ending_in(where.step_ends, vocabulary)) if where.step_ends else None,
            triggers=tuple(sorted({ids for text in where.trigger for ids in _spellings(text, encode, vocabulary)})),
            hold=where.hold,
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "thinking": self.thinking,
            "opens": [list(ids) for ids in self.opens],
            "closes": [list(ids) for ids in self.closes],
            "ends": None if self.ends is None else sorted(self.ends),
            "triggers": [list(ids) for ids in self.triggers],
            "hold": self.hold,
        }

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> TokenRule:
        """Inverse of `to_json`."""
        return cls(
            thinking=spec["thinking"],
            opens=tuple(map(tuple, spec["opens"])),
            closes=tuple(map(tuple, spec["closes"])),
            ends=None if spec["ends"] is None else frozenset(spec["ends"]),
            triggers=tuple(map(tuple, spec["triggers"])),
            hold=spec["hold"],
        )

    @property
    def longest(self) -> int:
        """Tokens of the longest text that is looked for."""
        return max(map(len, (*self.opens, *self.closes, *self.triggers)), default=0)


class MaskState:
    """The mask of one sequence so far. Tokens are read in order; those that are read again get what they had."""

    __slots__ = ("_bits", "_held", "_read", "_rule", "_tail", "_thinks", "start", "stop")

    def __init__(self, placement: Placement, rule: TokenRule | None) -> None:
        self.start = placement.start
        self.stop = placement.stop
        self._rule = rule
        self._read = 0
        self._bits = bytearray()
        self._tail: list[int] = []
        self._thinks = False
        self._held = 0

    def __len__(self) -> int:
        """How many tokens of the sequence were read."""
        return self._read

    @property
    def needs_tokens(self) -> bool:
        """Whether `read` looks at the tokens."""
        return self._rule is not None

    def count(self, n: int | None = None) -> int:
        """At how many of the tokens that were read it holds; of the first `n` of them, where that is given."""
        read = self._read if n is None else min(n, self._read)
        if self._rule is not None:
            return sum(self._bits[:read])
        stop = read if self.stop is None else min(self.stop, read)
        return max(0, stop - self.start)

    def read(self, first: int, n: int, token_ids: Sequence[int] | None = None) -> NDArray[np.bool_]:
        """Mask of tokens first … first + n − 1, shape (n,).

        Args:
            first: Place of the first of them; at most the number of tokens read so far.
            n: How many.
            token_ids: The tokens, where `needs_tokens`.

        Raises:
            ValueError: Tokens before `first` were never read, or the tokens are not given.
        """
        if self._rule is None:
            self._read = max(self._read, first + n)
            if n == 1:
                return ON if self.start <= first and (self.stop is None or first < self.stop) else OFF
            places = np.arange(first, first + n)
            return (places >= self.start) & (places < self.stop if self.stop is not None else True)
        if first > self._read or token_ids is None or len(token_ids) != n:
            given = "no tokens" if token_ids is None else f"{len(token_ids)} tokens"
            raise ValueError(f"mask at token {first}: {self._read} tokens were read, {given} given for {n}")
        for token in token_ids[self._read - first :]:
            self._next(int(token), self._rule)
        return np.frombuffer(bytes(self._bits[first : first + n]), dtype=np.bool_)

    def copy(self) -> MaskState:
        """Another state that has read the same."""
        other = MaskState(Placement(self.start, self.stop), self._rule)
        other._read, other._bits, other._tail = self._read, self._bits[:], self._tail[:]
        other._thinks, other._held = self._thinks, self._held
        return other

    def _next(self, token: int, rule: TokenRule) -> None:
        place = self._read
        self._read += 1
        self._tail = [*self._tail, token][-rule.longest :] if rule.longest else []
        holds = place >= self.start and (self.stop is None or place < self.stop)
        if rule.thinking:
            opens, closes = self._said(rule.opens), self._said(rule.closes)
            self._thinks = opens or (self._thinks and not closes)
            holds = holds and self._thinks and not opens
        if rule.triggers:
            self._held = rule.hold if self._said(rule.triggers) else max(0, self._held - 1)
            holds = holds and self._held > 0
        if rule.ends is not None:
            holds = holds and token in rule.ends
        self._bits.append(holds)

    def _said(self, texts: Sequence[Ids]) -> bool:
        return any(len(self._tail) >= len(ids) and tuple(self._tail[-len(ids) :]) == ids for ids in texts)


def _ending_in(texts: Sequence[str], vocabulary: Sequence[str]) -> list[int]:
    return [i for i, piece in enumerate(vocabulary) if any(piece.rstrip(" ").endswith(text) for text in texts)]


def _spellings(text: str, encode: Callable[[str], Sequence[int]], vocabulary: Sequence[str]) -> list[Ids]:
    """Token sequences that say a text, by itself or behind a space, or as one token with white space around it."""
    bare = text.strip()
    single = [(i,) for i, piece in enumerate(vocabulary) if piece == text or (bare and piece.strip() == bare)]
    return [*single, tuple(encode(text)), tuple(encode(f" {text}"))]
