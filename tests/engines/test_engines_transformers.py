from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from engines_small import EOS, FAMILIES, ask, byte_tokenizer, load_plain, model_folder, prefix, true_logprobs

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.engines import hf, hf_model
from cotlab.engines.base import Failure
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.errors import EngineError, ModelError
from cotlab.interventions.base import Intervention

GREEDY = SamplingSettings(temperature=0, top_p=1, max_tokens=24)
SAMPLED = SamplingSettings(temperature=0.9, top_p=0.95, max_tokens=24)
CHAIN = tuple((37 * i * i + 11 * i + 5) % 256 for i in range(30))
PREFIXES = [Prefix(CHAIN[:n], 3) for n in (3, 5, 8, 13, 21)]


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("engine-models")


def open_small(root, family="qwen2", **options) -> TransformersEngine:
    return TransformersEngine(
        model_folder(root, family),
        byte_tokenizer(),
        name=family,
        revision="random",
        template_id="plain",
        options=TransformersOptions(device="cpu", **options),
    )


def rollouts(engine, requests) -> dict[tuple[str, int], Rollout]:
    found = list(engine.sample(requests))
    assert all(isinstance(item, Rollout) for item in found)
    by_key = {(item.prefix_id, item.sample_idx): item for item in found}
    assert len(by_key) == len(found) == len(list(requests))
    return by_key


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_generate(root, family):
    model = load_plain(model_folder(root, family))
    with open_small(root, family, max_rows=3) as engine:
        got = rollouts(engine, [request for start in PREFIXES for request in ask(start, GREEDY, 1)])
    for start in PREFIXES:
        ids = torch.tensor([start.token_ids])
        wanted = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=GREEDY.new_tokens(len(start.kept_ids)),
            eos_token_id=EOS,
            pad_token_id=EOS,
        )[0, len(start.token_ids) :].tolist()
        mine = got[start.id, 0]
        assert list(mine.token_ids) == wanted
        assert mine.finish_reason == ("stop" if wanted[-1] == EOS else "length")


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_of_sampled_tokens_are_raw(root, family):
    model = load_plain(model_folder(root, family))
    hot = SamplingSettings(temperature=1.7, top_p=0.9, top_k=40, max_tokens=20)
    with open_small(root, family) as engine:
        for start in PREFIXES[:3]:
            for mine in rollouts(engine, ask(start, hot, 4)).values():
                wanted = true_logprobs(model, [*start.token_ids, *mine.token_ids])[len(start.token_ids) - 1 :]
                assert mine.logprobs == pytest.approx(wanted, abs=1e-5)


def test_rollout_does_not_depend_on_its_batch(root):
    requests = [request for i, start in enumerate(PREFIXES) for request in ask(start, SAMPLED, 5, first=100 * i)]
    results = []
    for rows, order in ((1, 1), (8, 1), (8, -1)):
        with open_small(root, max_rows=rows) as engine:
            results.append(rollouts(engine, requests[::order]))
    for other in results[1:]:
        assert {key: r.token_ids for key, r in other.items()} == {key: r.token_ids for key, r in results[0].items()}
    assert len({r.token_ids for r in results[0].values()}) > 20
    lengths = {r.n_tokens for r in results[0].values()}
    assert len(lengths) > 3, "rows must leave the batch at different moments for this test to mean something"


def test_equal_seed_gives_equal_tokens_and_another_seed_others(root):
    with open_small(root) as engine:
        first, again = (rollouts(engine, ask(PREFIXES[0], SAMPLED, 5)) for _ in range(2))
        other = rollouts(engine, ask(PREFIXES[0], SAMPLED, 5, first=50))
    assert first == again
    assert [r.token_ids for r in first.values()] != [r.token_ids for r in other.values()]


def test_settings_of_rows_in_one_batch_differ(root):
    mixed = [
        *ask(PREFIXES[1], SAMPLED, 3),
        *ask(PREFIXES[1], GREEDY, 2),
        *ask(PREFIXES[2], SamplingSettings(temperature=2.0, top_p=1.0, max_tokens=24), 3, first=7),
    ]
    with open_small(root) as engine:
        together = {(r.settings_id, r.sample_idx): r for r in engine.sample(mixed)}
        for request in mixed:
            (alone,) = engine.sample([request])
            assert together[alone.settings_id, alone.sample_idx].token_ids == alone.token_ids


def test_shared_prefix_is_computed_once(root):
    long, longer = Prefix(CHAIN[:20], 3), Prefix(CHAIN[:28], 3)
    with open_small(root) as engine:
        read: list[int] = []
        engine._model._model.register_forward_pre_hook(
            lambda module, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
        )
        one = SamplingSettings(temperature=1, top_p=1, max_tokens=26)
        list(engine.sample([*ask(long, one, 10), *ask(longer, one, 10), *ask(long, one, 10)]))
        prefills = [n for n in read if n > 1]
        assert prefills == [20, 8], "the last one is cropped: only its last token is read again"
        # 26 response tokens less 25 kept by `longer`: one new token each there.
        assert engine.stats.prompt_tokens == 10 * 20 + 10 * 28 + 10 * 20
        assert engine.stats.cached_tokens == engine.stats.prompt_tokens - 20 - 8 - 1
        assert engine.stats.prefix_cache_hit_rate > 0.95


