"""Small real tokenizers, trained in the tests."""

from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from cotlab.chains.tokens import HFTokenizer

R1_CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
    "{% elif m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)

TEXTS = [
    "Wait.\n\nSo the sum is 3.14, isn't it? Yes.\n\nHmm, let me check.\n\nDid he ask “why?” No. Did she say “so?” Yes.",
    "我们先算一下。对吗？对！答案是五。 😀 é ñ 𝔘",
    "The value is $x = 1.5$. Then we have\n\n\\[ x + 2 = 3.5 \\]\n\nso \\boxed{3.5}.\n\n",
] * 40


def byte_level_backend(split_newlines: bool = False) -> Tokenizer:
    """Byte-level BPE; without splitting on classes, tokens such as `.\\n\\n` and `?”` arise as merges."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split_newlines)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"],
        max_token_length=4,
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.add_tokens([AddedToken(text, normalized=False) for text in ("<think>", "</think>", "two words｜")])
    return backend


@cache
def byte_level(chat_template: str = R1_CHAT) -> HFTokenizer:
    """Wrapped byte-level tokenizer with R1's special tokens; `<think>` is not special."""
    return HFTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=byte_level_backend(),
            bos_token="<｜begin▁of▁sentence｜>",
            eos_token="<｜end▁of▁sentence｜>",
            chat_template=chat_template,
        )
    )


@cache
def metaspace() -> HFTokenizer:
    """SentencePiece-like BPE with byte fallback, as Llama 2 has it."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for token in [f"<0x{byte:02X}>" for byte in range(256)] + list("▁abcdefghijklmnopqrstuvwxyzHW.,"):
        vocab[token] = len(vocab)
    for token in ("▁a", "he", "lo"):
        vocab[token] = len(vocab)
    backend = Tokenizer(
        models.BPE(
            vocab=vocab,
            merges=[("▁", "a"), ("h", "e"), ("l", "o")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<s>", "</s>"])
    return HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>"))
