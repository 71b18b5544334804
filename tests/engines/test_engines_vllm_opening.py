"""Opening and closing vLLM; a second model family (Llama, random weights) in the process that had a first one."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from vllm_reference import TOLERANCE, Reference, first_near_tie, needs_vllm, request, sample

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import HFTokenizer
from cotlab.engines import vllm_settings
from cotlab.engines.vllm import VllmEngine, VllmOptions
from cotlab.errors import EngineError, ModelError

pytestmark = needs_vllm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of two layers with grouped heads, and a tokenizer of bytes."""
    folder = tmp_path_factory.mktemp("llama")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({"<eos>": 0, **{char: i + 1 for i, char in enumerate(alphabet)}}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>").save_pretrained(folder)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def open_engine(folder: Path, **options: object) -> VllmEngine:
    return VllmEngine(
        folder,
        HFTokenizer.load(folder),
        name="llama",
        revision="r",
        template_id="t",
        options=VllmOptions(**{"kv_gib": 0.05, **options}),
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_model_len": 10**6}, r"with max_model_len 1000000, .*greater than the derived max_model_len"),
        ({"kv_gib": 1e-5}, r"kv_gib 1e-05: No available memory for the cache blocks\. Try another"),
        ({"kv_gib": 10**6}, r"kv_gib 1000000: Available memory on node"),
        ({"tensor_parallel_size": 2}, "tensor_parallel_size is for GPUs"),
    ],
)
def test_what_does_not_fit_is_one_line_and_another_try_works(folder, options, told):
    with pytest.raises(ModelError, match=told) as caught:
        open_engine(folder, **options)
    assert "\n" not in str(caught.value)
    assert "https" not in str(caught.value)


def test_a_second_family_in_the_same_process_agrees_with_transformers(folder):
    reference = Reference(folder)
    state = (random.getstate(), torch.get_rng_state().tolist(), torch.set_num_threads)
    engine = open_engine(folder)
    assert (random.getstate(), torch.get_rng_state().tolist(), torch.set_num_threads) == state
    prefixes = [Prefix(tuple(random.Random(i).choices(range(1, 257), k=40 + i)), 40) for i in range(4)]
    for prefix, rollout in zip(prefixes, sample(engine, map(request, prefixes)), strict=True):
        token_ids = [*prefix.token_ids, *rollout.token_ids]
        expected = reference.logprobs(token_ids)
        assert rollout.logprobs == pytest.approx(expected[len(prefix.token_ids) - 1 :], abs=TOLERANCE)
        assert next(engine.logprobs([token_ids])) == pytest.approx(expected, abs=TOLERANCE)
    greedy = SamplingSettings(0, 1.0, 0, 60)
    for prefix, rollout in zip(prefixes, sample(engine, [request(p, 0, greedy) for p in prefixes]), strict=True):
        scores = reference.scores([*prefix.token_ids, *rollout.token_ids])[len(prefix.token_ids) - 1 :]
        sure = first_near_tie(scores)
        assert sure > 10
        assert list(rollout.token_ids[:sure]) == scores[:sure].argmax(-1).tolist()
    half_read = engine.sample(request(prefix, idx) for prefix in prefixes for idx in range(40))
    next(half_read)
    engine.close()
    engine.close()
    for calls in (half_read, engine.sample([request(prefixes[0])])):
        with pytest.raises(EngineError, match="closed; open it again"):
            list(calls)


def test_rollouts_that_are_put_back_for_want_of_memory_are_the_same(folder):
    requests = [request(Prefix(tuple(range(1, 41)), 40), idx, SamplingSettings(1.0, 1.0, 0, 200)) for idx in range(8)]
    with open_engine(folder) as roomy:
        expected = sample(roomy, requests)
    with open_engine(folder, kv_gib=0.0005) as cramped:
        assert cramped._llm.llm_engine.vllm_config.cache_config.num_gpu_blocks < 8 * 240 // 32
        got = sample(cramped, requests)
    assert [rollout.token_ids for rollout in got] == [rollout.token_ids for rollout in expected]


def test_a_step_that_breaks_spoils_the_engine_and_nothing_else(folder, monkeypatch):
    prefix = Prefix((5, 6, 7), 3)
    with open_engine(folder) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(engine._llm.llm_engine.engine_core, "get_output", lambda: 1 / 0)
            with pytest.raises(EngineError, match="vllm broke: ZeroDivisionError"):
                next(engine.sample([request(prefix)]))
        with pytest.raises(EngineError, match="open it again"):
            next(engine.sample([request(prefix)]))
    with open_engine(folder) as engine:
        assert sample(engine, [request(prefix)])


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, 512), ({"kv_gib": 0.05}, 102), ({"kv_gib": 1e-4}, 8), ({"kv_gib": 0.05, "max_rows": 300}, 300)],
)
def test_on_a_cpu_as_many_rollouts_run_at_once_as_the_cache_holds(folder, options, rows):
    arguments = vllm_settings._arguments(str(folder), VllmOptions(**options), on_cpu=True)
    assert arguments["max_num_seqs"] == rows


def test_another_version_of_vllm_is_one_warning(monkeypatch, caplog):
    import vllm

    vllm_settings._settle_platform()
    assert not caplog.records
    monkeypatch.setattr(vllm, "__version__", "0.99.1")
    vllm_settings._settle_platform()
    assert [record.message for record in caplog.records] == [
        "vllm 0.99.1 is installed; cotlab is tested with 0.32.x only"
    ]


@pytest.mark.parametrize(("name", "value"), [("dtype", "int4"), ("max_rows", 0), ("gpu_memory_utilization", 1.5)])
def test_options_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        VllmOptions(**{name: value})


@pytest.mark.slow
def test_stdout_is_left_alone(folder):
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from cotlab.cli import quiet_torch\n"
        "quiet_torch()\n"
        "from pathlib import Path\n"
        "from test_engines_vllm_opening import open_engine\n"
        "from vllm_reference import request, sample\n"
        "from cotlab.chains.prefix import Prefix\n"
        "with open_engine(Path(sys.argv[1])) as engine:\n"
        "    sample(engine, [request(Prefix((5, 6, 7), 3))])\n"
        "print('{}')\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=True)
    assert done.stdout == "{}\n"
    assert not done.stderr


def test_stop_strings_are_found_where_the_configuration_names_a_wrong_tokenizer_class(folder, tmp_path):
    """As R1-Distill-Llama's does: transformers 5 then decodes byte-level tokens as SentencePiece, and vLLM with it."""
    published = shutil.copytree(folder, tmp_path / "published")
    configuration = published / "tokenizer_config.json"
    named = {**json.loads(configuration.read_text()), "tokenizer_class": "LlamaTokenizerFast"}
    configuration.write_text(json.dumps(named))
    tokenizer = HFTokenizer.load(published)
    space, other = (tokenizer.encode(text)[0] for text in (" ", "a"))
    settings = SamplingSettings(1.0, 1.0, 0, 200, (" ",))
    with open_engine(published) as engine:
        rollouts = sample(engine, [request(Prefix((other,), 1), idx, settings) for idx in range(12)])
    said = [rollout for rollout in rollouts if space in rollout.token_ids]
    assert said
    for rollout in said:
        assert rollout.finish_reason == "stop" and rollout.token_ids.index(space) == len(rollout.token_ids) - 1
