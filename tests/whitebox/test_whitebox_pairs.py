"""Pairs from a chain, and hiding held against resampling, on the sample run of the tiny reasoner."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cotlab.errors import DataError
from cotlab.measures import chain_rollouts, sentence_importance
from cotlab.runs import Run
from cotlab.whitebox import Inside, chain_pair, compare_suppression, other_steps, patch_grid, step_pairs

SAMPLE = Path(__file__).parents[2] / "apps" / "workbench" / "sample"


@pytest.fixture(scope="module")
def inside():
    return Inside.open("tiny")


@pytest.fixture(scope="module")
def run():
    with Run.open(SAMPLE) as run:
        yield run


@pytest.fixture(scope="module")
def step(run, inside):
    chain = run.chains()[0]
    return next(k for k in range(1, len(chain.steps)) if other_steps(run, chain, k, inside))


def test_a_pair_is_the_chain_but_for_one_step_and_ends_where_predictions_part_most(run, inside, step):
    chain = run.chains()[0]
    start, end = (len(chain.prompt_ids) + at for at in (chain.steps[step].start, chain.steps[step].end))
    for pair in step_pairs(run, chain, step, inside, most=3):
        assert pair.clean == (chain.prompt_ids + chain.response_ids)[: len(pair.clean)]
        assert all(start <= place < end for place in pair.differing) and len(pair.clean) >= end
        with torch.inference_mode():
            whole = [
                inside.logits([*ids, *(chain.prompt_ids + chain.response_ids)[len(ids) :][:60]]).log_softmax(-1)
                for ids in (pair.clean, pair.corrupt)
            ]
        kl = (whole[0].exp() * (whole[0] - whole[1])).sum(-1)[end - 1 : end + 39]
        assert int(kl.argmax()) == len(pair.clean) - end
        last = [said[len(pair.clean) - 1] for said in whole]
        assert last[0][pair.answer] - last[0][pair.other] > last[1][pair.answer] - last[1][pair.other]


def test_a_step_by_its_text(run, inside, step):
    chain = run.chains()[0]
    ids = other_steps(run, chain, step, inside)[0]
    pair = chain_pair(inside, chain, step, inside.tokenizer.decode(list(ids)))
    assert pair == chain_pair(inside, chain, step, ids)
    assert patch_grid(inside, pair, "resid_pre", layers=[0]).share.max() <= 1 + 1e-4
    with pytest.raises(DataError, match="aligns runs token by token"):
        chain_pair(inside, chain, step, "No.")
    with pytest.raises(DataError, match="are the same"):
        chain_pair(inside, chain, step, chain.steps[step].text)
    with pytest.raises(DataError, match="is not in the chain"):
        chain_pair(inside, chain, 999, "No.")


def test_hiding_that_ranks_as_resampling_does_is_found_and_noise_is_not(run, inside):
    chain = run.chains()[0]
    n = len(chain.steps)
    data = chain_rollouts(run, chain, scorer_id="answers", depth=None, tokenizer=inside.tokenizer)
    matrix = np.full((n, n), np.nan)
    for one in sentence_importance(data):
        if one.estimate.value is not None:
            matrix[one.source, one.target] = abs(one.estimate.value)
    same = compare_suppression(run, inside, chain, matrix=matrix)
    assert same.value == pytest.approx(1) and same.p < 0.01 and same.low > 0.9
    noise = np.where(np.isnan(matrix), np.nan, np.random.default_rng(0).random(matrix.shape))
    nothing = compare_suppression(run, inside, chain, matrix=noise)
    assert nothing.p > 0.05 and abs(nothing.value) < 0.3
    none = compare_suppression(run, inside, chain, matrix=np.full((n, n), np.nan))
    assert none.value is None and none.reason
