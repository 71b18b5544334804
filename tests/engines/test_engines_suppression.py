"""Attention suppression in the transformers engine, against transformers' own mask argument."""

import numpy as np
import pytest
import torch
from engines_small import byte_tokenizer, load_plain
from steering_reference import random_vector, small_folder, text_prefix

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.engines import hf_model
from cotlab.engines.base import Passage, Request
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.errors import UserError
from cotlab.interventions import (
    AttentionSuppression,
    Baseline,
    Condition,
    HookPoint,
    Steering,
    Where,
    load_intervention,
)

SAMPLED = SamplingSettings(1.0, 1.0, 0, 60)
PREFIX = text_prefix("Q: 1+1?<think>\n", "So 1.\nWait, no.\nSo 2.\n")
HIDDEN = AttentionSuppression(6, 16)
"""`Wait, no.` and the end of its line."""


@pytest.fixture(scope="module", params=["qwen2", "qwen3", "llama"])
def folder(request, tmp_path_factory):
    return small_folder(tmp_path_factory.mktemp("models"), request.param)


@pytest.fixture(scope="module")
def engine(folder):
    options = TransformersOptions(device="cpu")
    with TransformersEngine(
        folder, byte_tokenizer(), name="m", revision="r", template_id="plain", options=options
    ) as engine:
        yield engine


@pytest.fixture(scope="module")
def by_hand(folder):
    model = load_plain(folder)

    def scores(ids, hidden, n_prompt=PREFIX.n_prompt):
        allowed = torch.tril(torch.ones(len(ids), len(ids), dtype=torch.bool))
        if hidden is not None:
            allowed[n_prompt + hidden.end :, n_prompt + hidden.start : n_prompt + hidden.end] = False
        mask = torch.zeros(1, 1, len(ids), len(ids)).masked_fill(~allowed, torch.finfo(torch.float32).min)
        with torch.no_grad():
            logits = model(torch.tensor([list(ids)]), attention_mask=mask, use_cache=False).logits[0, :-1]
        said = logits.log_softmax(-1)
        return said.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()

    return scores


def test_a_mixed_batch_says_what_each_row_says_alone_by_hand(engine, by_hand):
    arms = [Baseline(), HIDDEN, AttentionSuppression(0, 6), Steering.of(random_vector(1, "resid_post:0"), 2.0, Where())]
    requests = [Request(Condition(PREFIX, SAMPLED, arm), i, 77 * i + 5) for i in range(3) for arm in arms]
    found = {(rollout.intervention_id, rollout.sample_idx): rollout for rollout in engine.sample(requests)}
    assert len(found) == 12
    moved = []
    for arm in arms[:3]:
        hidden = None if arm == Baseline() else arm
        for i in range(3):
            rollout = found[arm.id, i]
            ids = [*PREFIX.token_ids, *rollout.token_ids]
            wanted = by_hand(ids, hidden)[len(PREFIX.token_ids) - 1 :]
            assert rollout.logprobs == pytest.approx(wanted, abs=1e-4)
            moved.append(np.abs(wanted - by_hand(ids, None)[len(PREFIX.token_ids) - 1 :]).max())
            if hidden is None:
                assert rollout.steered_tokens is None
            else:
                read = len(ids) - 1
                assert rollout.steered_tokens == read - PREFIX.n_prompt - hidden.end, "every token behind the span"
    assert max(moved[3:]) > 0.1, "hiding must do something for this test to mean something"


@pytest.mark.parametrize("chunk", [1024, 5])
def test_teacher_forced_in_one_piece_or_in_chunks_and_rows_inside_stay(engine, by_hand, monkeypatch, chunk):
    monkeypatch.setattr(hf_model, "CHUNK", chunk)
    new = tuple(byte_tokenizer().encode("Then 3 and 4."))
    plain, hidden, again = engine.logprobs(
        [Passage(PREFIX, new), Passage(PREFIX, new, HIDDEN), Passage(Prefix(PREFIX.token_ids[:30], 15))]
    )
    ids = [*PREFIX.token_ids, *new]
    assert hidden == pytest.approx(by_hand(ids, HIDDEN), abs=1e-4)
    assert plain == pytest.approx(by_hand(ids, None), abs=1e-4)
    assert again == pytest.approx(plain[:29], abs=1e-5)
    inside = PREFIX.n_prompt + HIDDEN.end
    assert hidden[:inside] == pytest.approx(plain[:inside], abs=1e-5)
    assert np.abs(np.array(hidden) - plain)[inside:].max() > 0.05


def test_patterns_that_are_read_do_not_look_at_the_hidden_step(engine):
    point, start = HookPoint("pattern", 1), PREFIX.n_prompt
    plain, hidden = (found[point] for found in engine.read([Passage(PREFIX), Passage(PREFIX, (), HIDDEN)], [point]))
    span = slice(start + HIDDEN.start, start + HIDDEN.end)
    assert hidden[span.stop :, :, span].max() == 0 and plain[span.stop :, :, span].max() > 0
    assert np.allclose(hidden[: span.stop], plain[: span.stop], atol=1e-6)
    assert np.allclose(hidden.sum(-1), 1, atol=1e-5)


def test_the_baseline_after_it_is_unchanged(engine):
    ask = [Request(Condition(PREFIX, SAMPLED), 0, 9)]
    before = next(iter(engine.sample(ask)))
    list(engine.sample([Request(Condition(PREFIX, SAMPLED, HIDDEN), 0, 9)]))
    after = next(iter(engine.sample(ask)))
    assert after.token_ids == before.token_ids and after.logprobs == pytest.approx(before.logprobs, abs=1e-5)


def test_the_spec_comes_back_and_spans_that_cannot_be_are_one_line(engine):
    assert load_intervention(HIDDEN.to_json(), None) == HIDDEN
    assert load_intervention(HIDDEN.to_json(), None).id == HIDDEN.id != AttentionSuppression(6, 15).id
    with pytest.raises(UserError, match="no such span"):
        AttentionSuppression(3, 3)
    with pytest.raises(UserError, match="hide a step that is kept"):
        list(engine.sample([Request(Condition(PREFIX, SAMPLED, AttentionSuppression(0, 50)), 0, 1)]))
