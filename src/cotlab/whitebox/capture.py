"""Activations of a whole run, streamed to `acts/<hook>/<capture>-<shard>.safetensors` with an index in the run.

1. Rollouts are read one by one, each under the intervention that it was sampled under.
2. Rows wait until a shard is full; then its files are written beside and renamed, and indexed in one transaction. What
   is not indexed is not there: an interrupted capture goes on with the rollouts that lack rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.cutting import get_cutter
from cotlab.chains.rollout import Rollout
from cotlab.engines.base import Engine, Passage
from cotlab.errors import UserError
from cotlab.interventions import HookPoint
from cotlab.runs import Run
from cotlab.runs.captures import ActivationRow
from cotlab.sampling import Progress, Silent

__all__ = ["At", "CapturePlan", "CaptureSize", "capture_run", "read_capture"]

At = Literal["step-ends", "step-starts", "step-means", "all"]
Dtype = Literal["bf16", "f32"]
SHARD_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """What is asked."""

    hooks: tuple[str, ...]
    at: At = "step-ends"
    """The last token of each step, its first, the mean over it (at its last token), or every token of the response."""
    dtype: Dtype = "bf16"
    cutter: str = "sentences"

    def __post_init__(self) -> None:
        for ok, told in (
            (self.at in get_args(At), f"at '{self.at}' not understood. Use {', '.join(get_args(At))}"),
            (self.dtype in get_args(Dtype), f"dtype '{self.dtype}' not understood. Use bf16 or f32"),
            (self.hooks, "no hook point is asked for. Use --hook resid_post:2"),
            (
                not any(hook.startswith("pattern") for hook in self.hooks),
                "patterns are not captured: they are quadratic",
            ),
        ):
            if not ok:
                raise UserError(told)

    @property
    def points(self) -> list[HookPoint]:
        """The hook points."""
        return [HookPoint.parse(hook) for hook in self.hooks]


@dataclass(frozen=True, slots=True)
class CaptureSize:
    """What a capture will take, or took."""

    capture_id: str
    rollouts: int
    """Rollouts that are, or were, still to be read."""
    tokens: int
    rows: int
    """Rows at each hook point."""
    n_bytes: int

    def line(self) -> str:
        """For people."""
        return (
            f"{self.rollouts:,} rollouts of {self.tokens:,} tokens to read, {self.rows:,} rows at each hook point, "
            f"{self.n_bytes / 2**20:,.1f} MiB"
        )


def capture_run(
    run: Run, engine: Engine, plan: CapturePlan, *, progress: Progress | None = None, dry: bool = False
) -> CaptureSize:
    """Capture what a run lacks; a second time nothing is read.

    Args:
        run: Open for writing.
        engine: Of the run's model.
        plan: What is asked.
        progress: Told the size before it starts, and how it goes.
        dry: Only tell the size.

    Raises:
        UserError: The model has no such hook point.
        EngineError: The engine broke; what it gave is stored.
    """
    progress = progress or Silent()
    shape, points = engine.shape, plan.points
    width = sum(point.width(shape) for point in points)
    card = engine.card.to_json()
    spec = {"hooks": list(plan.hooks), "at": plan.at, "dtype": plan.dtype, "cutter": plan.cutter, "engine": card}
    capture_id = run.add_capture(spec)
    done = run.captured(capture_id)
    cut = _places_of(plan, engine)
    rollouts = tokens = rows = 0
    for rollout in _readable(run, done):
        rollouts += 1
        tokens += rollout.n_tokens
        rows += len(cut(run, rollout))
    size = CaptureSize(capture_id, rollouts, tokens, rows, rows * width * (2 if plan.dtype == "bf16" else 4))
    progress.say(size.line())
    if dry or not rollouts:
        return size
    progress.phase(f"reading {', '.join(plan.hooks)}", rollouts)
    shard = _Shard(run, capture_id, plan)
    for rollout, read, spans in _read(run, engine, points, done, cut):
        shard.add(rollout, read, spans)
        progress.advance(1, rollout.n_tokens)
    shard.write()
    return size


def read_capture(run: Run, capture_id: str, hook: str) -> Iterator[tuple[ActivationRow, NDArray[np.float32]]]:
    """Captured activations, a rollout at a time: where they are from, and the rows, shape (places, width)."""
    from safetensors.torch import load_file

    shard, tensor = "", None
    for row in run.activation_rows(capture_id, hook):
        if row.shard != shard:
            shard, tensor = row.shard, load_file(run.path / row.shard)["activations"]
        if tensor is not None:
            yield row, tensor[row.first : row.first + len(row.places)].float().numpy()


Spans = list[tuple[int, int]]
"""Tokens of the response that each row is of: first, and one past the last."""


def _places_of(plan: CapturePlan, engine: Engine) -> Callable[[Run, Rollout], Spans]:
    cutter = get_cutter(plan.cutter)

    def places(run: Run, rollout: Rollout) -> Spans:
        kept = run.prefix(rollout.prefix_id).kept_ids
        ids = kept + (rollout.token_ids or ())
        if plan.at == "all":
            return [(i, i + 1) for i in range(len(kept), len(ids))]
        steps = [step for step in cutter.cut(ids, engine.tokenizer) if step.end > len(kept)]
        first = [max(step.start, len(kept)) for step in steps]
        if plan.at == "step-starts":
            return [(start, start + 1) for start in first]
        if plan.at == "step-ends":
            return [(step.end - 1, step.end) for step in steps]
        return [(start, step.end) for start, step in zip(first, steps, strict=True)]

    return places


def _readable(run: Run, done: set[str]) -> Iterator[Rollout]:
    return (r for r in run.rollouts() if r.token_ids and r.provenance == "sampled" and r.id not in done)


def _read(
    run: Run,
    engine: Engine,
    points: Sequence[HookPoint],
    done: set[str],
    cut: Callable[[Run, Rollout], Spans],
) -> Iterator[tuple[Rollout, dict[HookPoint, NDArray[np.float32]], Spans]]:
    waiting: list[tuple[Rollout, Spans]] = []
    interventions = {key: run.intervention(key) for key in run.interventions()}

    def passages() -> Iterator[tuple[Passage, list[int]]]:
        for rollout in _readable(run, done):
            prefix, spans = run.prefix(rollout.prefix_id), cut(run, rollout)
            waiting.append((rollout, spans))
            places = [prefix.n_prompt + i for first, end in spans for i in range(first, end)]
            yield Passage(prefix, rollout.token_ids or (), interventions[rollout.intervention_id]), places

    asked = passages()
    places: list[list[int]] = []

    def sequences() -> Iterator[Passage]:
        for passage, its in asked:
            places.append(its)
            yield passage

    def wanted() -> Iterator[list[int]]:
        while True:
            yield places.pop(0)

    for read in engine.read(sequences(), points, wanted()):
        rollout, spans = waiting.pop(0)
        bounds = np.cumsum([end - first for first, end in spans])[:-1]
        means = {p: np.array([part.mean(0) for part in np.split(value, bounds)]) for p, value in read.items() if spans}
        yield rollout, means, spans


class _Shard:
    """Rows that are not written yet."""

    def __init__(self, run: Run, capture_id: str, plan: CapturePlan) -> None:
        self.run, self.capture_id, self.plan = run, capture_id, plan
        self.number = run.n_shards(capture_id)
        self.rows: dict[HookPoint, list[NDArray[np.float32]]] = {point: [] for point in plan.points}
        self.index: list[tuple[str, int, tuple[int, ...]]] = []
        self.n = self.n_bytes = 0

    def add(self, rollout: Rollout, read: dict[HookPoint, NDArray[np.float32]], spans: Spans) -> None:
        if not spans:
            return
        for point, values in read.items():
            self.rows[point].append(values)
            self.n_bytes += values.nbytes
        self.index.append((rollout.id, self.n, tuple(end - 1 for _, end in spans)))
        self.n += len(spans)
        if self.n_bytes >= SHARD_BYTES:
            self.write()

    def write(self) -> None:
        if not self.index:
            return
        import torch
        from safetensors.torch import save_file

        dtype = torch.bfloat16 if self.plan.dtype == "bf16" else torch.float32
        found = []
        for point, rows in self.rows.items():
            folder = str(point).replace(":", ".")
            name = f"acts/{folder}/{self.capture_id[:12]}-{self.number:05d}.safetensors"
            target = self.run.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(f"{target}.tmp")
            save_file({"activations": torch.from_numpy(np.concatenate(rows)).to(dtype)}, temporary)
            os.replace(temporary, target)
            found += [ActivationRow(rollout, str(point), name, first, places) for rollout, first, places in self.index]
        self.run.add_activations(self.capture_id, found)
        self.rows = {point: [] for point in self.rows}
        self.index, self.n, self.n_bytes, self.number = [], 0, 0, self.number + 1
