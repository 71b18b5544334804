"""Reading activations in vLLM: what is asked of it, and what comes back.

vLLM computes nothing at tokens whose keys and values are cached, so a sequence that is read is computed anew. While a
rollout is sampled each of its tokens is computed anyway, but for the last, which is never fed back (`Tail`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.rollout import Rollout
from cotlab.engines.base import Activations, Capabilities, Passage
from cotlab.engines.requests import cache_salt, check_counted, placement, refuse_unsupported
from cotlab.engines.vllm_hooks import Session, WorkerHooks
from cotlab.engines.vllm_worker import Marks
from cotlab.errors import ModelError
from cotlab.interventions.hook_points import HookPoint

__all__ = ["Reads", "Tail"]


@dataclass(frozen=True, slots=True)
class Read:
    """A sequence that is being read."""

    passage: Passage
    marks: Marks
    params: Any
    salt: str | None
    order: NDArray[np.intp]
    """From the places that were asked for to rows of what comes back."""
    whole: bool
    """Whether all of it is computed."""

    def take(self, session: Session, points: Sequence[HookPoint]) -> Activations:
        """What was read, once vLLM is done with it.

        Raises:
            EngineError: The intervention was not applied where it should have been.
        """
        found, n = session.take_read(self.marks.key), len(self.passage.token_ids)
        counted = session.end([self.marks.key], [n])
        if self.whole:
            check_counted(self.passage.intervention, self.passage.prefix, n, *counted)
        return {point: found[point][self.order] for point in points}


class Reads:
    """Makes readings for one engine."""

    def __init__(self, hooks: WorkerHooks, capabilities: Capabilities, max_model_len: int) -> None:
        self._hooks, self._capabilities, self._longest = hooks, capabilities, max_model_len

    def check(self, points: Sequence[HookPoint]) -> None:
        """Say so where a hook point cannot be read.

        Raises:
            ModelError: The engine or the model has no such hook point.
            ValueError: There are none.
        """
        if not points:
            raise ValueError("no hook point is asked for")
        for point in points:
            if point.kind not in self._capabilities.reads:
                why = self._capabilities.missing or "take --engine transformers for it"
                raise ModelError(f"the vllm engine does not read {point}: {why}")
            point.check(self._hooks.shape)

    def ask(
        self,
        session: Session,
        passage: Passage,
        points: Sequence[HookPoint],
        places: Sequence[int] | None,
        *,
        whole: bool = True,
    ) -> Read:
        """Ask for activations of a sequence.

        Args:
            session: Of the call.
            passage: The sequence.
            points: Where in the model.
            places: Which tokens; None: all.
            whole: Compute all of it, whatever is cached.

        Raises:
            ValueError: The sequence is empty, or a place is not in it.
            ModelError: It is too long, or its intervention cannot be applied.
        """
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        ids = passage.token_ids
        wanted = np.arange(len(ids)) if places is None else np.array(places, dtype=np.int64)
        if not ids or (len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(ids))):
            raise ValueError(f"places {list(wanted[:3])}… are asked for of {len(ids)} tokens")
        if len(ids) >= self._longest:
            raise ModelError(
                f"a sequence has {len(ids)} tokens, the engine reads fewer than {self._longest}; raise max_model_len "
                "or cut the sequence"
            )
        refuse_unsupported(passage, "vllm", self._capabilities)
        where = placement(passage.intervention, passage.prefix.n_prompt, len(passage.prefix.token_ids))
        distinct = np.unique(wanted)
        marks = session.begin(passage.intervention, where, points, distinct.tolist())
        if marks is None:
            raise ValueError("no hook point is asked for")
        params = SamplingParams(
            temperature=0,
            max_tokens=1,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_reading_prefix_cache=whole,
            extra_args=marks.to_args(),
        )
        order = np.searchsorted(distinct, wanted)
        return Read(passage, marks, params, cache_salt(passage.intervention, where), order, whole)


@dataclass(slots=True)
class Tail:
    """A rollout that was read while it was sampled, up to where vLLM computed it."""

    rollout: Rollout
    passage: Passage
    read: Activations
    _asked: Read | None = None

    def __post_init__(self) -> None:
        # vLLM may have read ahead of the end.
        n = len(self.passage.new_ids)
        self.read = {point: rows[:n] for point, rows in self.read.items()}

    @property
    def missing(self) -> int:
        """Tokens at its end that were not computed."""
        return len(self.passage.new_ids) - min((len(rows) for rows in self.read.values()), default=0)

    def ask(self, session: Session, reads: Reads, points: Sequence[HookPoint]) -> Read:
        """Ask for these; the last token of a sequence is computed even where all is cached."""
        n = len(self.passage.token_ids)
        its = reads.ask(session, self.passage, points, range(n - self.missing, n), whole=self.missing > 1)
        self._asked = its
        return its

    def whole(self, session: Session, points: Sequence[HookPoint]) -> Activations:
        """All of it."""
        if self._asked is None:
            raise ValueError("the last tokens of a rollout were not asked for")
        rest = self._asked.take(session, points)
        return {
            point: np.concatenate([self.read[point], rest[point]]) if point in self.read else rest[point]
            for point in points
        }
