"""The vLLM engine on the tiny reasoner (Qwen2), against transformers; one engine for all tests of the file."""

import itertools
import os
import signal
import threading

import pytest
from vllm_reference import TOLERANCE, Reference, Unknown, first_near_tie, needs_vllm, request, sample

from benchmarks.bench_resampling import possible_hits
from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import HFTokenizer
from cotlab.engines.base import Failure
from cotlab.engines.vllm import VllmEngine, VllmOptions
from cotlab.errors import ModelError
from cotlab.models import resolve_model
from cotlab.tiny import generate_problems

pytestmark = needs_vllm

MAX_ROWS = 16


@pytest.fixture(scope="module")
def engine():
    model = resolve_model("tiny")
    options = VllmOptions(max_rows=MAX_ROWS, kv_gib=0.25)
    with VllmEngine(
        model.path,
        HFTokenizer.load(model.path),
        name=model.name,
        revision=model.revision,
        template_id="template",
        options=options,
    ) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference():
    return Reference(resolve_model("tiny").path)


@pytest.fixture(scope="module")
def prompts(engine):
    template = resolve_model("tiny").card.template().bound(engine.tokenizer)
    questions = [problem.question for problem in generate_problems(4, seed=5, family="countdown", split="heldout")]
    messages = [[{"role": "user", "content": question}] for question in questions]
    texts = [engine.tokenizer.render_chat(template.source or engine.tokenizer.chat_template, m) for m in messages]
    ids = [tuple(engine.tokenizer.encode(text)) for text in texts]
    return [Prefix(item, len(item)) for item in ids]


@pytest.fixture(scope="module")
def chain(engine, prompts):
    """A prompt and a response to it, at least 100 tokens long."""
    settings = SamplingSettings(1.0, 1.0, 0, 400)
    rollouts = sample(engine, [request(prompts[0], idx, settings) for idx in range(8)])
    longest = max(rollouts, key=lambda rollout: rollout.n_tokens)
    assert longest.n_tokens >= 100
    return prompts[0].extend(longest.token_ids)


def unfinished(engine):
    return engine._llm.llm_engine.get_num_unfinished_requests()


@pytest.mark.parametrize("settings", [SamplingSettings(1.0, 1.0, 0, 80), SamplingSettings(0.7, 0.9, 20, 80)])
def test_logprobs_of_sampled_tokens_are_raw_and_those_of_transformers(engine, reference, prompts, settings):
    for prefix, rollout in zip(prompts, sample(engine, [request(p, 0, settings) for p in prompts]), strict=True):
        expected = reference.logprobs([*prefix.token_ids, *rollout.token_ids])[len(prefix.token_ids) - 1 :]
        assert rollout.logprobs == pytest.approx(expected, abs=TOLERANCE)


def test_teacher_forced_logprobs_are_those_of_transformers_in_order_whether_cached_or_not(engine, reference, chain):
    longest = tuple(itertools.islice(itertools.cycle(chain.token_ids), engine.max_model_len))
    sequences = [chain.token_ids, chain.token_ids[:2], longest, *(chain.token_ids[:n] for n in range(20, 100))]
    scored = list(engine.logprobs(sequences))
    assert [len(item) for item in scored] == [len(item) - 1 for item in sequences]
    for token_ids, got in zip(sequences, scored, strict=True):
        assert got == pytest.approx(reference.logprobs(token_ids), abs=TOLERANCE)


def test_greedy_tokens_are_those_of_transformers_until_a_near_tie(engine, reference, prompts):
    settings = SamplingSettings(0, 1.0, 0, 120)
    compared = 0
    for prefix, rollout in zip(prompts, sample(engine, [request(p, 0, settings) for p in prompts]), strict=True):
        scores = reference.scores([*prefix.token_ids, *rollout.token_ids])[len(prefix.token_ids) - 1 :]
        sure = first_near_tie(scores)
        assert list(rollout.token_ids[:sure]) == scores[:sure].argmax(-1).tolist()
        compared += sure
    assert compared > 100


def test_equal_seeds_give_equal_tokens_in_any_company_and_other_seeds_others(engine, prompts):
    alone = sample(engine, [request(prompts[0], 3)])[0]
    crowd = sample(engine, [request(prefix, idx) for prefix in prompts for idx in range(6)])
    assert crowd[3].token_ids == alone.token_ids
    assert len({rollout.token_ids for rollout in crowd[:6]}) == 6
    zero = [sample(engine, [request(prompts[0], seed=0)])[0].token_ids for _ in range(2)]
    assert zero[0] == zero[1]


def test_a_rollout_that_ends_itself_keeps_the_end_token_and_not_its_text(engine, prompts):
    settings = SamplingSettings(1.0, 1.0, 0, 600)
    rollouts = sample(engine, [request(prefix, idx, settings) for prefix in prompts for idx in range(4)])
    ended = [rollout for rollout in rollouts if rollout.finish_reason == "stop"]
    assert ended
    for rollout in ended:
        assert rollout.token_ids[-1] in engine.tokenizer.eos_ids
        assert not engine.tokenizer.eos_ids & set(rollout.token_ids[:-1])
        assert rollout.text == engine.tokenizer.decode(rollout.token_ids)
        assert engine.tokenizer.eos_token not in rollout.text


def test_max_tokens_counts_the_kept_tokens(engine, chain):
    prefix = Prefix(chain.token_ids[: chain.n_prompt + 30], chain.n_prompt)
    rollout = sample(engine, [request(prefix, 0, SamplingSettings(1.0, 1.0, 0, 35))])[0]
    assert (rollout.finish_reason, rollout.n_tokens, len(rollout.logprobs)) == ("length", 5, 5)


