"""What runs inside vLLM's workers: interventions and reading, by hooks on the model that the worker holds.

1. vLLM mixes `WorkerExtension` into its worker class (`worker_extension_cls`); the engine calls its methods by name
   (`collective_rpc`), in this process or in others, one call for all ranks.
2. A request carries what it needs in `SamplingParams.extra_args["cotlab"]` (`Marks`): the id of its edit, the places
   where that comes into question, and the places that are to be read.
3. Before each forward pass, a hook on the model looks up which requests share it and where each begins
   (`query_start_loc`, `num_computed_tokens`), and makes one `Pass` of it. Hooks on the layers apply it.
4. Hooks are there only while a request uses them.

With tensor parallelism every rank holds the whole residual stream, and each applies the same change; rank 0 answers.
What differs between versions of vLLM is in `Runner`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cotlab.engines.edits import Edit, Pass, unpack_edit
from cotlab.engines.hooks import Modules, Sum, remove
from cotlab.interventions.hook_points import HookPoint
from cotlab.interventions.masks import MaskState
from cotlab.interventions.where import Placement

__all__ = ["Marks", "WorkerExtension", "unpack_read"]

FIELD = "cotlab"
MANY = 4096
"""Requests of which something is remembered before those that have ended are looked for."""


class Marks(NamedTuple):
    """What a request carries."""

    key: str
    """Its name in the answers; the id that vLLM gives it is not known to who asks."""
    edit: str
    """Id of the edit; "" for none."""
    start: int
    stop: int | None
    read: list[int] | None
    """Places that are to be read, ascending; None: nothing is read, or all from `since` on."""
    since: int | None = None
    """Read every token from this place on, as it is computed."""

    def to_args(self) -> dict[str, Any]:
        """As `extra_args`."""
        return {FIELD: list(self)}


class Span(NamedTuple):
    """A request's part of a forward pass."""

    request_id: str
    row: int
    """Its first token in the row of all tokens."""
    first: int
    """Place of that token in its sequence."""
    n: int


class Runner:
    """vLLM's model runner, as far as it is used here (the one called V1; 0.23 to 0.32 have it)."""

    def __init__(self, runner: Any) -> None:
        if not hasattr(runner, "requests") or not hasattr(runner.input_batch, "num_computed_tokens_cpu"):
            raise RuntimeError("this model runner of vLLM cannot be hooked; set VLLM_USE_V2_MODEL_RUNNER=0")
        self._runner = runner
        self.model: torch.nn.Module = runner.model
        self.config: Any = runner.model_config.hf_text_config
        self.device: torch.device = runner.device
        self.dtype: torch.dtype = runner.model_config.dtype

    def spans(self) -> Iterator[Span]:
        """Requests of the forward pass that is about to run, in the order of their tokens."""
        batch = self._runner.input_batch
        starts = self._runner.query_start_loc.np
        for i, request_id in enumerate(batch.req_ids):
            row = int(starts[i])
            yield Span(request_id, row, int(batch.num_computed_tokens_cpu[i]), int(starts[i + 1]) - row)

    def marks(self, request_id: str) -> Marks | None:
        """What a request carries; None: nothing of ours."""
        params = self._runner.requests[request_id].sampling_params
        found = (getattr(params, "extra_args", None) or {}).get(FIELD)
        return None if found is None else Marks(*found)

    def known(self, request_id: str) -> bool:
        """Whether a request is still there (running, or preempted)."""
        return request_id in self._runner.requests

    def tokens(self, request_id: str, start: int, stop: int) -> list[int]:
        """Tokens of a request that were given, or sampled and seen by the scheduler."""
        batch = self._runner.input_batch
        found: list[int] = batch.token_ids_cpu[batch.req_id_to_index[request_id], start:stop].tolist()
        return found

    def scheduled(self) -> bool:
        """Whether the forward pass is of requests, not one that vLLM makes to measure or capture."""
        from vllm.forward_context import get_forward_context

        return get_forward_context().attn_metadata is not None


