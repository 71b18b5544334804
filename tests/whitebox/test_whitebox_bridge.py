"""TransformerLens as a second implementation: the same logits, activations, patterns and patching grid."""

import pytest
import torch
from inside_small import FAMILIES, inside_of, random_model, tokens

from cotlab.interventions.hook_points import KINDS, VISION_KINDS, HookPoint
from cotlab.whitebox import Inside, Pair, patch_grid
from cotlab.whitebox.bridge import bridge_of, open_bridge, read_bridge


@pytest.fixture(scope="module", params=[*FAMILIES, "tiny"])
def both(request):
    if request.param == "tiny":
        return Inside.open("tiny"), open_bridge("tiny")
    inside = inside_of(random_model(request.param))
    return inside, bridge_of(inside)


def test_logits_and_every_hook_point_are_the_same(both):
    inside, bridge = both
    ids = tokens(20)
    with torch.inference_mode():
        assert (bridge(torch.tensor([ids]))[0] - inside.logits(ids)).abs().max() <= 1e-4
    kinds = [kind for kind in KINDS if kind not in VISION_KINDS]
    points = [HookPoint(kind, layer) for kind in kinds for layer in range(inside.shape.n_layers)]
    mine, theirs = inside.read(ids, points), read_bridge(bridge, ids, points)
    for point in points:
        assert mine[point].shape == theirs[point].shape
        assert (mine[point] - theirs[point]).abs().max() <= 1e-4 * max(1, float(mine[point].abs().max())), point


def test_the_patching_grid_is_what_transformer_lens_gives(both):
    inside, bridge = both
    clean = tokens(8)
    corrupt = [*clean[:3], clean[3] % 70 + 5, *clean[4:]]
    with torch.inference_mode():
        change = inside.logits(clean)[-1] - inside.logits(corrupt)[-1]
    pair = Pair(tuple(clean), tuple(corrupt), int(change.argmax()), int(change.argmin()))
    mine = patch_grid(inside, pair, "attn_out", positions=[3, 5, 7])

    def difference(logits):
        return float(logits[0, -1, pair.answer] - logits[0, -1, pair.other])

    with torch.inference_mode():
        start, goal = (difference(bridge(torch.tensor([ids]))) for ids in (corrupt, clean))
    for layer in range(inside.shape.n_layers):
        point = HookPoint("attn_out", layer)
        source = read_bridge(bridge, clean, [point])[point]
        for column, position in enumerate(mine.positions):

            def put(value, hook, source=source, position=position):
                value = value.clone()
                value[:, position] = source[position]
                return value

            with torch.inference_mode():
                said = bridge.run_with_hooks(torch.tensor([corrupt]), fwd_hooks=[(point.lens_name, put)])
            share = (difference(said) - start) / (goal - start)
            assert float(mine.share[layer, column]) == pytest.approx(share, abs=2e-3)
