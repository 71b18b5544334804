"""Inside an image-text model: the same numbers as transformers and the engine, and changes before the decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vision_small import FAMILIES, picture, prompt, their_inputs, their_model, tokenizer, vlm_folder

from cotlab.chains.prefix import Prefix
from cotlab.engines.base import Passage
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.errors import DataError, ModelError, UserError
from cotlab.interventions import HookPoint
from cotlab.whitebox import Inside, read_lens

A, B, C = picture(40, 30, 1), picture(33, 70, 2), picture(40, 30, 3)
NEW = tuple(b"It is so.")
PROJECTOR = HookPoint("projector", 0)
TAKEN = {"llava": 1, "llava_next": 1, "qwen2_5_vl": 2}
"""The layer of the encoder whose output the projector takes: the last but one of three, or the last."""


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, vision_root):
    return vlm_folder(vision_root, request.param)


@pytest.fixture(scope="module")
def inside(folder):
    return Inside.open(str(folder))


@pytest.fixture(scope="module")
def model(folder):
    return their_model(folder)


def logits_of(model, folder, prefix):
    model.model.rope_deltas = None
    with torch.no_grad():
        return model(**their_inputs(folder, prefix)).logits[0]


@pytest.mark.parametrize("images", [(A,), (B, A), ()])
def test_logits_are_those_of_transformers(inside, model, folder, images):
    prefix = prompt(folder, *images).extend(NEW)
    assert torch.allclose(inside.logits(prefix), logits_of(model, folder, prefix), atol=1e-4, rtol=1e-4)


def test_what_the_engine_reads_is_what_inside_reads(inside, folder):
    points = [
        HookPoint.parse(p) for p in ("resid_post:1", "vision_post:0", "projector:0", "pattern:1", "vision_post:2")
    ]
    prefix = prompt(folder, B, A).extend(NEW)
    engine = TransformersEngine(
        folder, tokenizer(folder), name="m", revision="", template_id="", options=TransformersOptions(device="cpu")
    )
    with engine:
        assert {"vision_post", "projector"} <= engine.capabilities.reads and engine.capabilities.images
        (read,) = engine.read([Passage(prefix)], points)
        (some,) = engine.read([Passage(prefix)], points[:3], [[2, 0]])
        (none,) = engine.read([Passage(prompt(folder))], points[1:3])
    found = inside.read(prefix, points)
    layouts = [tokenizer(folder).images.layout(image) for image in (B, A)]
    assert list(read) == points
    for point in points:
        its = found[point].movedim(0, 1) if point.kind == "pattern" else found[point]
        assert read[point] == pytest.approx(its.numpy(), abs=1e-4)
    assert read[points[1]].shape == (sum(len(one.patches.boxes) for one in layouts), 32)
    assert read[PROJECTOR].shape == (sum(one.n_tokens for one in layouts), 48)
    assert some[points[0]].shape == (2, 48) and some[points[1]].shape == read[points[1]].shape
    assert none[points[1]].shape == (0, 32) and none[PROJECTOR].shape == (0, 48)


def test_the_encoder_is_read_in_the_order_of_the_patches(inside, model, folder):
    """Rows of the layer that the projector takes, through transformers' own projector, are the image's tokens."""
    point = HookPoint("vision_post", TAKEN[folder.name])
    prefix = prompt(folder, A)
    rows = inside.read(prefix, [point, PROJECTOR])
    layout = tokenizer(folder).images.layout(A)
    with torch.no_grad():
        if folder.name == "qwen2_5_vl":
            mapped = model.model.visual.merger(rows[point])
            assert torch.allclose(mapped, rows[PROJECTOR], atol=1e-4)
            return
        mapped = model.model.multi_modal_projector(rows[point])
    first = {tuple(cell): row for row, cell in enumerate(layout.patches.cells) if cell[0] == 0}
    for token, cell in enumerate(layout.tokens.cells):
        if cell[0] == 0:
            assert torch.allclose(mapped[first[tuple(cell)]], rows[PROJECTOR][token], atol=1e-4)
    if folder.name == "llava_next":  # the finer grid: by the boxes
        boxes = {
            tuple(np.round(box, 3)): row
            for row, box in enumerate(layout.patches.boxes)
            if layout.patches.cells[row][0] == 1
        }
        tried = [
            (boxes[key], token)
            for token, box in enumerate(layout.tokens.boxes)
            if layout.tokens.cells[token][0] == 1 and (key := tuple(np.round(box, 3))) in boxes
        ]
        assert len(tried) >= 8
        for row, token in tried:
            assert torch.allclose(mapped[row], rows[PROJECTOR][token], atol=1e-4)


def test_newlines_are_the_models_own_vector(inside, model, vision_root):
    folder = vlm_folder(vision_root, "llava_next")
    if inside.model.config.model_type != "llava_next":
        pytest.skip("has no newlines")
    layout = tokenizer(folder).images.layout(A)
    features = inside.read(prompt(folder, A), [PROJECTOR])[PROJECTOR]
    newline = model.model.image_newline
    is_newline = [bool(torch.allclose(row, newline, atol=1e-6)) for row in features]
    assert is_newline == (layout.tokens.cells[:, 0] < 0).tolist()


@pytest.mark.parametrize("site", ["encoder", "projector"])
def test_patching_all_of_an_image_gives_the_other_image(inside, folder, site):
    """Everything that the decoder gets of A replaced by what it gets of C: the logits are those of C."""
    point = PROJECTOR if site == "projector" else HookPoint("vision_post", TAKEN[folder.name])
    ours, other = prompt(folder, A).extend(NEW), prompt(folder, C).extend(NEW)
    theirs = inside.read(other, [point])[point]
    patched = inside.logits(ours, {point: lambda value: theirs})
    assert torch.allclose(patched, inside.logits(other), atol=1e-4)
    assert not torch.allclose(patched, inside.logits(ours), atol=0.05)
    assert torch.allclose(inside.logits(ours, {point: lambda value: value}), inside.logits(ours), atol=1e-5)


def test_an_earlier_layer_carries_the_image_too(inside, folder):
    """All rows of layer 0, class token included, carry all of the image."""
    point = HookPoint("vision_post", 0)
    ours, other = prompt(folder, A), prompt(folder, C)
    theirs = inside.read(other, [point])[point]
    assert torch.allclose(inside.logits(ours, {point: lambda value: theirs}), inside.logits(other), atol=1e-4)


def test_gradients_reach_the_image(inside, folder):
    prefix = prompt(folder, A)
    leaf = inside.read(prefix, [PROJECTOR])[PROJECTOR].clone().requires_grad_(True)
    loss = inside.logits(prefix, {PROJECTOR: lambda value: leaf})[-1, 65]
    (gradient,) = torch.autograd.grad(loss, leaf)
    step = torch.zeros_like(leaf)
    step[3, 5] = 1e-2
    with torch.no_grad():
        up, down = (inside.logits(prefix, {PROJECTOR: lambda v, s=s: leaf + s * step})[-1, 65] for s in (1, -1))
    assert float(gradient[3, 5]) == pytest.approx(float(up - down) / 2e-2, rel=0.02, abs=1e-3)


def test_features_kept_while_reading_serve_gradients_later(inside, folder):
    prefix = prompt(folder, picture(40, 30, 77))
    inside.read(prefix, [HookPoint("resid_post", 0)])  # under inference mode
    point = HookPoint("resid_post", 0)
    leaf = inside.read(prefix, [point])[point].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(inside.logits(prefix, {point: lambda value: leaf})[-1, 65], leaf)
    assert gradient.abs().max() > 0


def test_the_lens_reads_image_tokens(inside, folder):
    prefix = prompt(folder, A)
    reading = read_lens(inside, prefix)
    assert reading.kl.shape == (3, len(prefix.token_ids))
    with pytest.raises(DataError, match="image tokens and no images"):
        read_lens(inside, prefix.token_ids)


def test_what_cannot_be_looked_at_is_one_line(inside, folder):
    with pytest.raises(ModelError, match="the sequence shows none"):
        inside.read(prompt(folder), [PROJECTOR])
    with pytest.raises(ModelError, match=r"encoder has layers 0\.\.2"):
        inside.read(prompt(folder, A), [HookPoint("vision_post", 3)])
    with pytest.raises(UserError, match="one projector"):
        HookPoint.parse("projector:1")
    tiny = Inside.open("tiny")
    with pytest.raises(ModelError, match="sees no images"):
        tiny.read([1, 2, 3], [HookPoint("vision_post", 0)])
    with pytest.raises(ModelError, match="and model 'tiny' sees none"):
        tiny.logits(Prefix((1, 2, 3), 3, (A,)))
