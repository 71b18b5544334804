import json

import pytest

from cotlab.chains.problem import Problem
from cotlab.errors import ModelError
from cotlab.models import KNOWN_CARDS, TINY_CARD, find_card

R1 = "{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}"
QWEN = "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"


def test_names_and_aliases_are_distinct_and_find_their_card():
    names = [name for card in KNOWN_CARDS for name in (card.name.lower(), *card.aliases)]
    assert len(set(names)) == len(names)
    for card in KNOWN_CARDS:
        for name in (card.name, card.name.upper(), card.name.rsplit("/", 1)[-1], *card.aliases):
            assert find_card(name) is card


@pytest.mark.parametrize(
    ("name", "layers", "width", "kind", "think"),
    [
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 28, 1536, "r1", "open"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", 80, 8192, "r1", "open"),
        ("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", 36, 4096, "r1", "model"),
        ("Qwen/QwQ-32B", 64, 5120, "qwen3", "open"),
        ("Qwen/Qwen3-8B", 36, 4096, "qwen3", "model"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 30, 576, "tokenizer", "none"),
        ("tiny", None, None, "tokenizer", "open"),
    ],
)
def test_cards(name, layers, width, kind, think):
    card = find_card(name)
    assert (card.name, card.n_layers, card.d_model) == (name, layers, width)
    template = card.template()
    assert (template.kind, template.think) == (kind, think)


def test_another_template_keeps_tags_and_instruction():
    assert find_card("qwen3-8b").template("plain").kind == "plain"
    assert TINY_CARD.template().instruction == ""


def test_an_unknown_name_trusts_the_tokenizer():
    card = find_card("someone/new-model")
    assert (card.name, card.template_kind, card.tags) == ("someone/new-model", "tokenizer", None)
    assert find_card("mirror/DeepSeek-R1-Distill-Qwen-7B").n_layers == 28


@pytest.mark.parametrize(
    ("template", "think", "tags", "kind"),
    [
        (R1, "open", "<think>", "tokenizer"),
        (QWEN, "model", "<think>", "tokenizer"),
        ("{{ messages }}", "none", None, "tokenizer"),
        (None, "none", None, "plain"),
    ],
)
@pytest.mark.parametrize("in_config", [True, False])
def test_a_folder_is_read(tmp_path, template, think, tags, kind, in_config):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "qwen2", "num_hidden_layers": 2, "hidden_size": 64})
    )
    if template and in_config:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    elif template:
        (tmp_path / "chat_template.jinja").write_text(template)
    card = find_card(tmp_path)
    assert (card.name, card.family, card.n_layers, card.d_model) == (tmp_path.name, "qwen2", 2, 64)
    assert (card.think, card.tags and card.tags.open, card.template_kind) == (think, tags, kind)


def test_several_chat_templates_in_one_configuration(tmp_path):
    named = [{"name": "tools", "template": "x"}, {"name": "default", "template": R1}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert find_card(tmp_path).think == "open"


def test_a_folder_with_a_known_name_is_that_model_only_with_its_shape(tmp_path):
    folder = tmp_path / "DeepSeek-R1-Distill-Qwen-1.5B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 28, "hidden_size": 1536}))
    assert find_card(folder).template_kind == "r1"
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 2, "hidden_size": 64}))
    assert find_card(folder).template_kind == "plain"


def test_broken_json_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is not valid JSON"):
        find_card(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="holds list, expected a JSON object"):
        find_card(tmp_path)


def test_a_folder_of_an_image_text_model_asks_plainly(tmp_path):
    folder = tmp_path / "my-llava"
    folder.mkdir()
    config = {"model_type": "llava", "text_config": {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    card = find_card(folder)
    assert (card.template_kind, card.instruction, card.think, card.n_layers, card.d_model) == (
        "tokenizer",
        "",
        "none",
        2,
        64,
    )
    assert card.template().question(Problem("Is it red?")) == "Is it red?"


def test_a_published_folder_leaves_out_what_is_usual(tmp_path):
    """llava-1.5-7b-hf's own config.json names neither layers nor width of its decoder."""
    folder = tmp_path / "llava-1.5-7b-hf"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": {"model_type": "llama"}}))
    assert find_card(folder).name == "llava-hf/llava-1.5-7b-hf"
    (folder / "config.json").write_text(
        json.dumps({"model_type": "llava", "text_config": {"model_type": "llama", "hidden_size": 64}})
    )
    assert find_card(folder).name == "llava-1.5-7b-hf" and find_card(folder).d_model == 64
