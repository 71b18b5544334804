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
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.engines.base import Activations, Engine, Passage
from cotlab.errors import UserError
from cotlab.interventions import HookPoint
from cotlab.interventions.hook_points import VISION_KINDS
from cotlab.runs import Run
from cotlab.runs.captures import ActivationRow
from cotlab.sampling import Progress, Silent

__all__ = ["At", "CapturePlan", "CaptureSize", "Shard", "capture_run", "means", "places_of", "read_capture"]

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
            (
                not any(hook.startswith(VISION_KINDS) for hook in self.hooks),
                f"what belongs to the images of a prompt ({', '.join(VISION_KINDS)}) is not captured of rollouts: read "
                "it with Engine.read or Inside.read",
            ),
        ):
            if not ok:
                raise UserError(told)

    def spec(self, engine: Engine) -> dict[str, Any]:
        """What a capture is known by: captures of one spec are one, whenever their rows were taken."""
        asked = {"hooks": list(self.hooks), "at": self.at, "dtype": self.dtype, "cutter": self.cutter}
        return {**asked, "engine": engine.card.to_json()}

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

    def line(self, *, done: bool = False) -> str:
        """For people: what is to be read, or was."""
        return (
            f"{self.rollouts:,} rollouts of {self.tokens:,} tokens {'' if done else 'to '}read, {self.rows:,} rows at "
            f"each hook point, {self.n_bytes / 2**20:,.1f} MiB"
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
    capture_id = run.add_capture(plan.spec(engine))
    done = run.captured(capture_id)
    cut = places_of(plan, engine)
    rollouts = tokens = rows = 0
    for rollout in _readable(run, done):
        rollouts += 1
        tokens += rollout.n_tokens
        rows += len(cut(run.prefix(rollout.prefix_id), rollout))
    size = CaptureSize(capture_id, rollouts, tokens, rows, rows * width * (2 if plan.dtype == "bf16" else 4))
    progress.say(size.line())
    if dry or not rollouts:
        return size
    progress.phase(f"reading {', '.join(plan.hooks)}", rollouts)
    shard = Shard(run, capture_id, plan)
    for rollout, read, spans in _read(run, engine, points, done, cut):
        shard.add(rollout, read, spans)
        if shard.full:
            shard.write()
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


def places_of(plan: CapturePlan, engine: Engine) -> Callable[[Prefix, Rollout], Spans]:
    """Gives the tokens that a plan captures of a rollout and its prefix."""
    cutter = get_cutter(plan.cutter)

    def places(prefix: Prefix, rollout: Rollout) -> Spans:
        kept = prefix.kept_ids
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
    cut: Callable[[Prefix, Rollout], Spans],
) -> Iterator[tuple[Rollout, dict[HookPoint, NDArray[np.float32]], Spans]]:
    waiting: list[tuple[Rollout, Spans]] = []
    interventions = {key: run.intervention(key) for key in run.interventions()}

    def passages() -> Iterator[tuple[Passage, list[int]]]:
        for rollout in _readable(run, done):
            prefix = run.prefix(rollout.prefix_id)
            spans = cut(prefix, rollout)
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
        yield rollout, {p: means(np.split(value, bounds)) for p, value in read.items() if spans}, spans


def means(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean over each span, from its rows."""
    return np.array([part.mean(0) for part in parts])


class Shard:
    """Rows that are not written yet."""

    def __init__(self, run: Run, capture_id: str, plan: CapturePlan) -> None:
        self.run, self.capture_id, self.plan = run, capture_id, plan
        self.number = run.n_shards(capture_id)
        self.waiting: dict[str, tuple[Activations, tuple[int, ...]]] = {}
        """By rollout: rows at each hook point, and the token of the response that each is of."""
        self.n_bytes = 0

    @property
    def full(self) -> bool:
        """Whether it is time to write."""
        return self.n_bytes >= SHARD_BYTES

    def add(self, rollout: Rollout, rows: Activations, spans: Spans) -> None:
        """Let rows wait."""
        if spans:
            self.waiting[rollout.id] = rows, tuple(end - 1 for _, end in spans)
            self.n_bytes += sum(values.nbytes for values in rows.values())

    def write(self) -> None:
        """Write the rows of rollouts that the run holds; others go on waiting."""
        stored = self.run.stored(self.waiting)
        taken = {key: its for key, its in self.waiting.items() if key in stored}
        if not taken:
            return
        import torch
        from safetensors.torch import save_file

        dtype = torch.bfloat16 if self.plan.dtype == "bf16" else torch.float32
        firsts = np.cumsum([0, *(len(places) for _, places in taken.values())]).tolist()
        found = []
        for point in self.plan.points:
            folder = str(point).replace(":", ".")
            name = f"acts/{folder}/{self.capture_id[:12]}-{self.number:05d}.safetensors"
            target = self.run.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(f"{target}.tmp")
            rows = np.concatenate([values[point] for values, _ in taken.values()])
            save_file({"activations": torch.from_numpy(rows).to(dtype)}, temporary)
            os.replace(temporary, target)
            found += [
                ActivationRow(rollout, str(point), name, first, places)
                for (rollout, (_, places)), first in zip(taken.items(), firsts, strict=False)
            ]
        self.run.add_activations(self.capture_id, found)
        self.waiting = {key: its for key, its in self.waiting.items() if key not in taken}
        self.n_bytes = sum(values.nbytes for rows, _ in self.waiting.values() for values in rows.values())
        self.number += 1
