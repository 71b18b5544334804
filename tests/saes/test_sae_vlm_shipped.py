"""The autoencoder of the tiny vision-language model: found by name, true to image and text tokens of new scenes."""

from itertools import pairwise

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from cotlab.errors import UserError
from cotlab.models import resolve_model
from cotlab.saes import load_sae, shipped_saes
from cotlab.tiny import scenes as sc
from tests.tiny.vlm_asking import inputs_for

torch.set_num_threads(1)
NAME = "tiny-vlm:honest/resid_post:2"


@pytest.fixture(scope="module")
def scenes() -> list[sc.Scene]:
    return sc.draw_scenes(300, 51, split="heldout")


@pytest.fixture(scope="module")
def states(scenes: list[sc.Scene]) -> tuple[torch.Tensor, torch.Tensor]:
    """Residual stream behind layer 2: (scenes, 36, width) at image tokens, (scenes, tokens, width) behind them."""
    folder = resolve_model("tiny-vlm").path
    processor, model = AutoProcessor.from_pretrained(folder), AutoModelForImageTextToText.from_pretrained(folder).eval()
    inputs = inputs_for(processor, [(scene, sc.ask_exists(scene, "star")) for scene in scenes])
    with torch.no_grad():
        stream = model(**inputs, output_hidden_states=True).hidden_states[3]
    image = inputs["input_ids"][0] == model.config.image_token_id
    return stream[:, image], stream[:, int(image.nonzero()[-1]) + 1 :]


def test_it_is_found_by_its_name_and_of_the_model_that_ships() -> None:
    sae, model = load_sae(NAME), resolve_model("tiny-vlm")
    assert NAME in shipped_saes() and "tiny:honest/resid_post:2" in shipped_saes()
    assert (sae.card.model, sae.card.revision, sae.d_model) == (model.name, model.revision, 256)
    with pytest.raises(UserError, match="no SAE 'tiny-vlm:bold/resid_post:2' comes with cotlab; there are: .*tiny-vlm"):
        load_sae("tiny-vlm:bold/resid_post:2")


def test_it_explains_image_and_text_tokens(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    sae = load_sae(NAME)
    for rows, least in zip((part.flatten(0, 1) for part in states), (0.85, 0.85), strict=True):
        error = (rows - sae.reconstruct(rows)).pow(2).sum() / (rows - rows.mean(0)).pow(2).sum()
        assert 1 - error > least
        assert 4 < (sae.encode(rows) > 0).sum(1).float().mean() < 40


def test_features_of_image_tokens_tell_shapes_apart(
    scenes: list[sc.Scene], states: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """For common shapes, the feature that goes with the shape in one half of the scenes does so in the other."""
    fires = (load_sae(NAME).encode(states[0].flatten(0, 1)) > 0).view(len(scenes), 36, -1).any(1).float()
    fires = fires - fires.mean(0)
    half = len(scenes) // 2
    for shape in ("circle", "square", "moon"):
        there = torch.tensor([float(sc.counts(scene)[shape] > 0) for scene in scenes])
        there = there - there.mean()
        found = [
            (there[a:b] @ fires[a:b]) / (there[a:b].norm() * fires[a:b].norm(dim=0)).clamp(min=1e-6)
            for a, b in pairwise((0, half, 2 * half))
        ]
        assert found[1][int(found[0].argmax())] > 0.35, shape
