from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cotlab.chains.settings import SamplingSettings
from cotlab.engines.hf_sampler import choose, gumbel, restrict
from cotlab.engines.markov_law import restrict as restrict_exact
from cotlab.engines.noise import keys


def kept_law(logits: torch.Tensor, temperature: float, top_p: float, top_k: int) -> np.ndarray:
    """What `restrict` keeps of one row, as probabilities over all tokens."""
    tokens, weights = restrict(torch.log_softmax(logits, -1) / temperature, top_p, top_k)
    law = torch.zeros_like(logits).scatter(1, tokens.expand(len(logits), -1), weights.softmax(-1))
    return law.numpy()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([3, 50, 400]),
    temperature=st.sampled_from([0.3, 1.0, 1.8]),
    top_p=st.sampled_from([0.2, 0.9, 0.999, 1.0]),
    top_k=st.sampled_from([0, 1, 7, 1000]),
)
def test_what_is_kept_is_that_of_the_exact_definition(seed, size, temperature, top_p, top_k):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, size, generator=generator, dtype=torch.float64)
    got = kept_law(logits, temperature, top_p, top_k)
    for row, law in zip(logits, got, strict=True):
        wanted = restrict_exact(row.softmax(-1).numpy(), temperature, top_p, top_k)
        np.testing.assert_allclose(law, wanted, atol=1e-9)


def test_nucleus_wider_than_the_candidates_is_whole():
    flat = torch.zeros(1, 1000)
    tokens, weights = restrict(flat.log_softmax(-1), 0.95, 0)
    assert int((weights > -torch.inf).sum()) == pytest.approx(950, abs=1)
    assert tokens.shape == (1, 1000)


def test_noise_has_the_gumbel_law_and_no_correlation():
    key = torch.tensor(list(zip(range(200), keys(5), strict=False)))[:, 1]
    noise = gumbel(key[:, None], torch.arange(500)[None, :])
    assert stats.kstest(noise.flatten().numpy(), "gumbel_r").pvalue > 1e-3
    assert abs(np.corrcoef(noise[:-1].flatten(), noise[1:].flatten())[0, 1]) < 0.01
    assert abs(np.corrcoef(noise[:, :-1].flatten(), noise[:, 1:].flatten())[0, 1]) < 0.01
    assert torch.isfinite(noise).all()


@pytest.mark.parametrize(
    "how", [SamplingSettings(1.0, 1.0), SamplingSettings(0.7, 0.9), SamplingSettings(1.5, 1.0, top_k=4)]
)
def test_tokens_have_the_law_that_is_kept(how):
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 0.5, 1.5]])
    n = 4000
    row_keys = [next(keys(seed)) for seed in range(n)]
    tokens, logprobs = choose(logits.expand(n, -1), [how] * n, row_keys)
    wanted = restrict_exact(logits[0].double().softmax(-1).numpy(), how.temperature, how.top_p, how.top_k)
    counts = np.bincount(tokens, minlength=6)
    assert counts[wanted == 0].sum() == 0
    kept = wanted > 0
    assert stats.chisquare(counts[kept], n * wanted[kept]).pvalue > 1e-3
    raw = logits[0].log_softmax(-1)
    assert logprobs == pytest.approx(raw[tokens].tolist(), abs=1e-6)


def test_temperature_zero_takes_the_likeliest_whatever_the_key():
    logits = torch.tensor([[0.0, 3.0, 1.0]]).expand(5, -1)
    assert choose(logits, [SamplingSettings(0.0, 0.1, 1)] * 5, list(range(5)))[0] == [1] * 5


def test_close_distributions_mostly_say_the_same_token():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3000, 50, generator=generator)
    moved = logits + 0.01 * torch.randn(3000, 50, generator=generator)
    row_keys = [next(keys(seed)) for seed in range(3000)]
    how = [SamplingSettings(1.0, 1.0)] * 3000
    first, second = choose(logits, how, row_keys)[0], choose(moved, how, row_keys)[0]
    assert np.mean(np.array(first) != np.array(second)) < 0.03
