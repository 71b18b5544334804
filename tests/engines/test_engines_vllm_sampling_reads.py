"""Activations taken while vLLM samples are those that transformers reads of the finished rollouts."""

import pytest
import torch
from engines_small import byte_tokenizer
from steering_reference import PREFIXES, small_folder, steerings
from vllm_reference import TOLERANCE, needs_vllm

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Failure, Passage, Request
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.engines.vllm import VllmEngine, VllmOptions
from cotlab.errors import ModelError
from cotlab.interventions import Baseline, Condition, HookPoint

pytestmark = needs_vllm

POINTS = [HookPoint.parse(p) for p in ("resid_post:0", "mlp_out:1", "resid_post:1")]
SETTINGS = SamplingSettings(1.0, 1.0, 0, 70)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_folder(tmp_path_factory.mktemp("models"), "qwen2")


@pytest.fixture(scope="module")
def engine(folder):
    # So few blocks that not all requests fit: some are preempted, and computed again.
    options = VllmOptions(max_rows=64, kv_gib=0.002, dtype="float32")
    with VllmEngine(
        folder, byte_tokenizer(), name="small", revision="random", template_id="plain", options=options
    ) as engine:
        yield engine


def ask(n):
    arms = [Baseline(), *steerings()]
    return [
        Request(Condition(prefix, SETTINGS, arm), i, 1_000_003 * i + 5)
        for prefix in PREFIXES
        for arm in arms
        for i in range(n)
    ]


def test_what_is_read_while_sampling_is_what_transformers_reads_afterwards(engine, folder):
    requests = ask(2)
    prefixes = {request.condition.prefix.id: request.condition.prefix for request in requests}
    arms = {request.condition.intervention.id: request.condition.intervention for request in requests}
    plain = {(r.prefix_id, r.intervention_id, r.sample_idx): r for r in engine.sample(requests)}
    before = engine.stats.new_tokens
    found = list(engine.sample_reading(requests, POINTS))
    assert engine.stats.new_tokens - before == sum(r.n_tokens for r in plain.values())
    assert len(found) == len(requests) and not any(isinstance(one, Failure) for one in found)
    with TransformersEngine(
        folder, byte_tokenizer(), name="small", revision="random", template_id="plain",
        options=TransformersOptions(device="cpu"),
    ) as other:  # fmt: skip
        for rollout, read in found:
            same = plain[rollout.prefix_id, rollout.intervention_id, rollout.sample_idx]
            assert rollout.token_ids == same.token_ids and rollout.steered_tokens == same.steered_tokens
            prefix = prefixes[rollout.prefix_id]
            passage = Passage(prefix, rollout.token_ids, arms[rollout.intervention_id])
            places = range(len(prefix.token_ids), len(passage.token_ids))
            (wanted,) = other.read([passage], POINTS, [places])
            for point in POINTS:
                assert read[point].shape == (rollout.n_tokens, 64)
                assert read[point] == pytest.approx(wanted[point], abs=TOLERANCE)
    assert engine._llm.llm_engine.collective_rpc("cotlab_hooks")[0] == 0, "hooks go with the last request"


def test_the_default_of_engines_reads_in_a_second_pass(folder):
    prefix = Prefix((5, 6, 7, 8), 2)
    with TransformersEngine(
        folder, byte_tokenizer(), name="small", revision="random", template_id="plain",
        options=TransformersOptions(device="cpu"),
    ) as engine:  # fmt: skip
        torch.manual_seed(0)
        ((rollout, read),) = engine.sample_reading([Request(Condition(prefix, SETTINGS), 0, 3)], POINTS)
        (wanted,) = engine.read([Passage(prefix, rollout.token_ids)], POINTS)
        assert read[POINTS[0]] == pytest.approx(wanted[POINTS[0]][4:], abs=TOLERANCE)


def test_a_point_that_is_not_there_is_refused(engine):
    with pytest.raises(ModelError, match="the model has 2 layers"):
        list(engine.sample_reading(ask(1), [HookPoint("resid_post", 5)]))
