"""Attention between steps: by hand, with planted receivers, and against transformers' own mask argument."""

import numpy as np
import pytest
import torch
from inside_small import FAMILIES, inside_of, planted_model, random_model, tokens

from cotlab.errors import DataError
from cotlab.whitebox import receiver_heads, step_attention, suppression_matrix

SPANS = [(0, 3), (3, 7), (7, 8), (8, 12)]


def test_step_attention_is_the_mean_of_the_patterns():
    model = random_model("qwen3")
    ids = tokens(12)
    found = step_attention(inside_of(model), ids, SPANS)
    assert found.shape == (2, 4, 4, 4)
    with torch.inference_mode():
        out = model(torch.tensor([ids]), output_attentions=True)
    for layer in range(2):
        pattern = out.attentions[layer][0].numpy()
        for i, (a, b) in enumerate(SPANS):
            for j, (c, d) in enumerate(SPANS):
                by_hand = pattern[:, a:b, c:d].mean(axis=(1, 2))
                assert np.allclose(found[layer, :, i, j], by_hand, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_suppression_is_what_transformers_gives_with_that_mask(family):
    model = random_model(family)
    inside, ids = inside_of(model), tokens(12)
    found = suppression_matrix(inside, ids, SPANS)
    start, end = SPANS[1]
    allowed = torch.tril(torch.ones(12, 12, dtype=torch.bool))
    allowed[end:, start:end] = False
    mask = torch.zeros(1, 1, 12, 12).masked_fill(~allowed, float("-inf"))
    with torch.inference_mode():
        plain = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        said = model(torch.tensor([ids]), attention_mask=mask).logits[0].log_softmax(-1)
    kl = torch.nn.functional.kl_div(said, plain, log_target=True, reduction="none").sum(-1)
    assert kl[:end].abs().max() < 1e-6, "tokens up to the end of the step see what they saw"
    for j in (2, 3):
        a, b = SPANS[j]
        assert found[1, j] == pytest.approx(kl[a - 1 : b - 1].mean().item(), abs=1e-5)
    assert np.isnan(found[np.tril_indices(4)]).all() and (found[np.triu_indices(4, 1)] >= -1e-6).all()


def test_nothing_is_lost_where_nothing_is_attended_to():
    """In the planted model only one head looks back; with it silenced, hiding a step changes nothing."""
    model = planted_model()
    inside, ids = inside_of(model), tokens(12)
    assert np.nanmax(suppression_matrix(inside, ids, SPANS)) > 1e-3
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight.zero_()
    assert np.nanmax(suppression_matrix(inside, ids, SPANS)) < 1e-9
    assert torch.equal(inside.logits(ids), inside.logits(ids)), "and the mask is gone behind it"


def chains(rng, planted, n=12, steps=16):
    """Step matrices of 2 x 3 heads; head (1, 2) looks at one step of each chain where it is planted."""
    for _ in range(n):
        matrix = rng.random((2, 3, steps, steps)).astype(np.float32)
        if planted:
            matrix[1, 2] *= 0.2
            matrix[1, 2, :, rng.integers(1, 8)] += 3
        yield np.tril(matrix)


def test_a_planted_receiver_is_found_and_noise_is_not_reliable():
    rng = np.random.default_rng(0)
    found = receiver_heads(list(chains(rng, planted=True)))
    assert found.top(1) == [(1, 2)] and found.kurtosis[1, 2] > 5
    assert found.reliability.value > 0.9
    noise = receiver_heads(list(chains(rng, planted=False)))
    assert noise.reliability.value < 0.6
    few = receiver_heads(list(chains(rng, planted=True, n=3)))
    assert few.reliability.value is None and "3 chains" in few.reliability.reason


def test_faults_are_one_line():
    inside = inside_of(random_model("llama"))
    with pytest.raises(DataError, match="step 1 spans tokens 2 to 5 of 9, after one that ends at 3"):
        step_attention(inside, tokens(9), [(0, 3), (2, 5)])
    with pytest.raises(DataError, match="step 0 spans tokens 4 to 12 of 9"):
        suppression_matrix(inside, tokens(9), [(4, 12)])
    with pytest.raises(DataError, match="no chain has 8 steps"):
        receiver_heads([np.zeros((1, 1, 5, 5), dtype=np.float32)])
