"""Where traces come from, as a user names it, and models that read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cotlab.chains.think import ThinkTags
from cotlab.errors import DataError, UserError
from cotlab.interventions import Baseline
from cotlab.interventions.hook_points import HookPoint
from cotlab.runs import Run
from cotlab.runs.run_identity import read_identity
from cotlab.saes.activations import read_rows
from cotlab.saes.traces import Trace, file_traces, run_traces, special_ids
from cotlab.whitebox.inside import Inside

__all__ = ["TraceSource", "check_problems", "held_rows", "norm_scale", "open_reader", "think_tags"]

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Runs or a data file, and how much of them."""

    runs: tuple[Path, ...] = ()
    data: Path | None = None
    """JSONL of prompt and response, in place of runs or besides them."""
    n: int = 1000
    """Rollouts of each run, and lines of the file, at most."""
    longest: int = 4096
    """Tokens of a trace that are read; the rest is cut off."""
    seed: int = 0
    """Of the choice of rollouts."""

    def read(self, inside: Inside, tags: ThinkTags | None) -> list[Trace]:
        """The traces, in an order that depends on the seed.

        Args:
            inside: A model whose tokenizer the texts and the runs have.
            tags: Think tags.

        Raises:
            UserError: Neither a run nor a file is named.
            DataError: A run or the file has nothing to read, or holds tokens that the model does not know.
        """
        if not self.runs and self.data is None:
            raise UserError("nothing to read: name runs with --run, or a JSONL file with --data")
        found = run_traces(self.runs, inside.tokenizer, n=self.n, tags=tags, seed=self.seed) if self.runs else []
        if self.data is not None:
            found += file_traces(self.data, inside.tokenizer, n=self.n, tags=tags)
        config = inside.model.config.get_text_config(decoder=True)
        longest = min(self.longest, int(config.max_position_embeddings))
        cut = [trace.cut(longest) for trace in found]
        if any(max(trace.ids) >= config.vocab_size for trace in cut):
            raise DataError(f"the rollouts hold tokens that '{inside.name}' does not know: they are of another model")
        return cut

    def foreign(self, model: str) -> list[str]:
        """A line for each run that another model wrote: what is read there is not this one's own reasoning."""
        named = [(path.name, read_identity(path).model) for path in self.runs]
        return [
            f"run {name} was written by '{its}': '{model}' reads another model's reasoning, not its own"
            for name, its in named
            if its != model
        ]

    def lines(self, traces: Sequence[Trace], model: str) -> list[str]:
        """For people: what was read, why that is less than was asked for, and runs of other models."""
        asked = self.n * (len(self.runs) + (self.data is not None))
        said = f"{len(traces):,} rollouts of {len({trace.problem for trace in traces}):,} problems"
        if len(traces) < asked:
            said += (
                f", not {asked:,} as -n asks for: only rollouts from the prompt itself with their tokens are read, of "
                "each problem as many as of the others"
            )
        return [said, *self.foreign(model)]

    @property
    def told(self) -> str:
        """For cards."""
        return ", ".join([*(path.name for path in self.runs), *([self.data.name] if self.data else [])])


def check_problems(source: TraceSource, least: int, what: str) -> None:
    """Say so where runs have too few problems, before a model is loaded; a data file is not looked into.

    Args:
        source: What is to be read.
        least: So many are needed.
        what: What for: `fine-tuning needs at least 12 problems: …`.

    Raises:
        UserError: They have fewer.
    """
    if not source.runs or source.data is not None:
        return
    found: set[str] = set()
    for path in source.runs:
        with Run.open(path) as run:
            owner = {row.id: row.problem_id for row in run.prefixes() if row.n_tokens == row.n_prompt}
            rows = run.rollouts(intervention_id=Baseline().id, bodies=False)
            found |= {owner[row.prefix_id] for row in rows if row.prefix_id in owner}
    if len(found) < least:
        raise UserError(
            f"{', '.join(map(str, source.runs))}: rollouts of {len(found)} problems, and {what}. Sample more problems"
        )


def open_reader(name: str, *, device: str = "cpu", dtype: str = "float32") -> Inside:
    """A model that is read and spliced: patterns are not looked at, so attention runs in its fast form.

    Raises:
        ModelError: It is not there, or its family has no hook points.
        UserError: There is no such number format.
    """
    if dtype not in DTYPES:
        raise UserError(f"unknown number format '{dtype}'. Use one of {', '.join(DTYPES)}")
    inside = Inside.open(name, device=device, dtype=dtype)
    inside.model.set_attn_implementation("sdpa")
    return inside


def think_tags(name: str) -> ThinkTags | None:
    """Tags around the thoughts of a model, as its card has them."""
    from cotlab.models import resolve_model

    return resolve_model(name).card.tags


def held_rows(inside: Inside, traces: list[Trace], point: HookPoint, most: int = 1 << 14) -> Tensor:
    """Activations of traces that are not trained on, shape (tokens, width), as many as are asked for.

    Raises:
        DataError: There are none.
    """
    found, n = list[Tensor](), 0
    for _, rows in read_rows(inside, traces, point, special_ids(inside.tokenizer)):
        found.append(rows)
        n += len(rows)
        if n >= most:
            break
    if not n:
        raise DataError("no rollouts are left to judge the training by: sample more problems")
    return torch.cat(found)[:most]


def norm_scale(rows: Tensor) -> float:
    """√width / mean‖x‖: what brings activations to the norm that trainers' settings are for."""
    return float(rows.shape[1] ** 0.5 / rows.float().norm(dim=1).mean())
