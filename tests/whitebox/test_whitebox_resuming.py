"""A pass that goes on behind a layer gives what the whole pass gives."""

from __future__ import annotations

import pytest
import torch
from inside_small import inside_of, random_model
from vision_asking import small

from cotlab.errors import ModelError
from cotlab.interventions import HookPoint
from cotlab.tiny.scenes import draw_scenes


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_going_on_is_the_whole_pass(tmp_path, family, layer):
    asking = small(tmp_path, family)
    inside, point = asking.inside, HookPoint("resid_post", layer)
    asked = [asking.exists(scene, shape) for scene in draw_scenes(3, 0) for shape in ("star", "triangle")]
    going = inside.resumed(point, asked)
    for change in (None, lambda x: x + torch.linspace(-1, 1, x.shape[-1]) * torch.arange(len(x))[:, None] / 10):
        found = going.last_logits(change, [4, 1, 2])
        for row, number in zip(found, [4, 1, 2], strict=True):
            whole = inside.logits(asked[number], None if change is None else {point: change})[-1]
            assert torch.allclose(row, whole, atol=1e-4)


def test_prompts_of_one_length_share_a_batch():
    inside = inside_of(random_model("qwen2"))
    prompts = [list(range(3, 3 + n)) for n in (7, 5, 7)]
    going = inside.resumed(HookPoint("resid_post", 0), prompts)
    assert going._groups([0, 1, 2]) == [[0, 2], [1]]
    for row, prompt in zip(going.last_logits(None, [0, 1, 2]), prompts, strict=True):
        assert torch.allclose(row, inside.logits(prompt)[-1], atol=1e-4)
    with pytest.raises(ModelError, match="goes on from resid_post alone"):
        inside.resumed(HookPoint("resid_mid", 0), prompts)
