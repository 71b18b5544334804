"""Chains of prompts with images under the tools that are built on chains: pairs, edges, lenses, states, monitors."""

from __future__ import annotations

import pytest
import torch
from vision_small import FAMILIES, picture, prompt, their_inputs, their_model, vlm_folder

from cotlab.chains.chain import Chain
from cotlab.chains.step import Step
from cotlab.interventions import HookPoint
from cotlab.whitebox import (
    Inside,
    Inspection,
    attribute_edges,
    chain_pair,
    patch_grid,
    patchscope,
    read_lens,
    train_tuned_lens,
)
from cotlab.whitebox.edge_passes import EdgePasses
from cotlab.whitebox.inspecting import sample_patched

A, B = picture(40, 30, 1), picture(33, 70, 2)
SAID = (b"It is red.", b" It is so.")
POINT = HookPoint("resid_post", 1)


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, vision_root):
    return vlm_folder(vision_root, request.param)


@pytest.fixture(scope="module")
def inside(folder):
    return Inside.open(str(folder))


@pytest.fixture(scope="module")
def chain(folder):
    shown = prompt(folder, B, A)
    first, second = (len(part) for part in SAID)
    steps = (Step(0, 0, first, SAID[0].decode()), Step(1, first, first + second, SAID[1].decode()))
    ids = tuple(b"".join(SAID))
    return Chain("p", "r", shown.prompt_ids, ids, "sentences/1", steps, "greedy", images=shown.images)


@pytest.fixture(scope="module")
def pair(inside, chain):
    return chain_pair(inside, chain, 0, "Is it red?")


def theirs(folder, run):
    model = their_model(folder)
    with torch.no_grad():
        return model(**their_inputs(folder, run)).logits[0, -1]


def test_a_pair_of_a_chain_with_images_is_read_with_them(inside, folder, chain, pair):
    """Losses and patches against transformers' own forward passes, which see the images."""
    assert pair.images == (B, A) and pair.clean_run.images == (B, A)
    clean, corrupt = (theirs(folder, run) for run in (pair.clean_run, pair.corrupt_run))
    differences = [float(logits[pair.answer] - logits[pair.other]) for logits in (clean, corrupt)]
    grid = patch_grid(inside, pair, layers=[2], positions=[len(pair.clean) - 1])
    assert [grid.clean_difference, grid.corrupt_difference] == pytest.approx(differences, abs=1e-3)
    assert float(grid.share[0, 0]) == pytest.approx(1, abs=1e-3), "the last layer at the last token is all of it"
    found = attribute_edges(inside, [pair], method="eap")
    assert [float(found.clean), float(found.corrupt)] == pytest.approx([-one for one in differences], abs=1e-3)


def test_edges_patched_all_or_none_are_the_two_runs(inside, folder, pair):
    passes = EdgePasses.of(inside)
    corrupt = passes.trace(pair.corrupt_run)
    none = torch.ones_like(passes.graph.exists())
    for kept, run in ((none, pair.clean_run), (~none, pair.corrupt_run)):
        assert torch.allclose(
            passes.patched(pair.clean_run, corrupt.written, kept), theirs(folder, run), atol=1e-3, rtol=1e-3
        )


def test_a_lens_is_trained_on_what_the_model_sees(inside, chain):
    sequences = [chain.prefix(1).extend(tuple(b" %d" % i)) for i in range(5)]
    lens = train_tuned_lens(inside, sequences, epochs=1, held_out=1 / 5, seed=0)
    held = sequences[torch.randperm(5, generator=torch.Generator().manual_seed(0)).tolist()[0]]
    wanted = read_lens(inside, held).kl.mean(dim=1)
    assert lens.kl_before == pytest.approx(wanted.tolist(), rel=1e-4)


def test_a_state_is_that_of_the_run_with_its_images(inside, folder, chain):
    """And what the model read before leaves no trace in the inspection prompt, which shows nothing."""
    inspection = Inspection(tuple(b"cat cat; one one; ?"), len(b"cat cat; one one; ?") - 1)
    place = len(chain.prompt_ids) + 4
    state = inside.read(chain.whole, [POINT])[POINT][place]
    fresh = Inside.open(str(folder))
    asked = {"max_tokens": 4, "temperature": 0.0}
    wanted = sample_patched(fresh, inspection, POINT, state[None], **asked)
    found = patchscope(inside, chain.whole, place, POINT, inspection=inspection, n=1, **asked)
    assert found.texts == wanted and found.position == place
    early = patchscope(inside, chain.whole, 1, POINT, inspection=inspection, n=1, **asked)
    states = inside.read(chain.whole, [POINT])[POINT][1]
    assert early.texts == sample_patched(inside, inspection, POINT, states[None], **asked)