@dataclass(slots=True)
class Reading:
    """What is kept of a request that is read."""

    places: Tensor | None
    """What is to be read; None: all from `since` on."""
    since: int = 0
    parts: dict[str, list[Tensor]] = field(default_factory=dict)
    seen: list[Tensor] = field(default_factory=list)
    """Places of the rows of `parts`; a preempted request is computed, and read, again."""

    def here(self, first: int, n: int) -> Tensor:
        """Places among `first` … `first + n − 1` that are to be read."""
        if self.places is None:
            return torch.arange(max(first, self.since), max(first + n, self.since))
        return self.places[(self.places >= first) & (self.places < first + n)]

    def complete(self, point: str) -> bool:
        """Whether every place was read at a point."""
        return sum(map(len, self.parts[point])) == sum(map(len, self.seen))

    def rows(self, point: str) -> Tensor:
        """What was read at a point, in the order of the places, each once (as it was computed last)."""
        value, places = torch.cat(self.parts[point]), torch.cat(self.seen).tolist()
        last = {place: row for row, place in enumerate(places)}
        return value[[last[place] for place in sorted(last)]]


@dataclass(slots=True)
class Flight:
    """A request that is on its way."""

    marks: Marks
    edit: Edit | None
    state: MaskState | None
    reading: Reading | None


class Hooking:
    """Edits, flights and hooks of one worker."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.modules = Modules(runner.model, runner.config, in_two=True)
        self._edits: dict[str, Edit] = {}
        self._flights: dict[str, Flight | None] = {}
        self._states: dict[str, list[MaskState]] = {}
        self._read: dict[str, Reading] = {}
        self._handles: list[Any] = []
        self._points: frozenset[HookPoint] = frozenset()
        self._watched: frozenset[HookPoint] = frozenset()
        self._pass: Pass | None = None
        self._wanted: list[tuple[Reading, int]] = []
        """What is read of the pass: whose, and how many rows."""
        self._rows: Tensor | None = None

    def add_edit(self, packed: dict[str, Any]) -> None:
        """Take an edit that requests will name."""
        edit = unpack_edit(packed, self._runner.device, self._runner.dtype)
        for point in edit.points:
            point.check(self.modules.shape)
        self._edits[edit.id] = edit

    def drop_edits(self, ids: Sequence[str]) -> None:
        """Forget edits that no request names any more."""
        for edit_id in ids:
            self._edits.pop(edit_id, None)

    def hook(self, points: Sequence[str], watched: Sequence[str]) -> None:
        """Have hooks at these points, and no others; without any, the model is as it was.

        Args:
            points: Where something is changed.
            watched: Where something is read.
        """
        self._settle()
        remove(self._handles)
        self._handles = []
        self._points = frozenset(HookPoint.parse(point) for point in points)
        self._watched = frozenset(HookPoint.parse(point) for point in watched)
        if not self._points and not self._watched:
            for kept in (self._flights, self._states, self._read):
                kept.clear()
            return
        self._handles = [self._runner.model.register_forward_pre_hook(self._begin, with_kwargs=True)]
        self._handles += self.modules.hook(self._points, self._change)
        self._handles += self.modules.hook(self._watched, self._watch)

    def n_hooks(self) -> int:
        """How many hooks there are on the model and its modules."""
        return sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks) for module in self._runner.model.modules()
        )

    def steered(self, keys: Sequence[str], lengths: Sequence[int]) -> list[int]:
        """At how many of its first tokens the edit of each request was applied; the requests are forgotten.

        Args:
            keys: Of requests that have ended.
            lengths: How many tokens of each count: vLLM may read ahead of the end of a sequence.
        """
        self._settle()
        states = [self._states.pop(key, []) for key in keys]
        return [sum(state.count(n) for state in its) for its, n in zip(states, lengths, strict=True)]

    def take_read(self, key: str) -> dict[str, tuple[list[int], str, bytes]]:
        """What was read of a request, by hook point: shape, dtype and bytes; it is forgotten."""
        reading = self._read.pop(key)
        taken = {}
        for point in reading.parts:
            if not reading.complete(point):  # another call watches it, since a later pass
                continue
            value = reading.rows(point).float().contiguous().numpy()
            taken[point] = (list(value.shape), "float32", value.tobytes())
        return taken

    def _begin(self, module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make the pass of what is about to run."""
        self._settle()
        self._wanted, rows = [], list[Tensor]()
        if not self._runner.scheduled():
            return
        input_ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        step = Pass(len(input_ids), self._runner.device, self._runner.dtype)
        seen: list[int] | None = None
        for span in self._runner.spans():
            flight = self._flight(span.request_id)
            if flight is None:
                continue
            if flight.edit is not None and flight.state is not None:
                if flight.state.needs_tokens:
                    seen = input_ids.tolist() if seen is None else seen
                    step.add(flight.edit, span.row, self._mask(flight.state, span, seen))
                else:
                    step.add(flight.edit, span.row, flight.state.read(span.first, span.n))
            if flight.reading is not None:
                rows.append(self._want(flight.reading, span))
        self._rows = torch.cat(rows).to(self._runner.device) if rows else None
        step.prepare()
        self._pass = step

    def _mask(self, state: MaskState, span: Span, seen: Sequence[int]) -> Any:
        if len(state) < span.first:  # what comes before was in the prefix cache
            gap = self._runner.tokens(span.request_id, len(state), span.first)
            state.read(len(state), len(gap), gap)
        return state.read(span.first, span.n, seen[span.row : span.row + span.n])

    def _want(self, reading: Reading, span: Span) -> Tensor:
        here = reading.here(span.first, span.n)
        if len(here):
            self._wanted.append((reading, len(here)))
            reading.seen.append(here)
        return here - span.first + span.row

    def _change(self, point: HookPoint, base: Tensor, whole: Sum) -> Tensor | None:
        return None if self._pass is None else self._pass.handle(point, base, whole)

    def _watch(self, point: HookPoint, base: Tensor, whole: Sum) -> None:
        if self._wanted:
            # One gather a pass and point, into the host's memory: what is read waits there until its request has ended.
            parts = torch.split(whole(base)[self._rows].cpu(), [n for _, n in self._wanted])
            for (reading, _), part in zip(self._wanted, parts, strict=True):
                reading.parts.setdefault(str(point), []).append(part)

    def _flight(self, request_id: str) -> Flight | None:
        if request_id not in self._flights:
            if len(self._flights) > MANY:
                self._flights = {r: flight for r, flight in self._flights.items() if self._runner.known(r)}
            marks = self._runner.marks(request_id)
            self._flights[request_id] = None if marks is None else self._start(marks)
        return self._flights[request_id]

    def _start(self, marks: Marks) -> Flight:
        edit = self._edits[marks.edit] if marks.edit else None
        state = None if edit is None else edit.state(Placement(marks.start, marks.stop))
        if state is not None:
            self._states.setdefault(marks.key, []).append(state)
        reading = None
        if marks.read is not None:
            reading = self._read[marks.key] = Reading(torch.tensor(marks.read, dtype=torch.long))
        elif marks.since is not None:
            reading = self._read[marks.key] = Reading(None, marks.since)
        return Flight(marks, edit, state, reading)

    def _settle(self) -> None:
        """Make sure that the last pass went through all its hooks."""
        step, self._pass = self._pass, None
        if step is not None:
            step.check()


