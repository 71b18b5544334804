"""The tiny reasoner's tokenizer with the words of scenes and an image token, and the processor around it.

New words are added tokens, as the reasoner's own phrases are: they are matched before any pre-tokenizer, so that every
way of loading the tokenizer gives the same ids. The old ids stay what they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from transformers import AutoTokenizer, LlavaProcessor
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from cotlab import tiny
from cotlab.tiny import scenes as sc

IMAGE = "<image>"
PHRASES = (
    "Is there a", " in the image?", "How many", " are there?", "What colour is the", "?", "Is the", "Which letters",
    "Describe the image.", "The image shows", ": a", ", a", " a", " and a", " the letters ", " nothing",
    "Nothing is there", "That makes ", "I think there is a", "None", "No",
)  # fmt: skip
TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}"
    "{% for message in messages %}{% set spoken = namespace(text='') %}"
    "{% if message['content'] is string %}{% set spoken.text = message['content'] %}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{% set spoken.text = spoken.text + '<image>' %}"
    "{% elif part['type'] == 'text' %}{% set spoken.text = spoken.text + part['text'] %}{% endif %}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'system' %}{{ spoken.text }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '<｜User｜>' + spoken.text }}{% endif %}"
    "{% if message['role'] == 'assistant' %}"
    "{% if '</think>' in spoken.text %}{% set spoken.text = spoken.text.split('</think>')[-1] %}{% endif %}"
    "{{ '<｜Assistant｜>' + spoken.text + '<｜end▁of▁sentence｜>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '</think>\\n\\n' }}{% endif %}{% endif %}"
)
"""The tiny reasoner's template with images; `enable_thinking=False` closes the thoughts at once, as Qwen3's does."""


def words() -> list[str]:
    """Every piece of the language of scenes that gets a token of its own."""
    shapes = [f" {shape}" for shape in (*sc.SHAPES, "shape")]
    plurals = [" crosses" if shape == " cross" else f"{shape}s" for shape in shapes]
    colours = [f" {colour}" for colour in sc.COLOURS] + [colour.capitalize() for colour in sc.COLOURS]
    places = [place[0].upper() + place[1:] for place in sc.PLACES]
    relations = [f" {relation} the" for relation in sc.RELATIONS]
    return [*PHRASES, *relations, *places, *colours, *shapes, *plurals]


def extended_tokenizer() -> Any:
    """The reasoner's tokenizer with the words of scenes; one-letter and one-word answers only match as whole words."""
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path())
    tokenizer.add_tokens([AddedToken(IMAGE, special=True, normalized=False)], special_tokens=True)
    known = tokenizer.get_vocab()
    new = [word for word in words() if word.replace(" ", "Ġ") not in known and word not in known]
    tokenizer.add_tokens(
        [AddedToken(w, special=False, normalized=False, single_word=w[0].isupper() and w.isalpha()) for w in new]
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def processor(side: int, patch: int) -> LlavaProcessor:
    """Tokenizer and image processor: any picture becomes side × side pixels in -1 … 1, without torchvision."""
    square = {"height": side, "width": side}
    images = LlavaImageProcessorPil(
        do_resize=True,
        size=square,
        do_center_crop=False,
        crop_size=square,
        do_rescale=True,
        do_normalize=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        do_convert_rgb=True,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=extended_tokenizer(),
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
        image_token=IMAGE,
    )


def save_processor(folder: Path, side: int, patch: int) -> None:
    """Write tokenizer, template and image processor."""
    processor(side, patch).save_pretrained(folder)
