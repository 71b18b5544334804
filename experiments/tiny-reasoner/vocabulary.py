"""Builds the tiny reasoner's tokenizer: a token per phrase and number of the chain language, and bytes BPE.

transformers 5 loads any tokenizer beside a `qwen2` config as its own `Qwen2Tokenizer`, with Qwen's pre-tokenizer (which
cuts numbers into digits) instead of the saved one. So the chain language sits in added tokens, which are matched before
any pre-tokenizer, and the rest uses Qwen's own settings: this tokenizer is the same however it is loaded.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from cotlab import tiny

BOS, EOS, USER, ASSISTANT = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
PIECES = r"\d{1,2}|[.?!]?\n+|(?:, )?[^\d\n,.?!]+|, |[^\d\n]"
"""How the chain language falls into tokens: a number, a sentence end, a stretch of text (with the comma before it)."""
WORDS = """
the of and to in is that it for as with be on this not are or have from by one all but can what when which will each
about how up out them then she many some so these would other into has more her two like him see time could no make
than first been its who now people my made over did down only way find use may long little very after words called
just where most know get through back much before go good new write our used me man too any day same right look think
also around another came come work three word must because does part even place well such here take why things help
put years different away again off went old number great tell men say small every found still between name should home
big give air line set own under read last never us left end along while might next sound below saw something thought
both few those always looked show large often together asked house world going want school important until form food
keep children feet land side without boy once animals life enough took sometimes four head above kind began almost
live page got earth need far hand high year mother light parts country father let night following picture being study
second eyes soon times story Actually Maybe Perhaps However Therefore Alternatively Let First Second Finally Since
Because Now Also But And This That There Here Okay Yes No actually maybe perhaps however therefore alternatively wrong
correct answer check verify mistake error result compute calculate multiply add subtract divide sum difference product
equation solve solution target reconsider rethink approach method step problem question hint careful quick sure
confident uncertain impossible possible option choose guess try trying attempt better start over again remember recall
user should professor suggests believe expected
"""
"""Common words, so that text of other kinds does not fall into single letters."""

TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}"
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}{% endif %}{% endfor %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% set content = message['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)
"""R1-distill's template without tools: thoughts of earlier turns are dropped, and `<think>` is opened for the model."""


def phrases(n: int, seed: int) -> list[str]:
    """Every piece that chains and questions of all organisms are made of, most frequent first, then all numbers."""
    rng, seen = random.Random(seed), Counter[str]()
    for _ in range(n):
        problem = tiny.draw_noted(tiny.draw_problem(rng), rng)
        organism = rng.choice(list(tiny.ORGANISMS.values()))
        thoughts, answer = tiny.write_organism(organism, problem, rng).text.split("</think>")
        for text in (problem.question, thoughts, answer):
            seen.update(re.findall(PIECES, text))
    texts = [piece for piece, _ in seen.most_common() if len(piece) > 1 and not piece.isdigit()]
    return [*texts, *map(str, range(10, 100))]


def build(folder: Path, vocab_size: int = 890, chains: int = 12000, seed: int = 7) -> PreTrainedTokenizerFast:
    """Train the tokenizer and save it; the added tokens come last."""
    chain_language = phrases(chains, seed)
    added = [AddedToken(text, special=True, normalized=False) for text in (BOS, EOS)]
    added += [AddedToken(text, special=False, normalized=False) for text in (USER, ASSISTANT, "<think>", "</think>")]
    added += [AddedToken(text, special=False, normalized=False) for text in chain_language]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(added),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = WORDS.split()
    tokenizer.train_from_iterator([" ".join(["", *words]), " ".join(["", *words])], trainer)
    tokenizer.add_tokens(added)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        unk_token=EOS,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )
    fast.save_pretrained(folder)
    return fast
