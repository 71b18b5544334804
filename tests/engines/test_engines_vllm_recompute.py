"""Steered sequences that vLLM computes again, in parts, or in processes of its own; each opens its own engine."""

import pytest
from engines_small import byte_tokenizer
from steering_reference import Steered, holds, random_vector, small_folder
from vllm_reference import TOLERANCE, needs_vllm

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Passage, Request
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


def test_prefixes_that_are_computed_in_chunks_are_steered_alike(folder, reference, monkeypatch):
    """Log probabilities of given tokens: rollouts of a CPU carry seeds, which its runner cannot chunk."""
    from cotlab.engines import vllm_settings

    whole = vllm_settings._cpu_arguments
    small = {"enable_chunked_prefill": True, "max_num_batched_tokens": 48, "max_num_seqs": 4}
    monkeypatch.setattr(vllm_settings, "_cpu_arguments", lambda model, options: {**whole(model, options), **small})
    wheres = (Where("response"), Where("response", step_ends=("e", "a", " ")), Where("last", n=70), Where("prompt"))
    arms = [Steering.of(random_vector(i, "resid_post:0"), 5.0, where) for i, where in enumerate(wheres)]
    passages = [Passage(LONG, tuple(range(30, 60)), arm) for arm in [Baseline(), *arms]]
    options = VllmOptions(max_rows=4, kv_gib=0.05, dtype="float32", max_model_len=400)
    with VllmEngine(
        folder, byte_tokenizer(), name="small", revision="random", template_id="plain", options=options
    ) as engine:
        sizes = []
        runner = engine._llm.llm_engine.model_executor.driver_worker.worker.model_runner
        handle = runner.model.register_forward_pre_hook(
            lambda module, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
        )
        scored = list(engine.logprobs(passages))
        handle.remove()
    assert max(sizes) <= 48 < len(LONG.token_ids), "prefixes must be computed in chunks for this test to mean something"
    for passage, got in zip(passages, scored, strict=True):
        arm = passage.intervention if isinstance(passage.intervention, Steering) else None
        assert got == pytest.approx(reference.logprobs(passage.token_ids, arm, LONG), abs=TOLERANCE)
