"""Asking a vision-language model about scenes as anyone would: a PNG file, the processor, the chat template."""

import io
from typing import Any

import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from cotlab.tiny import scenes as sc


def picture(scene: sc.Scene) -> Image.Image:
    return Image.open(io.BytesIO(sc.png(scene)))


def inputs_for(processor: Any, asked: list[tuple[sc.Scene, sc.Question]], **how: Any) -> dict[str, torch.Tensor]:
    turns = [
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question.prompt}]}]
        for _, question in asked
    ]
    texts = [processor.apply_chat_template(turn, add_generation_prompt=True, **how) for turn in turns]
    pictures = [picture(scene) for scene, _ in asked]
    return processor(images=pictures, text=texts, return_tensors="pt")


def says_yes(
    model: LlavaForConditionalGeneration, processor: Any, asked: list[tuple[sc.Scene, sc.Question]]
) -> list[bool]:
    inputs = inputs_for(processor, asked, enable_thinking=False)
    with torch.no_grad():
        said = model(**inputs, logits_to_keep=1).logits[:, -1].argmax(-1)
    return [processor.tokenizer.decode([token]) == "Yes" for token in said]


def says_yes_unseen(model: LlavaForConditionalGeneration, processor: Any, question: sc.Question) -> bool:
    """Without any picture."""
    turn = [{"role": "user", "content": [{"type": "text", "text": question.prompt}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=True, enable_thinking=False)
    with torch.no_grad():
        said = model(**processor(text=text, return_tensors="pt"), logits_to_keep=1).logits[:, -1].argmax(-1)
    return bool(processor.tokenizer.decode(said) == "Yes")
