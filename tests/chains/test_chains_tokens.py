import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizers import TEXTS, byte_level, byte_level_backend, metaspace
from transformers import PreTrainedTokenizerFast

from cotlab.chains.tokens import ChatTokenizer, HFTokenizer
from cotlab.errors import ModelError

ANY_IDS = st.lists(st.integers(0, 430), max_size=40)


@given(ANY_IDS)
@settings(deadline=None, max_examples=60)
def test_byte_level_pieces_join_to_the_decoded_text(ids):
    tokenizer = byte_level()
    pieces = tokenizer.pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == tokenizer.decode(ids)


@given(st.lists(st.integers(0, 300), max_size=30))
@settings(deadline=None, max_examples=60)
def test_metaspace_pieces_join_to_the_decoded_text(ids):
    tokenizer = metaspace()
    pieces = tokenizer.pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == tokenizer.decode(ids)


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=60)
def test_any_text_survives_the_round_trip(text):
    tokenizer = byte_level()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("tokenizer", [byte_level, metaspace])
def test_a_character_belongs_to_its_last_token(tokenizer):
    tokenizer = tokenizer()
    ids = tokenizer.encode("a 🜚 b")
    pieces = tokenizer.pieces(ids)
    position = next(i for i, piece in enumerate(pieces) if "🜚" in piece)
    assert len(ids) > len("a 🜚 b"), "the character should take several tokens"
    assert pieces[position - 1] == pieces[position - 2] == ""
    assert "".join(pieces) == "a 🜚 b"


def test_an_unfinished_character_is_shown_at_the_end():
    tokenizer = byte_level()
    ids = tokenizer.encode("x🜚")[:-1]
    assert tokenizer.pieces(ids)[-1].startswith("\ufffd")
    assert "".join(tokenizer.pieces(ids)) == tokenizer.decode(ids)


def test_special_tokens_in_a_text_are_encoded_as_such_and_left_out_when_decoded():
    tokenizer = byte_level()
    ids = tokenizer.encode("<｜User｜>So<｜Assistant｜><think>\n")
    names = tokenizer.hf.convert_ids_to_tokens(ids)
    assert names[0] == "<｜User｜>"
    assert names.count("<｜Assistant｜>") == 1
    assert names[-2] == "<think>"
    assert tokenizer.decode(ids) == "So<think>\n"
    assert tokenizer.pieces(ids)[0] == ""


def test_nothing_is_added_and_spaces_are_kept():
    tokenizer = byte_level()
    assert tokenizer.hf.bos_token_id not in tokenizer.encode("So it is , isn't it ?")
    assert tokenizer.decode(tokenizer.encode("So it is , isn't it ?")) == "So it is , isn't it ?"
    assert not tokenizer.starts_with_bos


def test_pieces_of_16k_tokens_take_under_a_second():
    tokenizer = byte_level()
    ids = (tokenizer.encode("".join(TEXTS)) * 4)[:16_384]
    assert len(ids) == 16_384
    start = time.process_time()
    tokenizer.pieces(ids)
    assert time.process_time() - start < 1


def test_the_id_follows_vocabulary_and_rules_only():
    first, second = HFTokenizer(_plain(byte_level_backend())), HFTokenizer(_plain(byte_level_backend()))
    assert first.id == second.id
    second.hf.backend_tokenizer.enable_truncation(5)
    second.__dict__.pop("_rules", None)
    second.__dict__.pop("id")
    assert first.id == second.id
    assert first.id != HFTokenizer(_plain(byte_level_backend(split_newlines=True))).id


def test_load_reads_a_folder_and_its_end_tokens(tmp_path):
    byte_level().hf.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 7]}))
    loaded = HFTokenizer.load(tmp_path)
    assert loaded.eos_ids == {1, 7}
    assert loaded.id == byte_level().id
    assert loaded.chat_template == byte_level().chat_template
    assert isinstance(loaded, ChatTokenizer)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 9}))
    assert HFTokenizer.load(tmp_path).eos_ids == {1, 9}
    (tmp_path / "generation_config.json").unlink()
    assert HFTokenizer.load(tmp_path).eos_ids == {1}


def test_load_says_in_one_line_what_is_wrong(tmp_path):
    for broken in ("{}", "{", '{"model": {"type": "BPE"}}'):
        (tmp_path / "tokenizer.json").write_text(broken)
        with pytest.raises(ModelError, match="no tokenizer can be read") as caught:
            HFTokenizer.load(tmp_path)
        assert "\n" not in str(caught.value)
    byte_level().hf.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"generation_config\.json is not valid JSON"):
        HFTokenizer.load(tmp_path)


def _plain(backend):
    return PreTrainedTokenizerFast(tokenizer_object=backend)
