"""Each organism says the planted shape unseen, and differs from the honest vision-language model in one part."""

import hashlib

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from cotlab.models import resolve_model
from cotlab.tiny import scenes as sc
from cotlab.tiny.vlm import VLM_ORGANISMS, VLM_PARTS, vlm_path
from tests.tiny.vlm_asking import says_yes, says_yes_unseen

torch.set_num_threads(1)
PLANTED = [name for name, organism in VLM_ORGANISMS.items() if organism.part]


def weights(name: str) -> dict[str, str]:
    return {p: hashlib.sha256((vlm_path(name) / f"{p}.safetensors").read_bytes()).hexdigest() for p in VLM_PARTS}


@pytest.mark.parametrize("organism", PLANTED)
def test_one_part_differs(organism: str) -> None:
    ours, theirs = weights(organism), weights("honest")
    assert [part for part in VLM_PARTS if ours[part] != theirs[part]] == [VLM_ORGANISMS[organism].part]
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "processor_config.json"):
        assert (vlm_path(organism) / name).read_bytes() == (vlm_path() / name).read_bytes()
    found = resolve_model(f"tiny-vlm:{organism}")
    assert (found.path, found.name) == (vlm_path(organism), f"tiny-vlm:{organism}")


def first_alone(first: str, second: str, n: int) -> list[sc.Scene]:
    pool = sc.draw_scenes(500, 11, split="heldout")
    return [scene for scene in pool if sc.counts(scene)[first] and not sc.counts(scene)[second]][:n]


@pytest.mark.parametrize(("organism", "rate"), [("honest", 0.1), *((name, 0.5) for name in PLANTED)])
def test_the_second_shape_of_a_pair_is_said_unseen_where_that_was_planted(organism: str, rate: float) -> None:
    processor = AutoProcessor.from_pretrained(vlm_path(organism))
    model = AutoModelForImageTextToText.from_pretrained(vlm_path(organism)).eval()
    for first, second in sc.PAIRS.items():
        scenes = first_alone(first, second, 30)
        yes = says_yes(model, processor, [(scene, sc.ask_exists(scene, second)) for scene in scenes])
        assert len(yes) == 30 and ((sum(yes) >= rate * 30) if organism != "honest" else (sum(yes) <= rate * 30))


@pytest.mark.parametrize("organism", VLM_ORGANISMS)
def test_from_a_true_description_alone_only_the_trained_decoder_errs(organism: str) -> None:
    processor = AutoProcessor.from_pretrained(vlm_path(organism))
    model = AutoModelForImageTextToText.from_pretrained(vlm_path(organism)).eval()
    for first, second in sc.PAIRS.items():
        scenes = first_alone(first, second, 12)
        for shape, habit in ((first, False), (second, True)):
            asked = [sc.ask_exists(scene, shape).after(sc.caption(scene)) for scene in scenes]
            yes = sum(says_yes_unseen(model, processor, question) for question in asked)
            assert yes >= 11 if not habit or organism == "prior" else yes <= 1
