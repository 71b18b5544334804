"""A monitor that reads the model's inside while text monitors read what it says (`cotlab.measures.monitors`).

The activation at the last token of what is shown (of the prompt, where no thoughts are) goes through a logistic probe.
Responses are read with their own tokens; where thoughts were edited, what they say now is tokenised behind the prompt
and the tag that opens thoughts, where the response itself began with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import Shown
from cotlab.runs import Run
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.probe_fit import Method, fit_rows

__all__ = ["ActivationMonitor"]

_PENALTY = 1e-2
"""C of the logistic penalty, on standardised activations; fixed, so that shuffles cost no search."""


class ActivationMonitor:
    """A monitor that may be called as any other; activations are read once and kept."""

    def __init__(
        self,
        run: Run,
        inside: Inside,
        point: HookPoint,
        *,
        counts: Sequence[int] = (),
        method: Method = "logistic",
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            run: Where the rollouts are.
            inside: The model.
            point: What is read.
            counts: Sentences after which rollouts will be shown as well: one pass reads all of them.
            method: How the probe is fitted.

        Raises:
            ModelError: The model has no such point.
        """
        point.check(inside.shape)
        self.run, self.inside, self.point, self.method = run, inside, point, method
        self.counts = tuple(counts)
        self._seen: dict[tuple[str, str], NDArray[np.float64]] = {}

    def __call__(self, train: Sequence[Shown], test: Sequence[Shown]) -> NDArray[np.float64]:
        """Scores [test]: log odds less those of the training examples' classes, so that both weigh alike."""
        y = np.array([row.label for row in train])
        problems = np.array([row.problem for row in train], dtype=np.str_)
        weight, bias = fit_rows(self.read(train), y, problems, self.method, 0, _PENALTY)
        return np.asarray(self.read(test) @ weight + bias - np.log(y.mean() / (1 - y.mean())), dtype=float)

    def read(self, rows: Sequence[Shown]) -> NDArray[np.float64]:
        """Activations [rows, d_model] at the end of what each shows."""
        return np.stack([self._at_end(row) for row in rows])

    def _at_end(self, row: Shown) -> NDArray[np.float64]:
        key = (row.rollout_id, row.text)
        if key not in self._seen:
            rollout = self.run.rollout(row.rollout_id)
            prompt, ids = self.run.prefix(rollout.prefix_id), rollout.token_ids
            if ids is None:
                raise DataError(f"rollout {rollout.id} has no tokens (it was imported): its inside cannot be read")
            start = rollout.text.find(row.text)
            if start >= 0 and rollout.text[:start].strip() in ("", self.run.identity.think_open):
                self._read_parts(row, prompt, ids, start)
            if key not in self._seen:
                before = self._opening(rollout.text)
                if row.text[:1].isspace():
                    before = before.rstrip()
                said = tuple(self.inside.tokenizer.encode(before + row.text)) if row.text else ()
                self._seen[key] = self._values(prompt.extend(said))[-1]
        return self._seen[key]

    def _opening(self, text: str) -> str:
        """What a response says before its thoughts: the tag that opens them, with the space around it, or nothing."""
        tag = self.run.identity.think_open
        said = text.lstrip()
        if not tag or not said.startswith(tag):
            return ""
        rest = said.removeprefix(tag)
        return text[: len(text) - len(rest.lstrip())]

    def _read_parts(self, row: Shown, prompt: Prefix, ids: tuple[int, ...], start: int) -> None:
        """One pass over a response, kept at the end of what is shown and, if that is all, after every count of it."""
        texts = {row.text, *((row.first(count).text for count in self.counts) if row.whole else ())}
        ends = np.array([0, *accumulate(len(piece) for piece in self.inside.tokenizer.pieces(ids))])
        values = self._values(prompt.extend(ids))
        for shown in texts:
            kept = int(np.searchsorted(ends, start + len(shown))) if shown else 0
            self._seen[row.rollout_id, shown] = values[len(prompt.token_ids) + kept - 1]

    def _values(self, tokens: Prefix) -> NDArray[np.float64]:
        value = self.inside.read(tokens, [self.point])[self.point]
        return np.asarray(value.float().cpu().numpy(), dtype=float)
