"""Autoencoders on rollouts that show an image: judged on the model that sees it."""

import pytest
import torch
from vision_small import FAMILIES, picture, prompt, tokenizer, vlm_folder

from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes import Trace, special_ids
from cotlab.saes.splicing import splice
from cotlab.whitebox import Inside

POINT = HookPoint("resid_post", 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_spliced_pass_sees_the_image(vision_root, family):
    """What is read, and the loss, are those of the model's own pass with the image; another image gives others."""
    folder = vlm_folder(vision_root, family)
    inside = Inside.open(str(folder))
    said = (70, 71, 72, 73)
    width = inside.shape.d_model
    card = SAECard(POINT, "relu", model="small")
    eye = torch.eye(width)
    both = torch.cat([eye, -eye], dim=1)
    sae = SparseAutoencoder(card, both, torch.zeros(2 * width), both.T.contiguous(), torch.zeros(width))
    found = []
    for seed in (0, 1):
        start = prompt(folder, picture(40, 30, seed))
        trace = Trace("t", "p", start.token_ids + said, start.n_prompt, len(said), images=start.images)
        ((_, spliced),) = splice(inside, trace, {POINT: {"sae": sae}}, special_ids(tokenizer(folder)))
        with torch.inference_mode():
            log_p = inside.logits(trace.whole).float().log_softmax(-1)
        own = -log_p[:-1].gather(1, torch.tensor(trace.ids[1:])[:, None])[:, 0].double()
        torch.testing.assert_close(spliced.x, inside.read(trace.whole, [POINT])[POINT])
        torch.testing.assert_close(spliced.clean[:-1], own, atol=1e-4, rtol=1e-4)
        arm = spliced.arms["sae"]
        torch.testing.assert_close(arm.ce[:-1], own, atol=1e-3, rtol=1e-3)  # relu(x) - relu(-x) = x
        assert spliced.zero.kl[:-1].max() > 0.01
        found.append(own)
    assert (found[0][-3:] - found[1][-3:]).abs().max() > 1e-3
