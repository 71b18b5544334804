"""What the tests of the vLLM engine compare with: a plain transformers forward pass in float32."""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Engine, Failure, Request
from cotlab.identity import seed_for
from cotlab.interventions.base import Baseline, Intervention
from cotlab.interventions.condition import Condition

TOLERANCE = 1e-4
NEAR_TIE = 1e-3

needs_vllm = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
    pytest.mark.timeout(900),
]


class Reference:
    """The same weights without vLLM."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def scores(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Log probabilities `[n − 1, vocabulary]` of what follows each token but the last."""
        with torch.no_grad():
            logits: torch.Tensor = self.model(torch.tensor([list(token_ids)])).logits[0, :-1]
        return logits.log_softmax(-1)

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Teacher-forced log probabilities of tokens 1 … n−1."""
        return self.scores(token_ids).gather(1, torch.tensor(token_ids[1:])[:, None])[:, 0].tolist()


def first_near_tie(scores: torch.Tensor) -> int:
    """Index of the first row whose two best tokens are nearly equal; the number of rows if there is none."""
    best = scores.topk(2).values
    close = ((best[:, 0] - best[:, 1]) < NEAR_TIE).nonzero()
    return int(close[0]) if len(close) else len(scores)


def request(
    prefix: Prefix,
    sample_idx: int = 0,
    settings: SamplingSettings | None = None,
    seed: int | None = None,
    intervention: Intervention | None = None,
) -> Request:
    """A request with the seed that a study would give it."""
    condition = Condition(prefix, settings or SamplingSettings(1.0, 1.0, 0, 60), intervention or Baseline())
    return Request(condition, sample_idx, seed_for(7, prefix.id, sample_idx) if seed is None else seed)


def sample(engine: Engine, requests: Iterable[Request]) -> list[Rollout]:
    """All rollouts, in the order of the requests; there must be no failure."""
    requests = list(requests)
    results = list(engine.sample(requests))
    assert not [result for result in results if isinstance(result, Failure)]
    found = {(result.prefix_id, result.sample_idx, result.seed): result for result in results}
    assert len(results) == len(requests)
    return [found[item.condition.prefix.id, item.sample_idx, item.seed] for item in requests]


@dataclass(frozen=True, slots=True)
class Unknown(Intervention):
    """An intervention that no engine knows."""

    kind = "unknown"