def test_a_stop_string_ends_a_rollout_and_stays_in_it(engine, prompts):
    free = sample(engine, [request(prompts[0], idx) for idx in range(4)])
    stopped = sample(engine, [request(prompts[0], idx, SamplingSettings(1.0, 1.0, 0, 60, ("\n",))) for idx in range(4)])
    for before, after in zip(free, stopped, strict=True):
        assert after.finish_reason == "stop"
        assert after.text.count("\n") == 1
        assert before.token_ids[: after.n_tokens] == after.token_ids
        assert len(after.logprobs) == after.n_tokens


def test_requests_without_room_or_with_unknown_tokens_are_failures(engine, prompts, chain):
    full = request(chain, 0, SamplingSettings(max_tokens=len(chain.kept_ids)))
    foreign = request(Prefix((*prompts[0].token_ids, 10**6), prompts[0].n_prompt))
    results = list(engine.sample([full, foreign, request(prompts[0])]))
    failures = {result.request: result.error for result in results if isinstance(result, Failure)}
    assert "no room" in failures[full]
    assert "1000000" in failures[foreign]
    assert len(results) == 3 and len(failures) == 2


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda prefix: request(prefix, intervention=Unknown()), "intervention of kind 'unknown'"),
        (lambda prefix: request(prefix, settings=SamplingSettings(temperature=3)), "temperature is 3"),
        (lambda prefix: request(prefix, settings=SamplingSettings(temperature=0.001)), "temperature is 0.001"),
    ],
)
def test_what_vllm_cannot_do_is_refused_and_cancels_the_rest(engine, prompts, broken, told):
    with pytest.raises(ModelError, match=told):
        list(engine.sample([request(prompts[0]), broken(prompts[0])]))
    assert unfinished(engine) == 0


def test_bad_sequences_are_refused(engine):
    with pytest.raises(ValueError, match="sequence 1 has 1 tokens"):
        list(engine.logprobs([[3, 4], [3]]))
    with pytest.raises(ModelError, match=f"engine holds {engine.max_model_len}"):
        list(engine.logprobs([[3] * (engine.max_model_len + 1)]))
    assert unfinished(engine) == 0


def test_requests_are_read_as_they_are_needed_and_closing_cancels(engine, prompts):
    read = []

    def endless():
        for idx in itertools.count():
            read.append(idx)
            yield request(prompts[0], idx)

    before = sample(engine, [request(prompts[0], idx) for idx in range(3)])
    stream = engine.sample(endless())
    got = list(itertools.islice(stream, 5))
    assert len(got) == 5
    assert len(read) <= 2 * MAX_ROWS + 5 * MAX_ROWS
    assert unfinished(engine) > 0
    stream.close()
    assert unfinished(engine) == 0
    assert [r.token_ids for r in sample(engine, [request(prompts[0], idx) for idx in range(3)])] == [
        r.token_ids for r in before
    ]


@pytest.fixture
def ctrl_c_raises():
    """As at a terminal, also where the tests were started in the background, which ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_leaves_the_engine_ready(engine, reference, prompts, chain, ctrl_c_raises):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        for _ in engine.sample(request(prompts[1], idx) for idx in itertools.count()):
            pass
    assert unfinished(engine) == 0
    assert next(engine.logprobs([chain.token_ids])) == pytest.approx(reference.logprobs(chain.token_ids), abs=TOLERANCE)
    assert sample(engine, [request(prompts[1])])


def test_a_call_may_be_made_while_another_one_is_half_read(engine, prompts, chain):
    requests = [request(prompts[2], idx) for idx in range(3 * MAX_ROWS)]
    stream = engine.sample(requests)
    first = next(stream)
    alone = next(engine.logprobs([chain.token_ids]))
    rest = list(stream)
    assert {rollout.sample_idx for rollout in [first, *rest]} == set(range(len(requests)))
    assert alone == next(engine.logprobs([chain.token_ids]))


def test_rollouts_of_a_chain_find_their_prefixes_in_the_cache(engine, chain):
    prefixes = [Prefix(chain.token_ids[:n], chain.n_prompt) for n in range(chain.n_prompt, len(chain.token_ids), 8)]
    few = [SamplingSettings(1.0, 1.0, 0, len(prefix.kept_ids) + 4) for prefix in prefixes]
    pairs = zip(prefixes, few, strict=True)
    requests = [request(prefix, idx, settings) for prefix, settings in pairs for idx in range(5)]
    asked = [prefix.token_ids for prefix in prefixes for _ in range(5)]
    for _ in range(2):  # what was forgotten is in no cache, and in no count
        engine.forget()
        rollouts = sample(engine, requests)
        assert engine.stats.prompt_tokens == sum(map(len, asked))
        assert engine.stats.new_tokens == sum(rollout.n_tokens for rollout in rollouts)
        assert 0.9 * possible_hits(asked, 32) <= engine.stats.cached_tokens <= possible_hits(asked, 32)


def test_the_card_names_what_the_numbers_depend_on(engine):
    card = engine.card
    assert (card.engine, card.model, card.dtype, card.template_id) == ("vllm", "tiny", "float32", "template")
    assert card.tokenizer_id == engine.tokenizer.id
    assert [name for name, _ in card.versions] == ["torch", "transformers", "vllm"]
    assert engine.max_model_len == 2048