class WorkerExtension:
    """Methods that vLLM's workers get."""

    model_runner: Any
    rank: int

    def cotlab_shape(self) -> list[int]:
        """Layers, width, heads, head dimension."""
        shape = self._cotlab().modules.shape
        return [shape.n_layers, shape.d_model, shape.n_heads, shape.head_dim]

    def cotlab_add_edit(self, packed: dict[str, Any]) -> None:
        """Take an edit."""
        self._cotlab().add_edit(packed)

    def cotlab_drop_edits(self, ids: list[str]) -> None:
        """Forget edits."""
        self._cotlab().drop_edits(ids)

    def cotlab_hook(self, points: list[str], watched: list[str]) -> None:
        """Have hooks at these points and no others."""
        self._cotlab().hook(points, watched)

    def cotlab_steered(self, keys: list[str], lengths: list[int]) -> list[int]:
        """At how many of their first tokens the edits of these requests were applied."""
        return self._cotlab().steered(keys, lengths)

    def cotlab_take_read(self, key: str) -> dict[str, tuple[list[int], str, bytes]]:
        """What was read of a request."""
        taken = self._cotlab().take_read(key)
        return taken if self.rank == 0 else {}

    def cotlab_hooks(self) -> int:
        """How many hooks there are."""
        return self._cotlab().n_hooks()

    def _cotlab(self) -> Hooking:
        found: Hooking | None = getattr(self, "_cotlab_hooking", None)
        if found is None:
            found = self._cotlab_hooking = Hooking(Runner(self.model_runner))
        return found


def unpack_read(taken: dict[str, tuple[list[int], str, bytes]]) -> dict[HookPoint, Any]:
    """Inverse of `Hooking.take_read`."""
    return {
        HookPoint.parse(point): np.frombuffer(data, dtype=dtype).reshape(shape)
        for point, (shape, dtype, data) in taken.items()
    }
