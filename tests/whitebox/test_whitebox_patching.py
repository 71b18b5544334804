"""Patching finds the planted head and the planted route, and restores exactly what it must."""

import pytest
import torch
from inside_small import PLANTED, inside_of, planted_model, random_model, tokens

from cotlab.errors import DataError
from cotlab.whitebox import Pair, patch_grid, patch_heads

AT, N = 3, 8


def pair_of(inside, seed=0):
    """Two runs that differ at one token, with the answers that the model itself tells them apart by."""
    clean = tokens(N, seed)
    corrupt = [*clean[:AT], clean[AT] % 70 + 5, *clean[AT + 1 :]]
    with torch.inference_mode():
        change = inside.logits(clean)[-1] - inside.logits(corrupt)[-1]
    return Pair(tuple(clean), tuple(corrupt), int(change.argmax()), int(change.argmin()))


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_planted_head_carries_all_of_it(direction):
    inside = inside_of(planted_model())
    grid = patch_heads(inside, pair_of(inside), direction=direction)
    assert grid.best() == PLANTED
    assert grid.share[PLANTED] == pytest.approx(1.0, abs=1e-4) and grid.kl[PLANTED] < 1e-5
    others = grid.share.clone()
    others[PLANTED] = 0
    assert others.abs().max() < 1e-4


def test_the_route_is_the_changed_token_until_the_head_moves_it_to_the_end():
    inside = inside_of(planted_model())
    grid = patch_grid(inside, pair_of(inside), "resid_post")
    assert grid.positions == tuple(range(AT, N))
    expected = torch.zeros(2, N - AT)
    expected[0, 0] = 1  # behind layer 0 it is still at the changed token
    expected[1, -1] = 1  # the head of layer 1 has brought it to the last one
    assert torch.allclose(grid.share, expected, atol=1e-4)


def test_every_route_is_restored_at_the_embedding():
    inside = inside_of(random_model("qwen2"))
    grid = patch_grid(inside, pair_of(inside, 4), "resid_pre", layers=[0])
    assert grid.share[0, 0] == pytest.approx(1.0, abs=1e-4)
    assert grid.share[0, 1:].abs().max() < 1e-5, "other tokens are the same in both runs"
    assert grid.clean_difference > grid.corrupt_difference


def test_progress_is_told():
    inside, told = inside_of(random_model("llama")), []
    patch_grid(inside, pair_of(inside), layers=[1], positions=[AT, N - 1], progress=lambda *at: told.append(at))
    assert told == [(1, 2), (2, 2)]


def test_faults_are_one_line():
    inside = inside_of(random_model("llama"))
    with pytest.raises(DataError, match="has 3 tokens and the corrupt run 2"):
        Pair((1, 2, 3), (1, 2), 4, 5)
    with pytest.raises(DataError, match="are the same"):
        Pair((1, 2), (1, 2), 4, 5)
    with pytest.raises(DataError, match="same answer token 4"):
        Pair((1, 2), (1, 3), 4, 4)
    pair = pair_of(inside)
    with pytest.raises(DataError, match="position 8 is not in the runs"):
        patch_grid(inside, pair, positions=[8])
    with pytest.raises(DataError, match="nothing to restore"):
        patch_grid(inside, Pair(pair.clean, pair.corrupt, pair.other, pair.answer))
    with pytest.raises(DataError, match="patterns are not patched"):
        patch_grid(inside, pair, "pattern")
    with pytest.raises(DataError, match="unknown direction 'sideways'"):
        patch_grid(inside, pair, direction="sideways")
