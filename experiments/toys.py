"""Toy models whose every value is known, taken through the same pipeline as a model that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cotlab as ct
from cotlab.chains.chain import Chain
from cotlab.engines import MarkovEngine
from cotlab.engines.markov_specs import MARKOV_SPECS
from cotlab.errors import UserError
from cotlab.reports import Recovered
from cotlab.runs import Run
from cotlab.sampling import FinishedStudy
from cotlab.stats import Estimate, proportion_estimate
from experiments.lab import Lab

__all__ = ["Toy", "covered", "main_path", "toy_chain", "toy_study"]

QUESTION, ANSWER = "Climb.", "7"


@dataclass(frozen=True, slots=True)
class Toy:
    """The main path of a toy model, sampled at every step, with its law."""

    name: str
    run: Run
    chain: Chain
    study: FinishedStudy
    engine: MarkovEngine

    def values(self) -> list[float]:
        """Exact chance of the right answer before each step and at the end, where the chain is right."""
        kept = range(len(self.chain.steps))
        return [self.engine.value(self.chain.prefix(k), self.study.settings) for k in kept] + [1.0]


def main_path(engine: MarkovEngine) -> str:
    """What the rollout says that takes every main step and ends right.

    Raises:
        UserError: The spec is no staircase.
    """
    steps = [symbol for symbol in engine.spec.symbols if symbol.startswith(" Step ")]
    if not steps:
        raise UserError(f"spec '{engine.spec.name}' has no main path: use lucky, steady, staircase or null")
    return "".join(steps) + f"</think>\n\\boxed{{{ANSWER}}}"


def toy_study(
    lab: Lab, spec: str, n: int, *, share: float, positions: str = "every", temperature: float = 1.0
) -> FinishedStudy:
    """Resample the main path of `markov:<spec>` in the run folder `oracle-<spec>`.

    Each spec has a seed of its own: their prefixes are the same tokens, so one seed would give all the same noise. So
    has each temperature, in a run folder of its own: a choice of equal chances is the same at every temperature.
    """
    with toy_engine(spec) as engine:
        said = main_path(engine)
    page = lab.out / f"main-path-{spec}.json"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(json.dumps({"question": QUESTION, "answer": ANSWER, "response": said}), encoding="utf-8")
    return lab.resample(
        f"oracle-{spec}" if temperature == 1.0 else f"oracle-{spec}-{temperature:g}",
        share=share,
        model=f"markov:{spec}",
        transcript=page,
        n=n,
        positions=positions,
        temperature=temperature,
        seed=lab.seed + 1 + list(MARKOV_SPECS).index(spec) + round(1000 * abs(1 - temperature)),
    )


@contextmanager
def toy_engine(spec: str) -> Iterator[MarkovEngine]:
    """The engine of `markov:<spec>`, which knows its law."""
    with ct.open_engine(f"markov:{spec}").engine as engine:
        if not isinstance(engine, MarkovEngine):
            raise UserError(f"'markov:{spec}' is no toy model")
        yield engine


@contextmanager
def toy_chain(spec: str, study: FinishedStudy) -> Iterator[Toy]:
    """The main path of a toy study, for reading."""
    with toy_engine(spec) as engine, ct.Run.open(Path(study.path)) as run:
        chain = next(one for one in run.chains() if one.role == "given")
        yield Toy(spec, run, chain, study, engine)


def covered(name: str, held: Estimate, *, level: float = 0.95, least: float) -> Recovered:
    """Whether intervals hold exact numbers as often as they promise, told by enough of them.

    Args:
        name: Of the row.
        held: Share of exact numbers that were held.
        level: What the intervals promise.
        least: Coverage that must be excluded, so that few numbers or a wide interval do not count as recovered. Where
            no row of as many numbers could exclude it there are too few to tell.
    """
    all_held = proportion_estimate(held.n, held.n, min_n=1).low
    if all_held is None or all_held < least:
        rule = f"{held.n} numbers are too few to tell coverage from {least:g}: draw more rollouts"
        return Recovered(name=name, planted=level, value=held.value, n=held.n, ok=None, rule=rule)
    ok = held.low is not None and held.high is not None and held.low >= least and held.high >= level
    rule = f"the 95% interval is wholly at {least:g} or above, and reaches {level:g}"
    return Recovered(
        name=name, planted=level, value=held.value, low=held.low, high=held.high, n=held.n, ok=ok, rule=rule
    )
