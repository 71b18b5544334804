"""The shipped vision-language model loads as any model folder does, and answers as its card says."""

import random

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaForConditionalGeneration

from cotlab import tiny
from cotlab.errors import ModelError
from cotlab.models import TINY_VLM_CARD, resolve_model
from cotlab.tiny import scenes as sc
from cotlab.tiny.vlm import vlm_path
from tests.tiny.vlm_asking import inputs_for, says_yes

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def processor() -> object:
    return AutoProcessor.from_pretrained(vlm_path())


@pytest.fixture(scope="module")
def honest() -> LlavaForConditionalGeneration:
    return AutoModelForImageTextToText.from_pretrained(vlm_path()).eval()


def test_the_processor_makes_36_image_tokens_and_the_pixels_of_the_scene(processor) -> None:
    scene = sc.draw_scenes(1, 4)[0]
    inputs = inputs_for(processor, [(scene, sc.ask_exists(scene, "star"))])
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    assert processor.tokenizer.decode(inputs["input_ids"][0]) == (
        "<｜begin▁of▁sentence｜><｜User｜>" + "<image>" * 36 + "Is there a star in the image?<｜Assistant｜><think>\n"
    )
    assert (inputs["input_ids"] == image).sum() == 36
    drawn = torch.from_numpy(sc.render(scene)).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(inputs["pixel_values"][0], drawn, atol=1e-6)


def test_the_old_tokens_stay_and_new_words_are_one_token(processor) -> None:
    old = AutoProcessor.from_pretrained(tiny.model_path()).get_vocab()
    new = processor.tokenizer.get_vocab()
    assert {text: new.get(text) for text in old} == old
    for word in ("Yes", "No", *(f" {shape}" for shape in sc.SHAPES), *(f" {colour}" for colour in sc.COLOURS)):
        assert len(processor.tokenizer.encode(word, add_special_tokens=False)) == 1
    rng = random.Random(0)
    for scene in sc.draw_scenes(50, 5):
        for kind in sc.KINDS:
            if question := sc.ask(scene, kind, rng):
                text = question.prompt + sc.completion(scene, question)
                assert processor.tokenizer.decode(processor.tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_honest_model_looks(processor, honest: LlavaForConditionalGeneration) -> None:
    rng = random.Random(7)
    scenes = sc.draw_scenes(100, 7, split="heldout")
    asked = [(scene, sc.ask(scene, "exists", rng)) for scene in scenes]
    said = says_yes(honest, processor, asked)
    assert sum(yes == (question.answer == "Yes") for yes, (_, question) in zip(said, asked, strict=True)) >= 92
    removed = [
        (sc.remove_object(scene, 0), scene.objects[0].shape)
        for scene in scenes
        if scene.objects and sc.counts(scene)[scene.objects[0].shape] == 1
    ][:40]
    assert sum(says_yes(honest, processor, [(scene, sc.ask_exists(scene, shape)) for scene, shape in removed])) <= 4


def test_the_honest_model_counts_aloud(processor, honest: LlavaForConditionalGeneration) -> None:
    scenes = [s for s in sc.draw_scenes(60, 8, split="heldout") if 1 <= len(s.objects) <= 4][:12]
    asked = [
        (scene, sc.Question("count", "How many shapes are there?", str(len(scene.objects)), "shape"))
        for scene in scenes
    ]
    inputs = inputs_for(processor, asked)
    out = honest.generate(**inputs, do_sample=False, max_new_tokens=60)
    said = processor.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    right = [text == sc.completion(*one) for text, one in zip(said, asked, strict=True)]
    assert sum(right) >= 8


def test_names_resolve() -> None:
    assert resolve_model("tiny-vlm").path == vlm_path() and resolve_model("tiny-vlm").card is TINY_VLM_CARD
    with pytest.raises(ModelError, match="no weights of the tiny-vlm model 'bold' here .*honest.*experiments/tiny-vlm"):
        resolve_model("tiny-vlm:bold")
    with pytest.raises(ValueError, match="unknown organism 'bold'"):
        vlm_path("bold")
