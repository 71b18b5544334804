import pytest
from small_tokenizers import byte_level, metaspace

from cotlab.chains import Problem, Template, ThinkTags, split_response, template_from_file
from cotlab.chains.templates import MATH_INSTRUCTION, chat_template_opens
from cotlab.errors import DataError, ModelError

SUM = Problem("What is 2 + 2?")
ASKED = f"What is 2 + 2?\n{MATH_INSTRUCTION}"
BOS = "<｜begin▁of▁sentence｜>"


def test_r1_opens_the_think_tag():
    assert Template("r1").render(SUM, byte_level()) == f"{BOS}<｜User｜>{ASKED}<｜Assistant｜><think>\n"


def test_r1_is_encoded_with_its_special_tokens():
    ids = Template("r1", instruction="").encode(SUM, byte_level())
    names = byte_level().hf.convert_ids_to_tokens(list(ids))
    assert names[:2] == [BOS, "<｜User｜>"]
    assert names[-3:-1] == ["<｜Assistant｜>", "<think>"]
    assert byte_level().decode(ids) == "What is 2 + 2?<think>\n"


def test_the_tokenizers_own_template_gives_the_same_prompt():
    own = Template("tokenizer").bound(byte_level())
    assert own.render(SUM, byte_level()) == Template("r1").render(SUM, byte_level())


def test_qwen3_lets_the_model_open_its_thoughts_or_opens_them():
    closed = Template("qwen3", think="model", instruction="", system="Be brief.")
    start = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert closed.render(SUM, byte_level()) == start
    assert Template("qwen3", instruction="", system="Be brief.").render(SUM, byte_level()) == f"{start}<think>\n"


def test_plain_has_a_stub_and_starts_as_the_tokenizer_would():
    plain = Template("plain", think="none", instruction="", stub="Answer:")
    assert plain.render(SUM, byte_level()) == "What is 2 + 2?\nAnswer:"


def test_no_think_tag_takes_away_what_the_template_opens():
    for kind in ("r1", "tokenizer"):
        template = Template(kind).bound(byte_level()).without_think_tag()
        assert template.render(SUM, byte_level()).endswith("<｜Assistant｜>")
        assert not template.opened


def test_choices_are_lettered():
    problem = Problem("Which is prime?", choices=("4", " 5 ", "6"), checker="choice")
    text = Template("plain", think="none", choice_instruction="Give the letter.").question(problem)
    assert text == "Which is prime?\n\nA. 4\nB. 5\nC. 6\n\nGive the letter."
    with pytest.raises(DataError, match="27 choices, more than the 26 letters"):
        Template("plain").question(Problem("?", choices=("x",) * 27))


def test_system_text_goes_where_the_model_wants_it():
    assert Template("r1", system="S.").render(SUM, byte_level()).startswith(f"{BOS}S.<｜User｜>What")
    assert (
        Template("r1", system="S.", system_role=False)
        .render(SUM, byte_level())
        .startswith(f"{BOS}<｜User｜>S.\n\nWhat")
    )


def test_the_id_follows_everything_that_changes_the_prompt():
    variants = [
        Template("r1"),
        Template("qwen3"),
        Template("r1", think="none"),
        Template("r1", instruction=""),
        Template("r1", system="S."),
        Template("r1", tags=ThinkTags("<t>", "</t>")),
        Template("tokenizer").bound(byte_level()),
        Template("tokenizer").bound(byte_level("{{ messages[0].content }}")),
    ]
    assert len({template.id for template in variants}) == len(variants)
    assert Template("r1").id == Template("r1").id
    with pytest.raises(ModelError, match="not bound"):
        _ = Template("tokenizer").id


def test_a_tokenizer_without_a_chat_template_is_one_line():
    with pytest.raises(ModelError, match="no chat template. Choose a template: r1"):
        Template("tokenizer").render(SUM, metaspace())


def test_own_file(tmp_path):
    path = tmp_path / "own.jinja"
    path.write_text(
        "{{ bos_token }}Q: {{ question }}\n{% for c in choices %}\n[{{ c }}]\n{% endfor %}\nA: {{ think_open }}\n"
    )
    template = template_from_file(path)
    assert template.render(SUM, byte_level()) == f"{BOS}Q: What is 2 + 2?\nA: <think>\n"
    assert template_from_file(path, think="none").render(SUM, byte_level()).endswith("A: ")
    chosen = Problem("Which?", choices=("a", "b"))
    assert template.render(chosen, byte_level()).startswith(f"{BOS}Q: Which?\n\nA. a\nB. b\n\n[a]\n[b]\nA: ")
    other = tmp_path / "elsewhere.jinja"
    other.write_text(path.read_text())
    assert template_from_file(other).id == template.id


def test_own_file_may_be_a_chat_template_of_the_hub(tmp_path):
    path = tmp_path / "chat.jinja"
    path.write_text(byte_level().chat_template)
    template = template_from_file(path)
    assert template.render(SUM, byte_level()) == Template("r1", instruction="").render(SUM, byte_level())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{{ qestion }}", "'qestion' is undefined.*It may use add_generation_prompt, bos_token"),
        ("{% for %}", "line 1"),
        ("  \n", "is empty"),
        ("{{ question.__class__.__mro__ }}", "unsafe"),
        ("{{ choices.append('x') }}", "unsafe|not safely"),
        ("{{ raise_exception('no such role') }}", "no such role"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_own_file_that_fails_is_one_line(tmp_path, content, message):
    path = tmp_path / "own.jinja"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        template_from_file(path).render(SUM, byte_level())
    assert "\n" not in str(caught.value)


def test_own_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(DataError, match=r"none\.jinja' cannot be read"):
        template_from_file(tmp_path / "none.jinja")
    (tmp_path / "bytes.jinja").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="Jinja file in UTF-8"):
        template_from_file(tmp_path / "bytes.jinja")


def test_whether_a_chat_template_opens_thoughts():
    assert chat_template_opens(byte_level().chat_template)
    assert not chat_template_opens("{{ messages[0].content }}{% if enable_thinking is false %}<think>{% endif %}")
    assert not chat_template_opens("{{ messages[0].content + 1 }}")


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("I think.\n</think>\n\nFive.", True, ("I think.\n", "\n\nFive.", True)),
        ("I think.", True, ("I think.", "", False)),
        ("Five.", False, ("", "Five.", True)),
        ("<think>\nI think.</think>Five.", False, ("\nI think.", "Five.", True)),
        ("\n<think>I think.</think>Five.", True, ("I think.", "Five.", True)),
        ("I think.</think>Five.", False, ("I think.", "Five.", True)),
        ("One.</think>Two.<think>Three.</think>Four.", True, ("One.Three.", "Two.Four.", True)),
        ("One.</think>Two.</think>Three.", True, ("One.", "Two.Three.", True)),
        ("One.</think>Two.<think>Three.", True, ("One.Three.", "Two.", False)),
        ("", True, ("", "", False)),
    ],
)
def test_split_response(text, opened, expected):
    assert tuple(split_response(text, opened=opened)) == expected


def test_think_tags_must_differ():
    with pytest.raises(ValueError, match="two different"):
        ThinkTags("<t>", "<t>")
    assert split_response("a[/t]b", ThinkTags("[t]", "[/t]")) == ("a", "b", True)
