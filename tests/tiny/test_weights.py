"""The shipped model loads, tokenizes as it was trained, and reasons in its language."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from cotlab import tiny

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny.model_path(), padding_side="left")


def test_numbers_and_think_tags_are_single_ordinary_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    assert all(len(tokenizer.encode(str(number))) == 1 for number in range(100))
    for tag in ("<think>", "</think>"):
        ids = tokenizer.encode(tag)
        assert len(ids) == 1 and tokenizer.decode(ids, skip_special_tokens=True) == tag
    assert len(tokenizer) <= 900


def test_chains_tokenize_losslessly_with_one_token_for_a_sentence_end(
    tokenizer: PreTrainedTokenizerBase, chains: list[tiny.LabelledChain]
) -> None:
    for chain in chains[:200]:
        ids = tokenizer.encode(chain.text)
        assert tokenizer.decode(ids) == chain.text
        pieces = [tokenizer.decode([i]) for i in ids]
        assert all("\n" not in piece.rstrip("\n") for piece in pieces)
        assert len(ids) / len(chain.steps) < 14


@pytest.mark.parametrize(
    "text", ["Any text, 3.14 and 1234!\n\n\tdef f(x): return x_1", " <think> \\frac{1}{2} Waiting, no"]
)
def test_any_text_tokenizes_losslessly(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_template_is_that_of_r1_distill(tokenizer: PreTrainedTokenizerBase) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    opened = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert opened == "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>\n"
    turns.append({"role": "assistant", "content": "Thoughts.</think>\n\nHello."})
    closed = tokenizer.apply_chat_template(turns, tokenize=False)
    assert closed.endswith("<｜Assistant｜>\n\nHello.<｜end▁of▁sentence｜>")


def test_the_model_reasons_in_its_language(tokenizer: PreTrainedTokenizerBase) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny.model_path()).eval()
    assert model.config.model_type == "qwen2" and model.dtype == torch.float32
    assert sum(parameter.numel() for parameter in model.parameters()) < 4e6
    problems = tiny.generate_problems(12, seed=9, family="solve", split="heldout")
    turns = [[{"role": "user", "content": problem.question}] for problem in problems]
    inputs = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**inputs, do_sample=False, max_new_tokens=200)
    texts = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    steps = [step for problem, text in zip(problems, texts, strict=True) for step in tiny.parse_chain(problem, text)]
    assert sum(step.category != "unknown" for step in steps) > 0.95 * len(steps)
    assert sum(tiny.check_answer(p, text) is True for p, text in zip(problems, texts, strict=True)) >= 6


def test_the_writer_and_the_tokenizer_agree_with_the_training_format(tokenizer: PreTrainedTokenizerBase) -> None:
    problem = tiny.generate_problems(1, seed=2, family="countdown")[0]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": problem.question}], add_generation_prompt=True, tokenize=False
    )
    text = tiny.write_chain(problem, random.Random(0)).text
    joined = tokenizer.encode(prompt, add_special_tokens=False) + tokenizer.encode(text, add_special_tokens=False)
    assert joined == tokenizer.encode(prompt + text, add_special_tokens=False)
