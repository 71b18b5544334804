"""Small real runs for the tests of the run folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.score import Score
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.interventions.base import Baseline
from cotlab.models.engine_card import EngineCard
from cotlab.runs import Run, RunIdentity

IDENTITY = RunIdentity(
    model="tiny", tokenizer_id="tok", template_id="r1", think_open="<think>", think_close="</think>", title="test"
)
PROBLEM = Problem("What is 6 × 7?", "42", name="six-seven", meta={"numbers": [6, 7]})
SETTINGS = SamplingSettings(temperature=1.0, max_tokens=64, stop=("\n\n",))
CARD = EngineCard("markov", "tiny", "r", "tok", "r1", "float32", (("numpy", "2"),))
BASELINE = Baseline()
PROMPT = Prefix((10, 11, 12), 3)
RESPONSE = (20, 21, 22, 23, 24, 2)
CONDITION = (SETTINGS.id, CARD.id, BASELINE.id)


def rollout(prefix: Prefix = PROMPT, sample_idx: int = 0, *, seed: int = 1, text: str | None = None) -> Rollout:
    """A rollout whose content follows from its key and its seed."""
    token_ids = (*RESPONSE[:-1], 100 + (sample_idx * 7 + seed) % 50, 2)
    return Rollout(
        prefix_id=prefix.id,
        intervention_id=BASELINE.id,
        settings_id=SETTINGS.id,
        engine_card_id=CARD.id,
        sample_idx=sample_idx,
        seed=seed,
        text=f"sample {sample_idx}" if text is None else text,
        finish_reason="stop",
        token_ids=token_ids,
        logprobs=tuple(-0.5 * (i + 1) for i in range(len(token_ids))),
    )


def chain(of: Rollout) -> Chain:
    """A cut of a rollout from the prompt into three steps."""
    assert of.token_ids is not None
    n = len(of.token_ids)
    steps = (Step(0, 0, 2, "Six "), Step(1, 2, 5, "times "), Step(2, 5, n, "seven."))
    return Chain(PROBLEM.id, of.id, PROMPT.token_ids, of.token_ids, "sentences/1", steps, "random")


def fill(run: Run, samples: int = 4, *, first: int = 0, seed: int = 1) -> str:
    """Store a problem, a prompt, rollouts `first` … `first + samples − 1`, a chain, scores; returns the study id."""
    run.add_problems([PROBLEM])
    run.add_settings(SETTINGS)
    run.add_engine_card(CARD)
    run.add_intervention(BASELINE)
    run.add_prefix(PROMPT, PROBLEM.id, text="Q: ")
    study_id = run.add_study({"n": samples, "policy": "all"}, seed)
    rollouts = [rollout(sample_idx=idx, seed=seed) for idx in range(first, first + samples)]
    run.add_rollouts(rollouts, study_id=study_id)
    cut = chain(rollouts[0])
    run.add_chain(cut)
    run.add_chain_prefixes(cut)
    run.add_scores(
        Score(
            "rollout", r.id, "math/1", {"answer": "42", "key": "42", "outcome": "correct" if r.sample_idx else "wrong"}
        )
        for r in rollouts
    )
    run.add_scores([Score("step", f"{cut.id}/1", "tiny-oracle/1", {"category": "active_computation"})])
    run.add_scores([Score("prefix", PROMPT.id, "value/1", {"value": 0.5})])
    return study_id


def make(path: Path, samples: int = 4, *, first: int = 0, seed: int = 1) -> Path:
    """A filled run, closed."""
    with Run.create(path, IDENTITY) as run:
        fill(run, samples, first=first, seed=seed)
    return path


def without_rights(action: Callable[[], object]) -> str:
    """What `action` returns (or raises), as text, in a process to which file modes apply.

    Root ignores them, so root becomes nobody in a forked child first.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            said = str(action())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said