def test_order_of_prefixes_does_not_change_rollouts(root):
    requests = [ask(start, SAMPLED, 3, first=10 * i) for i, start in enumerate(PREFIXES)]
    up = [request for group in requests for request in group]
    down = [request for group in reversed(requests) for request in group]
    zigzag = [request for i in (2, 0, 4, 1, 3) for request in requests[i]]
    with open_small(root) as engine:
        tokens = [{key: r.token_ids for key, r in rollouts(engine, order).items()} for order in (up, down, zigzag)]
    assert tokens[0] == tokens[1] == tokens[2]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("small_pieces", [False, True])
def test_teacher_forced_logprobs_are_exact(root, family, small_pieces, monkeypatch):
    if small_pieces:
        monkeypatch.setattr(hf, "LOGIT_BUDGET", 260 * 40)
        monkeypatch.setattr(hf_model, "CHUNK", 7)
    model = load_plain(model_folder(root, family))
    sequences = [list(CHAIN[:n]) for n in (2, 30, 9, 17, 3, 25)]
    with open_small(root, family) as engine:
        got = list(engine.logprobs(iter(sequences)))
    assert [len(row) for row in got] == [len(sequence) - 1 for sequence in sequences]
    for sequence, row in zip(sequences, got, strict=True):
        assert row == pytest.approx(true_logprobs(model, sequence), abs=1e-5)


def test_long_prefix_is_read_in_chunks(root, monkeypatch):
    start = Prefix(CHAIN[:29], 3)
    settings = SamplingSettings(1.0, 1.0, max_tokens=40)
    with open_small(root) as engine:
        whole = rollouts(engine, ask(start, settings, 4))
    monkeypatch.setattr(hf_model, "CHUNK", 5)
    with open_small(root) as engine:
        pieces = rollouts(engine, ask(start, settings, 4))
    assert {key: r.token_ids for key, r in pieces.items()} == {key: r.token_ids for key, r in whole.items()}


def test_stop_string_ends_a_rollout_and_is_kept(root):
    with open_small(root) as engine:
        free = next(r for r in rollouts(engine, ask(PREFIXES[0], SAMPLED, 8)).values() if r.n_tokens > 12)
        stop = byte_tokenizer().decode(free.token_ids[5:7])
        assert "\ufffd" not in stop, "take another seed: the stop string must be text"
        assert stop not in free.text[:5]
        settings = SamplingSettings(SAMPLED.temperature, SAMPLED.top_p, max_tokens=24, stop=("never said", stop))
        (stopped,) = engine.sample([r for r in ask(PREFIXES[0], settings, 8) if r.sample_idx == free.sample_idx])
    assert stopped.token_ids == free.token_ids[:7]
    assert stopped.text.endswith(stop)
    assert stopped.finish_reason == "stop"


def test_finish_reasons_and_text(root):
    with open_small(root) as engine:
        found = rollouts(engine, ask(PREFIXES[0], SamplingSettings(1.2, 1.0, max_tokens=30), 64)).values()
    reasons = {r.finish_reason for r in found}
    assert reasons == {"stop", "length"}
    for r in found:
        ended = r.token_ids[-1] == EOS
        assert (r.finish_reason == "stop") == ended
        assert r.n_tokens == 30 or ended
        assert EOS not in r.token_ids[:-1]
        assert r.text == byte_tokenizer().decode(r.token_ids[:-1] if ended else r.token_ids)
        assert len(r.logprobs) == r.n_tokens


def test_kept_tokens_and_model_length_bound_new_tokens(root):
    long = SamplingSettings(temperature=0, top_p=1, max_tokens=1000)
    with open_small(root, max_model_len=20) as engine:
        (near_end,) = engine.sample(ask(Prefix(CHAIN[:18], 3), long, 1))
        assert near_end.n_tokens <= 2
        full, kept = Prefix(CHAIN[:20], 3), Prefix(CHAIN[:10], 3)
        settings = SamplingSettings(temperature=0, top_p=1, max_tokens=7)
        results = list(engine.sample([*ask(full, long, 2), *ask(kept, settings, 1), *ask(PREFIXES[0], settings, 1)]))
    failures = [item for item in results if isinstance(item, Failure)]
    assert [f.request.condition.prefix.id for f in failures] == [full.id, full.id, kept.id]
    assert "max_tokens is 7" in failures[2].error
    assert len(results) == 4


@dataclass(frozen=True, slots=True)
class Unknown(Intervention):
    kind: ClassVar[str] = "unknown"


