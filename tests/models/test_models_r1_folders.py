"""Local folders shaped as DeepSeek publishes its distilled models: chat template, tokenizer configuration, names.

The two traps: `tokenizer_config.json` names LlamaTokenizerFast, which transformers 5 reads as SentencePiece although
`tokenizer.json` is byte-level (spaces get lost); and the chat template of the first weeks did not open the think tag.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from cotlab.chains.problem import Problem
from cotlab.chains.think import DEFAULT_TAGS, split_response
from cotlab.chains.tokens import HFTokenizer
from cotlab.models import ResolvedModel, resolve_model

BOS, EOS, USER, ASSISTANT = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
HEAD = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(is_first=false, is_tool=false, system_prompt='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is not none %}"
    "{% set content = message['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor -%}"
)
NOW = HEAD + "{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}"
FIRST_WEEKS = HEAD + "{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜>'}}{% endif %}"
FAMILIES = {
    "DeepSeek-R1-Distill-Qwen-1.5B": ("qwen2", 28, 1536),
    "DeepSeek-R1-Distill-Qwen-14B": ("qwen2", 48, 5120),
    "DeepSeek-R1-Distill-Llama-8B": ("llama", 32, 4096),
}
PROBLEM = Problem("What is 2 + 2?", "4", "number")
SAID = "Wait.\n\nSo it is 4, isn't it? 我们\n</think>\n\nThe answer is \\boxed{4}."


def added(text: str) -> dict[str, object]:
    entry = {"__type": "AddedToken", "content": text}
    return entry | {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


def byte_level_file() -> Tokenizer:
    """`tokenizer.json` as both families have it: byte-level, control tokens special, think tags ordinary, bos first."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in (BOS, EOS)])
    backend.add_tokens([AddedToken(text, normalized=False) for text in (USER, ASSISTANT, "<think>", "</think>")])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, backend.token_to_id(BOS))]
    )
    return backend


def published(folder: Path, name: str, template: str = NOW) -> ResolvedModel:
    """A folder with everything that a published one has, but for the size of its weights."""
    family, n_layers, width = FAMILIES[name]
    place = folder / name
    place.mkdir()
    (place / "config.json").write_text(
        json.dumps({"model_type": family, "num_hidden_layers": n_layers, "hidden_size": width, "vocab_size": 262})
    )
    configuration = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": added(BOS),
        "clean_up_tokenization_spaces": False,
        "eos_token": added(EOS),
        "legacy": True,
        "model_max_length": 16384,
        "pad_token": added(EOS),
        "sp_model_kwargs": {},
        "unk_token": None,
        "tokenizer_class": "LlamaTokenizerFast",
        "chat_template": template,
    }
    (place / "tokenizer_config.json").write_text(json.dumps(configuration))
    (place / "generation_config.json").write_text(json.dumps({"eos_token_id": 257, "temperature": 0.6, "top_p": 0.95}))
    byte_level_file().save(str(place / "tokenizer.json"))
    save_file({"model.norm.weight": np.ones(8, dtype=np.float32)}, place / "model.safetensors")
    return resolve_model(str(place))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_folder_of_a_known_name_has_the_known_card_and_the_published_prompt(tmp_path: Path, name: str) -> None:
    model = published(tmp_path, name)
    assert (model.card.name, model.card.template_kind, model.card.think) == (f"deepseek-ai/{name}", "r1", "open")
    tokenizer = HFTokenizer.load(model.path)
    template = model.card.template().bound(tokenizer)
    text = template.render(PROBLEM, tokenizer)
    instruction = "Please reason step by step, and put your final answer within \\boxed{}."
    assert text == f"{BOS}{USER}What is 2 + 2?\n{instruction}{ASSISTANT}<think>\n"
    question = {"role": "user", "content": f"What is 2 + 2?\n{instruction}"}
    assert text == tokenizer.render_chat(tokenizer.chat_template, [question])


@pytest.mark.parametrize("name", FAMILIES)
def test_its_byte_level_tokenizer_is_not_taken_for_sentencepiece(tmp_path: Path, name: str) -> None:
    tokenizer = HFTokenizer.load(published(tmp_path, name).path)
    ids = tokenizer.encode(SAID)
    assert tokenizer.decode(ids) == "".join(tokenizer.pieces(ids)) == SAID
    assert ids == byte_level_file().encode(SAID, add_special_tokens=False).ids
    prompt = tokenizer.encode(f"{BOS}{USER}Hi{ASSISTANT}<think>\n")
    marks = {text: byte_level_file().token_to_id(text) for text in (BOS, USER, ASSISTANT, "<think>")}
    assert [prompt.count(marks[text]) for text in marks] == [1, 1, 1, 1]  # each one token, and no second bos
    assert tokenizer.eos_ids == {byte_level_file().token_to_id(EOS)}
    assert "<think>" in tokenizer.decode(prompt)
    assert split_response(SAID, DEFAULT_TAGS, opened=True).answer.strip() == "The answer is \\boxed{4}."


@pytest.mark.parametrize(("template", "think"), [(NOW, "open"), (FIRST_WEEKS, "model")])
def test_a_fine_tune_of_another_name_is_read_by_its_template(tmp_path: Path, template: str, think: str) -> None:
    place = published(tmp_path, "DeepSeek-R1-Distill-Qwen-1.5B", template).path
    model = resolve_model(str(place.rename(tmp_path / "my-fine-tune")))
    assert (model.card.template_kind, model.card.think, model.card.tags) == ("tokenizer", think, DEFAULT_TAGS)
    tokenizer = HFTokenizer.load(model.path)
    bound = model.card.template().bound(tokenizer)
    assert bound.render(PROBLEM, tokenizer).endswith(f"{ASSISTANT}<think>\n" if think == "open" else ASSISTANT)
    assert bound.opened == (think == "open")
    closed = bound.without_think_tag().render(PROBLEM, tokenizer)
    assert closed.rstrip().endswith(ASSISTANT) and "<think>" not in closed


@pytest.mark.parametrize("name", ["deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "r1-llama-8b", "someone/their-model"])
def test_a_hub_name_without_a_hub_is_one_line(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "cotlab", "resample", "--model", name, "--dry-run"]
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    told = [line for line in done.stderr.splitlines() if not line.startswith("loading")]
    assert done.returncode == 2 and len(told) == 1 and not done.stdout
    assert f"model '{name}' is not on this machine" in told[0] and "`hf download " in told[0]
