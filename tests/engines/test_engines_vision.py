"""The transformers engine with images, against transformers' own forward pass and its own `generate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vision_small import EOS, FAMILIES, picture, prompt, their_inputs, their_model, tokenizer, vlm_folder

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.engines import hf, hf_model
from cotlab.engines.base import Passage, Request
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.errors import DataError, ModelError
from cotlab.interventions import AttentionSuppression, Baseline, Condition

TOLERANCE = 1e-5
GREEDY = SamplingSettings(0.0, 1.0, 0, 24)
SAMPLED = SamplingSettings(1.0, 1.0, 0, 24)
A, B, C = picture(40, 30, 1), picture(33, 70, 2), picture(40, 30, 3)
NEW = tuple(b"It is so.")


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, vision_root):
    return vlm_folder(vision_root, request.param)


def opened(folder, **options):
    return TransformersEngine(
        folder,
        tokenizer(folder),
        name="m",
        revision="r",
        template_id="plain",
        options=TransformersOptions(device="cpu", **options),
    )


@pytest.fixture(scope="module")
def engine(folder):
    with opened(folder) as engine:
        yield engine


@pytest.fixture(scope="module")
def theirs(folder):
    model = their_model(folder)

    def scores(prefix, new=()):
        with torch.no_grad():
            logits = model(**their_inputs(folder, prefix, new)).logits[0]
        model.model.rope_deltas = None
        ids = torch.tensor(prefix.token_ids + new)
        return logits[:-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0].numpy()

    return scores


@pytest.fixture(scope="module")
def prefixes(folder):
    """One image, another of that size, two images, none."""
    return [prompt(folder, *images) for images in ((A,), (C,), (B, A), ())]


def test_scores_are_those_of_transformers(engine, theirs, prefixes):
    wanted = [theirs(prefix, NEW) for prefix in prefixes]
    found = list(engine.logprobs(Passage(prefix, NEW) for prefix in prefixes))  # in one batch, of different lengths
    for mine, its in zip(found, wanted, strict=True):
        assert mine == pytest.approx(its, abs=TOLERANCE)
    behind = [its[-len(NEW) :] for its in wanted]
    assert np.abs(behind[0] - behind[1]).max() > 0.1, "the image must matter for this test to mean something"
    assert np.abs(behind[0] - behind[3]).max() > 0.1


@pytest.mark.parametrize("size", [1, 7, 40])
def test_wherever_the_prompt_is_cut(engine, theirs, prefixes, monkeypatch, size):
    monkeypatch.setattr(hf_model, "CHUNK", size)
    monkeypatch.setattr(hf, "READ", size + 2)
    for prefix in prefixes[1:3]:
        assert next(engine.logprobs([Passage(prefix, NEW)])) == pytest.approx(theirs(prefix, NEW), abs=TOLERANCE)
        read = next(engine.read([Passage(prefix, NEW)], [last_point(engine)]))[last_point(engine)]
        assert read == pytest.approx(last_residual(engine, prefix), abs=1e-4)


def last_point(engine):
    from cotlab.interventions import HookPoint

    return HookPoint("resid_post", engine.shape.n_layers - 1)


def last_residual(engine, prefix):
    """Read in one piece."""
    with pytest.MonkeyPatch.context() as whole:
        whole.setattr(hf_model, "CHUNK", 4096)
        whole.setattr(hf, "READ", 4096)
        return next(engine.read([Passage(prefix, NEW)], [last_point(engine)]))[last_point(engine)]


def next_probs(model, folder, prefix):
    with torch.no_grad():
        logits = model(**their_inputs(folder, prefix)).logits[0, -1]
    model.model.rope_deltas = None
    return logits.softmax(-1)


def test_no_keys_and_values_are_shared_between_images(engine, folder, prefixes):
    """Prompts with equal tokens, alike as far as an image, and going on from each other, in all orders."""
    one, same, two, none = prefixes
    assert one.token_ids == same.token_ids and one.id != same.id
    swapped = prompt(folder, A, B)
    other = prompt(folder, A, question="Who is it?")
    asked = [one, same, one, one.extend(NEW), same.extend(NEW), two, swapped, two, none, other, one, none.extend(NEW)]
    model = their_model(folder)
    for prefix in asked:
        wanted = next_probs(model, folder, prefix)
        found = dict(engine.next_token_probs(prefix, 264))
        assert [found[i] for i in range(264)] == pytest.approx(wanted.tolist(), abs=1e-5)
    mine, its = (dict(engine.next_token_probs(prefix, 264)) for prefix in (one, same))
    assert max(abs(mine[i] - its[i]) for i in range(264)) > 0.01


def test_what_begins_alike_is_computed_once(folder):
    first, second = prompt(folder, A, B), prompt(folder, A, C)
    with opened(folder) as engine:
        for prefix in (first, first, second):
            list(engine.sample([Request(Condition(prefix, GREEDY), 0, 1)]))
        spans = tokenizer(folder).images.spans(second)
        assert engine.stats.cached_tokens == len(first.token_ids) + spans[1].start


def test_an_image_is_computed_once(folder, monkeypatch):
    from cotlab.engines import hf_vision

    seen = []
    true = hf_vision.image_features

    def counted(model, inputs, points, handler):
        seen.append(1)
        return true(model, inputs, points, handler)

    monkeypatch.setattr(hf_vision, "image_features", counted)
    with opened(folder) as engine:
        for prefix in (prompt(folder, A), prompt(folder, A, B), prompt(folder, B, A, A), prompt(folder, A).extend(NEW)):
            list(engine.logprobs([Passage(prefix, NEW)]))
        assert len(seen) == 2
        monkeypatch.setattr(hf_vision, "FEATURE_BYTES", 1)
        list(engine.logprobs([Passage(prompt(folder, A, C), NEW)]))
        assert len(seen) == 3 and len(engine._model.vision._features) == 1


def test_greedy_tokens_are_those_of_generate(engine, folder, prefixes):
    model = their_model(folder)
    found = {one.prefix_id: one for one in engine.sample(Request(Condition(p, GREEDY), 0, 1) for p in prefixes)}
    for prefix in prefixes:
        settings = {"do_sample": False, "max_new_tokens": 24, "eos_token_id": EOS, "pad_token_id": EOS}
        with torch.no_grad():
            ids = model.generate(**their_inputs(folder, prefix), **settings)[0]
        assert found[prefix.id].token_ids == tuple(ids[len(prefix.token_ids) :].tolist())


@pytest.mark.parametrize("max_rows", [2, 16])
def test_rows_with_and_without_images_share_a_batch(folder, theirs, prefixes, max_rows):
    """Sampled rollouts of mixed batches: every log probability is that of a forward pass over its row alone."""
    longer = [prefix.extend(NEW) for prefix in prefixes]
    requests = [Request(Condition(prefix, SAMPLED), i, 97 * i + 5) for i in range(3) for prefix in [*prefixes, *longer]]
    with opened(folder, max_rows=max_rows) as engine:
        found = list(engine.sample(requests))
    by_id = {prefix.id: prefix for prefix in [*prefixes, *longer]}
    assert len(found) == len(requests)
    token = tokenizer(folder).images.token_id  # where the model says it, transformers misses an image
    said = [rollout for rollout in found if token not in rollout.token_ids]
    assert len(said) > len(requests) // 2
    for rollout in said:
        prefix = by_id[rollout.prefix_id]
        wanted = theirs(prefix, rollout.token_ids)[-len(rollout.token_ids) :]
        assert rollout.logprobs == pytest.approx(wanted, abs=5e-5)
    by_seed = {(one.prefix_id, one.sample_idx): one.token_ids for one in found}
    with opened(folder) as engine:
        alone = [next(engine.sample([request])) for request in requests[:8]]
    assert [by_seed[one.prefix_id, one.sample_idx] for one in alone] == [one.token_ids for one in alone]


def test_positions_of_images_matter(folder, engine, theirs, prefixes, monkeypatch):
    """For Qwen2.5-VL, positions counted as places give something else: the tests above would see it."""
    if "qwen" not in str(folder):
        pytest.skip("counts places")
    vision = engine._model.vision
    monkeypatch.setattr(vision, "_grids", False)
    monkeypatch.setattr(vision, "_last", None)
    wrong = next(engine.logprobs([Passage(prefixes[2], NEW)]))
    vision._last = None
    assert np.abs(np.array(wrong) - theirs(prefixes[2], NEW))[-len(NEW) :].max() > 0.01


def test_an_image_can_be_hidden(engine, folder, prefixes, theirs):
    """Hidden image tokens: what stands there does not reach what comes behind, whatever image it is."""
    one, same = prefixes[:2]
    (span,) = tokenizer(folder).images.spans(one)
    hidden = AttentionSuppression.of_prompt(one, span.start, span.end)
    arms = [Passage(prefix, NEW, its) for its in (hidden, Baseline()) for prefix in (one, same)]
    blind, also, seeing, other = (np.array(found)[span.end :] for found in engine.logprobs(arms))
    assert blind == pytest.approx(also, abs=TOLERANCE)
    assert np.abs(blind - seeing).max() > 0.05 and np.abs(seeing - other).max() > 0.05
    requests = [Request(Condition(p, SAMPLED, its), 0, 5) for p in (one, same) for its in (hidden, Baseline())]
    found = {(r.prefix_id, r.intervention_id): r for r in engine.sample(requests)}
    assert found[one.id, hidden.id].token_ids == found[same.id, hidden.id].token_ids
    assert found[one.id, hidden.id].logprobs == pytest.approx(found[same.id, hidden.id].logprobs, abs=TOLERANCE)


def test_a_text_prefix_is_as_ever(engine, folder, theirs):
    plain = Prefix(tuple(b"What is it?"), 11)
    assert next(engine.logprobs([Passage(plain, NEW)])) == pytest.approx(theirs(plain, NEW), abs=TOLERANCE)


def test_an_image_token_that_the_model_says_is_a_word(engine, folder, theirs):
    """Among kept tokens it stands for nothing: no image goes there."""
    if "qwen" in str(folder):
        pytest.skip("transformers looks for an image there")
    prefix = prompt(folder, A)
    said = (*NEW, tokenizer(folder).images.token_id, *NEW)
    model = their_model(folder)
    inputs = their_inputs(folder, prefix)
    with torch.no_grad():
        first = model(**inputs, use_cache=True)
        rest = model(input_ids=torch.tensor([said]), past_key_values=first.past_key_values).logits[0]
    wanted = rest[:-1].log_softmax(-1).gather(1, torch.tensor(said)[1:, None])[:, 0]
    found = next(engine.logprobs([Passage(prefix, said)]))
    assert found[-len(said) + 1 :] == pytest.approx(wanted.tolist(), abs=TOLERANCE)


def test_a_prompt_that_lost_its_images_is_one_line(engine, folder):
    prefix = prompt(folder, A)
    with pytest.raises(DataError, match="it lost its images"):
        next(engine.logprobs([prefix.token_ids]))
    with pytest.raises(DataError, match="it lost its images"):
        engine.next_token_probs(Prefix(prefix.token_ids, prefix.n_prompt), 3)


def test_an_engine_that_shows_no_images_says_so():
    """Images are never left out unsaid."""
    from cotlab.engines import MarkovEngine, lucky

    with MarkovEngine(lucky()) as engine:
        ids = tuple(engine.tokenizer.encode("Go."))
        prefix = Prefix(ids, len(ids), (A,))
        with pytest.raises(ModelError, match="has 1 images, and the markov engine shows this model none"):
            list(engine.sample([Request(Condition(prefix, SAMPLED), 0, 1)]))
        with pytest.raises(ModelError, match="shows this model none"):
            list(engine.logprobs([Passage(prefix, ids)]))
