"""Interventions and reading in the transformers engine, against models that are hooked by hand."""

import numpy as np
import pytest
import torch
from engines_small import byte_tokenizer
from steering_reference import D_MODEL, PREFIXES, Steered, holds, random_vector, small_folder, steerings, text_prefix

from cotlab.chains.settings import SamplingSettings
from cotlab.engines import hf_model
from cotlab.engines.base import Passage, Request
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.errors import EngineError, ModelError
from cotlab.interventions import FAMILIES, Baseline, Condition, HookPoint, Steering, Where

SAMPLED = SamplingSettings(1.0, 1.0, 0, 60)
EXACT = 1e-4


def open_engine(folder, family="qwen2", **options) -> TransformersEngine:
    return TransformersEngine(
        folder,
        byte_tokenizer(),
        name=family,
        revision="random",
        template_id="plain",
        options=TransformersOptions(device="cpu", **options),
    )


def ask(prefix, intervention, n=2, settings=SAMPLED):
    return [Request(Condition(prefix, settings, intervention), i, 1_000_003 * i + 5) for i in range(n)]


@pytest.fixture(scope="module", params=["qwen2", "qwen3", "llama"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, family):
    return small_folder(tmp_path_factory.mktemp("models"), family)


@pytest.fixture(scope="module")
def engine(folder, family):
    with open_engine(folder, family) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference(folder):
    return Steered(folder)


def test_a_batch_of_many_interventions_says_what_each_says_alone_by_hand(engine, reference):
    arms = [None, *steerings()]
    requests = [r for prefix in PREFIXES for arm in arms for r in ask(prefix, arm or Baseline())]
    found = {(r.prefix_id, r.intervention_id, r.sample_idx): r for r in engine.sample(requests)}
    assert len(found) == len(requests)
    moved = []
    for prefix in PREFIXES:
        for arm in arms:
            for i in range(2):
                rollout = found[prefix.id, (arm or Baseline()).id, i]
                ids = [*prefix.token_ids, *rollout.token_ids]
                wanted = reference.logprobs(ids, arm, prefix)
                assert rollout.logprobs == pytest.approx(wanted[len(prefix.token_ids) - 1 :], abs=EXACT)
                plain = reference.logprobs(ids, None, prefix)
                moved.append(np.abs(np.array(wanted) - np.array(plain)).max())
                if arm is None:
                    assert rollout.steered_tokens is None
                else:
                    mask = holds(arm.where, ids[:-1], prefix.n_prompt, len(prefix.token_ids))
                    assert rollout.steered_tokens == sum(mask)
    assert np.median(moved) > 0.3, "vectors must do something for this test to mean something"


def test_teacher_forced_logprobs_under_interventions(engine, reference):
    tail = tuple(byte_tokenizer().encode("Then 2.\nWait! </think>\n4"))
    passages = [Passage(prefix, tail, arm) for prefix in PREFIXES for arm in [Baseline(), *steerings()]]
    for passage, got in zip(passages, engine.logprobs(passages), strict=True):
        arm = passage.intervention if isinstance(passage.intervention, Steering) else None
        assert got == pytest.approx(reference.logprobs(passage.token_ids, arm, passage.prefix), abs=EXACT)


def test_a_prefix_under_one_placing_is_not_taken_for_another(engine, reference):
    """The same tokens under the same intervention, but the prompt or the prefix ends elsewhere."""
    ids = PREFIXES[1].token_ids
    vector = random_vector(3, "resid_post:0")
    prefixes = [type(PREFIXES[1])(ids[:n], n_prompt) for n in (20, 24, len(ids)) for n_prompt in (3, 12)]
    for where in (Where("new"), Where("response"), Where("last", n=2), Where("prompt")):
        steering = Steering.of(vector, 4.0, where)
        for prefix in prefixes:
            (rollout,) = engine.sample(ask(prefix, steering, 1))
            wanted = reference.logprobs([*prefix.token_ids, *rollout.token_ids], steering, prefix)
            assert rollout.logprobs == pytest.approx(wanted[len(prefix.token_ids) - 1 :], abs=EXACT)


def test_baseline_logprobs_after_a_steered_run_are_as_before(engine):
    sequences = [[*prefix.token_ids, 5, 6, 7] for prefix in PREFIXES]
    before = list(engine.logprobs(sequences))
    list(engine.sample(r for prefix in PREFIXES for arm in steerings() for r in ask(prefix, arm)))
    assert list(engine.logprobs(sequences)) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in engine._model._model.modules())


