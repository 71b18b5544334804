"""Activations at the end of what is shown of a response: what every reader of the inside stands on.

Responses are read with their own tokens; where thoughts were edited, what they say now is tokenised behind the prompt
and the tag that opens thoughts, where the response itself began with it. Where nothing is shown it is the end of the
prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import Shown
from cotlab.runs import Run
from cotlab.whitebox.inside import Inside

__all__ = ["EndReader", "ShownTokens"]


class ShownTokens:
    """What is shown of responses, as tokens behind their prompts."""

    def __init__(self, run: Run, inside: Inside) -> None:
        self.run, self.inside = run, inside

    def prompt(self, row: Shown) -> Prefix:
        """The prompt of a response."""
        return self.run.prefix(self.run.rollout(row.rollout_id).prefix_id)

    def ids(self, row: Shown) -> tuple[int, ...]:
        """Token ids of a response.

        Raises:
            DataError: It was imported without.
        """
        rollout = self.run.rollout(row.rollout_id)
        if rollout.token_ids is None:
            raise DataError(f"rollout {rollout.id} has no tokens (it was imported): its inside cannot be read")
        return rollout.token_ids

    def own(self, row: Shown, texts: Sequence[str]) -> list[int] | None:
        """How many tokens of the response say each of these beginnings of its thoughts; None where it says others."""
        said, ids = self.run.rollout(row.rollout_id).text, self.ids(row)
        start = said.find(row.text)
        if start < 0 or said[:start].strip() not in ("", self.run.identity.think_open):
            return None
        ends = np.array([0, *accumulate(len(piece) for piece in self.inside.tokenizer.pieces(ids))])
        return [int(np.searchsorted(ends, start + len(text))) if text else 0 for text in texts]

    def shown(self, row: Shown) -> Prefix:
        """The prompt and what is shown behind it."""
        kept = self.own(row, [row.text])
        return self.prompt(row).extend(self.edited(row) if kept is None else self.ids(row)[: kept[0]])

    def edited(self, row: Shown) -> tuple[int, ...]:
        """What is shown, tokenised anew."""
        if not row.text:
            return ()
        before = self.opening(self.run.rollout(row.rollout_id).text)
        return tuple(self.inside.tokenizer.encode((before.rstrip() if row.text[:1].isspace() else before) + row.text))

    def opening(self, text: str) -> str:
        """What a response says before its thoughts: the tag that opens them, with the space around it, or nothing."""
        tag = self.run.identity.think_open
        said = text.lstrip()
        if not tag or not said.startswith(tag):
            return ""
        rest = said.removeprefix(tag)
        return text[: len(text) - len(rest.lstrip())]


class EndReader:
    """Reads some hook points in one pass a response, and keeps what it has read: several readers may share it."""

    def __init__(self, run: Run, inside: Inside, points: Sequence[HookPoint], *, counts: Sequence[int] = ()) -> None:
        """Prepare; nothing is read yet.

        Args:
            run: Where the rollouts are.
            inside: The model.
            points: What is read.
            counts: Sentences after which rollouts will be shown as well: one pass reads all of them.

        Raises:
            ModelError: The model has no such point.
        """
        for point in points:
            point.check(inside.shape)
        self.tokens, self.inside, self.points = ShownTokens(run, inside), inside, tuple(dict.fromkeys(points))
        self.counts = tuple(counts)
        self._seen: dict[tuple[str, str], NDArray[np.float64]] = {}

    def read(self, rows: Sequence[Shown], point: HookPoint) -> NDArray[np.float64]:
        """Activations [rows, d_model] at the end of what each shows.

        Raises:
            DataError: A response has no tokens.
            ValueError: The point is not among those that are read.
        """
        return np.stack([self._at_end(row) for row in rows])[:, self.points.index(point)]

    def along(self, rows: Sequence[Shown], point: HookPoint) -> NDArray[np.float64]:
        """Mean activation [rows, d_model] over the ends of all sentences that each shows; at least one is shown.

        Raises:
            DataError: A response has no tokens.
            ValueError: The point is not among those that are read, or nothing is shown.
        """
        place, found = self.points.index(point), []
        for row in rows:
            if not row.steps:
                raise ValueError(f"rollout {row.rollout_id} shows nothing: there is no sentence to read at the end of")
            ends = range(1, len(row.steps) + 1)
            if any((row.rollout_id, row.first(k).text) not in self._seen for k in ends):
                self._read_parts(row, ends)
            found.append(np.mean([self._at_end(row.first(k))[place] for k in ends], axis=0))
        return np.stack(found)

    def _at_end(self, row: Shown) -> NDArray[np.float64]:
        """Shape (points, d_model)."""
        key = (row.rollout_id, row.text)
        if key not in self._seen and not self._read_parts(row, self.counts if row.whole else ()):
            self._seen[key] = self._values(self.tokens.shown(row))[:, -1]
        return self._seen[key]

    def _read_parts(self, row: Shown, counts: Iterable[int]) -> bool:
        """One pass over a response, kept at the end of what is shown and after these counts of it."""
        texts = [row.text, *(row.first(count).text for count in counts)]
        kept = self.tokens.own(row, texts)
        if kept is None:
            return False
        prompt = self.tokens.prompt(row)
        values = self._values(prompt.extend(self.tokens.ids(row)))
        for text, n in zip(texts, kept, strict=True):
            self._seen[row.rollout_id, text] = values[:, len(prompt.token_ids) + n - 1]
        return True

    def _values(self, tokens: Prefix) -> NDArray[np.float64]:
        """Shape (points, tokens, d_model)."""
        found = self.inside.read(tokens, self.points)
        return np.stack([np.asarray(found[point].float().cpu().numpy(), dtype=float) for point in self.points])
