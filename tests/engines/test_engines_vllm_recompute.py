"""Steered sequences that vLLM computes again, in parts, or in processes of its own; each opens its own engine."""

import pytest
from engines_small import byte_tokenizer
from steering_reference import Steered, holds, random_vector, small_folder
from vllm_reference import TOLERANCE, needs_vllm

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Request
from cotlab.engines.vllm import VllmEngine, VllmOptions
from cotlab.interventions import Baseline, Condition, Steering, Where

pytestmark = needs_vllm

LONG = Prefix(tuple((37 * i * i + 11 * i + 5) % 250 for i in range(120)), 100)


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def folder(tmp_path_factory, request):
    return small_folder(tmp_path_factory.mktemp("models"), request.param)


@pytest.fixture(scope="module")
def reference(folder):
    return Steered(folder)


def ask(prefix, intervention, n, settings):
    return [Request(Condition(prefix, settings, intervention), i, 1_000_003 * i + 5) for i in range(n)]


def test_rollouts_that_are_preempted_and_computed_again_are_steered_alike(folder, reference):
    steering_list = [
        Steering.of(random_vector(1, "resid_post:0"), 5.0, Where("new")),
        Steering.of(random_vector(2, "resid_post:0"), 5.0, Where("response", step_ends=("e", "a", " "))),
    ]
    options = VllmOptions(max_rows=24, kv_gib=700 * 2 * 2 * 32 * 4 / 2**30, dtype="float32", max_model_len=400)
    with VllmEngine(
        folder, byte_tokenizer(), name="small", revision="random", template_id="plain", options=options
    ) as engine:
        settings = SamplingSettings(1.0, 1.0, 0, 260)
        requests = [r for arm in [Baseline(), *steering_list] for r in ask(LONG, arm, 6, settings)]
        scheduler = engine._llm.llm_engine.engine_core.engine_core.scheduler
        preempted = []
        original = scheduler._preempt_request
        scheduler._preempt_request = lambda request, *args, **kw: (
            preempted.append(request.request_id),
            original(request, *args, **kw),
        )
        rollouts = list(engine.sample(requests))
    assert preempted, "memory must be short for this test to mean something"
    arms = {arm.id: arm for arm in steering_list}
    for rollout in rollouts:
        arm = arms.get(rollout.intervention_id)
        ids = [*LONG.token_ids, *rollout.token_ids]
        wanted = reference.logprobs(ids, arm, LONG)[len(LONG.token_ids) - 1 :]
        assert rollout.logprobs == pytest.approx(wanted, abs=TOLERANCE)
        if arm is not None:
            assert rollout.steered_tokens == sum(holds(arm.where, ids[:-1], LONG.n_prompt, len(LONG.token_ids)))