def test_reading_gives_what_transformers_gives(engine, reference):
    ids = [*PREFIXES[2].token_ids]
    points = [HookPoint.parse(p) for p in ("resid_pre:0", "resid_post:0", "resid_pre:1", "resid_mid:1", "resid_post:1")]
    parts = [HookPoint.parse(p) for p in ("attn_out:1", "mlp_out:1", "z:1", "pattern:1")]
    (read,) = engine.read([ids], [*points, *parts])
    model = reference.model
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_hidden_states=True)
        before_norm: list = []
        handle = model.model.norm.register_forward_pre_hook(lambda m, a: before_norm.append(a[0]))
        model(torch.tensor([ids]))
        handle.remove()
    for point, states in ((points[0], out.hidden_states[0]), (points[1], out.hidden_states[1])):
        assert read[point] == pytest.approx(states[0].numpy(), abs=1e-4)
    assert read[points[2]] == pytest.approx(read[points[1]])
    assert read[points[4]] == pytest.approx(before_norm[0][0].numpy(), abs=1e-4)
    resid = {point.kind: read[point] for point in points[2:]}
    attention, mlp, z, pattern = (read[part] for part in parts)
    assert resid["resid_mid"] == pytest.approx(resid["resid_pre"] + attention, abs=1e-4)
    assert resid["resid_post"] == pytest.approx(resid["resid_mid"] + mlp, abs=1e-4)
    weight = model.model.layers[1].self_attn.o_proj.weight.detach().numpy()
    assert attention == pytest.approx(z @ weight.T, abs=1e-4)
    assert pattern.shape == (len(ids), 2, len(ids))
    assert pattern.sum(-1) == pytest.approx(np.ones((len(ids), 2)), abs=1e-4)
    assert np.triu(pattern[:, 0], 1).max() == 0


def test_reading_some_places_in_any_order_in_pieces_and_under_an_intervention(engine, monkeypatch):
    point = HookPoint.parse("resid_post:0")
    steering = Steering.of(random_vector(1, "resid_post:0"), 3.0, Where("response"))
    prefix = PREFIXES[1]
    (plain,) = engine.read([prefix.token_ids], [point])
    places = [7, 2, 30, 2]
    (some,) = engine.read([prefix.token_ids], [point], [places])
    assert some[point] == pytest.approx(plain[point][places])
    monkeypatch.setattr("cotlab.engines.hf.READ", 5)
    (pieces,) = engine.read([prefix.token_ids], [point, HookPoint.parse("pattern:0")], [places])
    assert pieces[point] == pytest.approx(plain[point][places], abs=1e-4)
    (steered,) = engine.read([Passage(prefix, (), steering)], [point])
    change = steered[point] - plain[point]
    assert change[: prefix.n_prompt] == pytest.approx(np.zeros((prefix.n_prompt, D_MODEL)), abs=1e-5)
    assert change[prefix.n_prompt :] == pytest.approx(
        np.tile(steering.delta(), (len(change) - prefix.n_prompt, 1)), abs=1e-4
    )


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (random_vector(0, "resid_post:2"), r"no hook point resid_post:2: the model has 2 layers, 0..1"),
        (random_vector(0, "resid_post:1", model="other", revision="x"), "vector 'v0' .* is of the model 'other'"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused_in_one_line(engine, vector, told):
    with pytest.raises(ModelError, match=told) as caught:
        list(engine.sample(ask(PREFIXES[0], Steering.of(vector, 1.0))))
    assert "\n" not in str(caught.value)


def test_a_vector_of_another_width_is_refused(engine):
    vector = random_vector(0, "resid_post:1")
    narrow = type(vector)(vector.points, vector.directions[:, :48], vector.card)
    with pytest.raises(ModelError, match="has width 48, the model '.*' has 64"):
        list(engine.sample(ask(PREFIXES[0], Steering.of(narrow, 1.0))))


def test_a_vector_that_is_never_applied_is_an_error(folder, family, monkeypatch):
    with open_engine(folder, family) as engine:
        assert engine._model.modules.shape.n_layers == 2
        monkeypatch.setattr(hf_model.Modules, "hook", lambda self, points, handler: [])
        with pytest.raises(EngineError, match="never applied at resid_post:1"):
            list(engine.sample(ask(PREFIXES[0], Steering.of(random_vector(0, "resid_post:1"), 1.0))))


def test_a_family_that_is_not_in_the_table_is_one_line_that_says_how_to_add_it(tmp_path):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=257, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    GPTNeoXForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer().hf.save_pretrained(tmp_path)
    with open_engine(tmp_path, "neox") as engine:
        assert len(list(engine.sample(ask(text_prefix("ab"), Baseline(), 1)))) == 1
        with pytest.raises(ModelError, match="hook points of the family 'gpt_neox' are not known") as caught:
            list(engine.sample(ask(text_prefix("ab"), Steering.of(random_vector(0, "resid_post:0"), 1.0), 1)))
        with pytest.raises(ModelError, match="add its module paths to FAMILIES"):
            next(engine.read([[1, 2, 3]], [HookPoint.parse("resid_post:0")]))
    assert "\n" not in str(caught.value)


def test_modules_that_are_not_the_residual_stream_are_found_out(engine, monkeypatch):
    paths = type(engine._model.modules.paths)(norm="model.layers.0.self_attn.o_proj")
    monkeypatch.setitem(FAMILIES, engine._model.family, paths)
    fresh = hf_model.LoadedModel(engine._model._model, TransformersOptions(device="cpu"))
    with pytest.raises(ModelError, match="through norm and unembedding does not give its logits"):
        _ = fresh.modules
