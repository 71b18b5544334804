"""Small random image-text models of each family, as folders, with images for them."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as pil

from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.templates import Template
from cotlab.chains.tokens import HFTokenizer

FAMILIES = ("llava", "llava_next", "qwen2_5_vl")
EOS = 256
SPECIAL = ("<image>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
PINPOINTS = [[24, 48], [48, 24], [48, 48]]
TEMPLATE = Template("plain", think="none", instruction="", choice_instruction="")

LLAVA_CHAT = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""As that of llava-hf's processors: what is said comes as parts."""


def picture(width: int, height: int, seed: int = 0) -> Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.of(pil.fromarray(values))


def shown(*images: Image, question: str = "What is it?") -> Problem:
    return Problem(question, images=images)


def prompt(folder: Path, *images: Image, question: str = "What is it?") -> Prefix:
    return TEMPLATE.prompt(shown(*images, question=question), tokenizer(folder))


@lru_cache
def tokenizer(folder: Path) -> HFTokenizer:
    return HFTokenizer.load(folder)


@lru_cache
def vlm_folder(root: Path, family: str) -> Path:
    """A model of a few hundred thousand parameters whose every part matters, with tokenizer and image processor."""
    torch.manual_seed(11)
    model = _made(family)
    with torch.no_grad():
        for parameter in model.parameters():  # or what an image changes would be lost in rounding
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=1.2 / parameter.flatten(1).shape[1] ** 0.5)
    folder = root / family
    model.save_pretrained(folder)
    _processor(family).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    if family != "qwen2_5_vl":
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": LLAVA_CHAT}))
    return folder


def their_model(folder: Path) -> Any:
    """The model of a folder as transformers itself runs it."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()


def their_inputs(folder: Path, prefix: Prefix, new: tuple[int, ...] = ()) -> dict[str, torch.Tensor]:
    """What transformers' own forward pass is called with: token ids, and pixels of its own image processor."""
    from transformers import AutoImageProcessor

    found = {"input_ids": torch.tensor([prefix.token_ids + new])}
    if prefix.images:
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        found |= dict(processor(images=[image.open() for image in prefix.images], return_tensors="pt"))
        if "image_grid_thw" in found:
            token = _tokenizer().convert_tokens_to_ids("<|image_pad|>")
            found["mm_token_type_ids"] = (found["input_ids"] == token).int()
    return found


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<eos>", special=True)])
    backend.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


def _processor(family: str) -> Any:
    from transformers import CLIPImageProcessorPil, LlavaNextImageProcessorPil, Qwen2VLImageProcessorPil

    side = {"height": 24, "width": 24}
    if family == "llava":
        return CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=side)
    if family == "llava_next":
        return LlavaNextImageProcessorPil(size={"shortest_edge": 24}, crop_size=side, image_grid_pinpoints=PINPOINTS)
    return Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, size={"shortest_edge": 128, "longest_edge": 1024})


def _made(family: str) -> Any:
    import transformers as hf

    ids = {name: 257 + i for i, name in enumerate(("image", "start", "end", "pad"))}
    text = {
        "vocab_size": 264,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "eos_token_id": EOS,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    if family == "qwen2_5_vl":
        vision = {
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "window_size": 16,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 48,
        }
        rope = {"rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 10000.0}
        config = hf.Qwen2_5_VLConfig(
            text_config=text | {"rope_parameters": rope},
            vision_config=vision,
            image_token_id=ids["pad"],
            video_token_id=263,
            vision_start_token_id=ids["start"],
            vision_end_token_id=ids["end"],
        )
        return hf.Qwen2_5_VLForConditionalGeneration(config)
    vision_config = hf.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=24,
        patch_size=6,
        projection_dim=16,
    )
    shared = {"vision_config": vision_config, "image_token_id": ids["image"]}
    if family == "llava":
        return hf.LlavaForConditionalGeneration(hf.LlavaConfig(text_config=hf.LlamaConfig(**text), **shared))
    config = hf.LlavaNextConfig(text_config=hf.Qwen2Config(**text), image_grid_pinpoints=PINPOINTS, **shared)
    return hf.LlavaNextForConditionalGeneration(config)