def test_unsupported_intervention_is_one_line_before_sampling(root):
    with open_small(root) as engine:
        with pytest.raises(ModelError, match="transformers engine cannot apply.*'unknown'.*baseline"):
            next(engine.sample(ask(PREFIXES[0], SAMPLED, 2, intervention=Unknown())))
        assert engine.stats.new_tokens == 0
        assert len(rollouts(engine, ask(PREFIXES[0], SAMPLED, 2))) == 2


def test_requests_are_read_lazily_and_closing_cancels(root):
    read = 0

    def endless():
        nonlocal read
        while True:
            for start in PREFIXES:
                for request in ask(start, SAMPLED, 3, first=read):
                    read += 1
                    yield request

    with open_small(root, max_rows=4) as engine:
        before = rollouts(engine, ask(PREFIXES[0], SAMPLED, 3))
        stream = engine.sample(endless())
        for _ in range(6):
            next(stream)
        assert read <= 6 + 4 + 1, "at most the finished ones, the batch and one looked ahead"
        stream.close()
        after = rollouts(engine, ask(PREFIXES[0], SAMPLED, 3))
        assert [after[key].token_ids for key in before] == [r.token_ids for r in before.values()]
        assert not torch.is_inference_mode_enabled()


def test_an_error_of_the_caller_leaves_the_engine_ready(root):
    def breaks():
        yield from ask(PREFIXES[0], SAMPLED, 3)
        raise KeyboardInterrupt

    with open_small(root, max_rows=2) as engine:
        with pytest.raises(KeyboardInterrupt):
            list(engine.sample(breaks()))
        assert len(rollouts(engine, ask(PREFIXES[0], SAMPLED, 3))) == 3


def test_memory_for_keys_and_values_bounds_the_batch(root):
    requests = [request for i, start in enumerate(PREFIXES) for request in ask(start, SAMPLED, 4, first=10 * i)]
    with open_small(root) as engine:
        wanted = {key: r.token_ids for key, r in rollouts(engine, requests).items()}
    # 2 layers × 2 × 2 heads × 8 dims × 4 bytes = 256 bytes a token; prefix and response have 27 tokens at most.
    with open_small(root, kv_gib=256 * 60 / 2**30) as engine:
        widest = 0

        def watch(module, args, kwargs):
            nonlocal widest
            widest = max(widest, len(kwargs["input_ids"]))

        engine._model._model.register_forward_pre_hook(watch, with_kwargs=True)
        assert {key: r.token_ids for key, r in rollouts(engine, requests).items()} == wanted
    assert widest == 2


def test_wrong_token_ids_and_sequences_are_named(root):
    with open_small(root) as engine:
        with pytest.raises(ModelError, match="token id 999 is not in the vocabulary of 'qwen2'"):
            list(engine.sample(ask(prefix(1, 999), SAMPLED, 1)))
        with pytest.raises(ValueError, match="a sequence has 1 tokens"):
            list(engine.logprobs([[3]]))
        with pytest.raises(ValueError, match="a sequence has 97 tokens, expected 2..96"):
            list(engine.logprobs([[3] * 97]))


def test_closed_engine_says_so(root):
    engine = open_small(root)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        list(engine.sample(ask(PREFIXES[0], SAMPLED, 1)))


def test_failure_of_the_model_is_an_engine_error(root):
    with open_small(root) as engine:

        def out_of_memory(*_):
            raise torch.OutOfMemoryError("out of memory\nsecond line")

        hook = engine._model._model.register_forward_pre_hook(out_of_memory)
        with pytest.raises(EngineError, match=r"broke: out of memory \(lower max_rows or kv_gib"):
            list(engine.sample(ask(PREFIXES[0], SAMPLED, 1)))
        hook.remove()
        assert len(rollouts(engine, ask(PREFIXES[0], SAMPLED, 2))) == 2


def test_models_that_cannot_be_sampled_are_refused(root, tmp_path):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=32,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=4,
        max_window_layers=1,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    for folder, message in (
        (tmp_path, "sliding_attention layers.*--engine vllm"),
        (tmp_path / "none", "cannot be read"),
    ):
        with pytest.raises(ModelError, match=message):
            TransformersEngine(folder, byte_tokenizer(), name="m", revision="", template_id="")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="device is 'cuda'"):
            TransformersEngine(
                tmp_path, byte_tokenizer(), name="m", revision="", template_id="", options=TransformersOptions("cuda")
            )


def test_card_names_what_changes_the_numbers(root):
    with open_small(root) as engine, open_small(root, dtype="bfloat16") as half:
        assert engine.card.dtype == "float32"
        assert half.card.dtype == "bfloat16"
        assert engine.card.id != half.card.id
        assert dict(engine.card.versions).keys() == {"torch", "transformers"}
        assert engine.card.tokenizer_id == byte_tokenizer().id
        assert all(r.engine_card_id == half.card.id for r in rollouts(half, ask(PREFIXES[0], SAMPLED, 2)).values())
