"""Next-token probabilities against teacher-forced log probabilities of the same engine, and against exact truth."""

import math

import pytest
from engines_small import byte_tokenizer, load_plain, model_folder, prefix

from cotlab.engines.hf import TransformersEngine
from cotlab.engines.markov import MarkovEngine
from cotlab.engines.markov_specs import staircase
from cotlab.errors import ModelError


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = model_folder(tmp_path_factory.mktemp("next"), "qwen2")
    with TransformersEngine(
        load_plain(folder), byte_tokenizer(), name="small", revision="0", template_id="plain"
    ) as made:
        yield made


def test_transformers_gives_the_probabilities_that_it_scores_with(engine):
    for start in (prefix(1, 2, 3), prefix(1, 2, 3, 9, 9), prefix(7)):
        found = engine.next_token_probs(start, 10)
        assert len(found) == 10
        assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
        scored = list(engine.logprobs([[*start.token_ids, token] for token, _ in found]))
        assert [p for _, p in found] == pytest.approx([math.exp(row[-1]) for row in scored], rel=1e-4)
    assert sum(p for _, p in engine.next_token_probs(prefix(1), 10_000)) == pytest.approx(1)


def test_a_prefix_that_fills_the_model_is_one_line(engine):
    with pytest.raises(ModelError, match="the model holds"):
        engine.next_token_probs(prefix(*[1] * engine.max_model_len), 3)
    with pytest.raises(ModelError, match="not in the vocabulary"):
        engine.next_token_probs(prefix(1, 100_000), 3)


def test_markov_is_exact():
    made = MarkovEngine(staircase())
    ids = tuple(made.tokenizer.encode("Q"))
    start = prefix(*ids, n_prompt=len(ids))
    found = made.next_token_probs(start, 10)
    assert dict(found) == pytest.approx(made.next_tokens(start))
    assert made.next_token_probs(start, 1) == found[:1]


@pytest.mark.vllm
def test_vllm_gives_the_probabilities_that_it_scores_with():
    pytest.importorskip("vllm")
    from cotlab.chains.tokens import HFTokenizer
    from cotlab.engines.vllm import VllmEngine, VllmOptions
    from cotlab.models import resolve_model

    model = resolve_model("tiny")
    with VllmEngine(
        model.path,
        HFTokenizer.load(model.path),
        name=model.name,
        revision=model.revision,
        template_id="plain",
        options=VllmOptions(max_rows=8, kv_gib=0.25),
    ) as made:
        start = prefix(*made.tokenizer.encode("3 + 4 = "))
        found = made.next_token_probs(start, 5)
        scored = list(made.logprobs([[*start.token_ids, token] for token, _ in found]))
        assert len(found) == 5
        assert [p for _, p in found] == pytest.approx([math.exp(row[-1]) for row in scored], rel=1e-3)
