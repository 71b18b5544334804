"""The importance family on the exact engine: every measure converges to the value that the engine knows."""

import numpy as np
import pytest
from markov_runs import SCORER, MarkovStudy
from scipy.stats import entropy

from cotlab.engines.markov_specs import null, staircase
from cotlab.measures import (
    ChainRollouts,
    ExactState,
    ExactText,
    alike,
    chain_rollouts,
    contrast,
    counterfactual_importance,
    different_trajectories,
    importance,
    in_place,
    overdeterminedness,
    sentence_importance,
)
from cotlab.trees import Draws

JUMPS = (0.0, 0.3, 0.0, -0.2, 0.0, 0.4)
N = 400


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    study = MarkovStudy(tmp_path_factory.mktemp("family") / "run", staircase(JUMPS))
    with study.run:
        chain = study.main_path(*study.problem("Q"))
        study.resample(chain, N)
        yield study, chain, chain_rollouts(study.run, chain, scorer_id=SCORER, depth=None)


def law(study, prefix):
    return study.engine.answer_distribution(prefix, study.settings)


def divergence(p, q, metric):
    kinds = sorted({*p, *q})
    a, b = (np.array([d.get(kind, 0.0) for kind in kinds]) for d in (p, q))
    return max(float(entropy(a, b)), 0.0) if metric == "kl" else float(np.abs(a - b).sum() / 2)


def other(study, chain, k):
    """Where the rollouts go that do not say step k: an exact prefix, since the staircase has one other step."""
    name = chain.steps[k].text.strip().removeprefix("Step ")
    return chain.prefix(k).extend(tuple(study.engine.tokenizer.encode(f" Other {name}\n")))


@pytest.mark.parametrize("metric", ["kl", "tv"])
def test_divergences_converge_to_the_exact_ones(oracle, metric):
    study, chain, data = oracle
    draws = [data.draws(k) for k in data.sampled()]
    found = importance(draws, metric=metric)[: len(JUMPS)]
    exact = [
        divergence(law(study, chain.prefix(k)), law(study, chain.prefix(k + 1)), metric) for k in range(len(JUMPS))
    ]
    assert [e.value for e in found] == pytest.approx(exact, abs=0.05 if metric == "kl" else 0.08)
    for estimate, truth in zip(found, exact, strict=True):
        assert estimate.low <= truth <= estimate.high
    assert [e.q < 0.05 for e in found] == [jump != 0 for jump in JUMPS]


@pytest.mark.parametrize("metric", ["delta-v", "kl", "tv"])
def test_counterfactual_converges_to_the_exact_one(oracle, metric):
    study, chain, data = oracle
    found = counterfactual_importance(data, ExactText(), metric=metric)[: len(JUMPS)]
    for k, estimate in enumerate(found):
        instead, kept = law(study, other(study, chain, k)), law(study, chain.prefix(k + 1))
        exact = kept.get("7", 0) - instead.get("7", 0) if metric == "delta-v" else divergence(instead, kept, metric)
        assert estimate.low <= exact <= estimate.high
        assert estimate.value == pytest.approx(exact, abs=0.12)
        assert estimate.method.endswith("exact-text/1")
    assert np.sign([round(e.value, 1) for e in found]).tolist() == [np.sign(j) for j in JUMPS] or metric != "delta-v"


def test_too_few_dissimilar_rollouts_are_a_reason(oracle):
    _, _, data = oracle
    found = counterfactual_importance(data, ExactText(), min_dissimilar=10_000)
    assert all(e.value is None and "at least 10000 are needed" in e.reason and e.q is None for e in found)


def test_different_trajectories_and_overdeterminedness(oracle):
    study, chain, data = oracle
    found, repeated = different_trajectories(data), overdeterminedness(data)
    for k in range(len(JUMPS)):
        stay = study.engine.next_tokens(chain.prefix(k))[chain.response_ids[k]]
        assert found[k].low <= 1 - stay <= found[k].high
        assert repeated[k].value == pytest.approx(1 - 2 / len(data.draws(k)))


def test_sentence_to_sentence_converges_to_the_exact_rates(oracle):
    study, chain, data = oracle
    stay = [study.engine.next_tokens(chain.prefix(k))[chain.response_ids[k]] for k in range(len(JUMPS))]
    found = {(e.source, e.target): e.estimate for e in sentence_importance(data)}
    assert set(found) == {(i, j) for i in range(len(chain.steps) - 1) for j in range(i + 1, len(chain.steps))}
    for i in range(len(JUMPS)):
        for j in range(i + 1, len(JUMPS)):
            kept, resampled = np.prod(stay[i + 1 : j + 1]), np.prod(stay[i : j + 1])
            assert found[i, j].value == pytest.approx(kept - resampled, abs=0.08)
    covered = [e.low <= np.prod(stay[i + 1 : j + 1]) * (1 - stay[i]) <= e.high for (i, j), e in found.items() if j < 6]
    assert np.mean(covered) > 0.8
    assert found[0, 1].n1 >= N


def test_where_nothing_matters_little_is_found(tmp_path):
    """All steps null: p of every measure is uniform or larger, however rollouts are shared."""
    small = {"kl": 0, "tv": 0, "counterfactual": 0}
    study, steps = MarkovStudy(tmp_path / "run", null(length=4)), 0
    with study.run:
        for number in range(25):
            chain = study.main_path(*study.problem(f"Q{number}"))
            study.resample(chain, 24)
            data = chain_rollouts(study.run, chain, scorer_id=SCORER)
            draws = [data.draws(k) for k in range(5)]
            steps += 4
            for metric in ("kl", "tv"):
                small[metric] += sum(e.p <= 0.1 for e in importance(draws, metric=metric))
            small["counterfactual"] += sum(e.p is not None and e.p <= 0.1 for e in counterfactual_importance(data)[:4])
    assert steps == 100
    assert all(count / steps < 0.19 for count in small.values()), small


def test_reasons_where_there_is_too_little():
    one = Draws.of("a", ["correct"], keys=["7"])
    truncated = Draws.of("b", ["truncated"] * 20)
    unjudged = Draws.of("c", ["unjudged"] * 20, keys=["7"] * 20)
    unknown = Draws.of("d", ["unjudged"] * 20)
    enough = Draws.of("e", ["correct"] * 20, keys=["7"] * 20)
    assert "1 rollouts, at least 10" in contrast(one, enough).reason
    assert "truncated" in contrast(truncated, enough, "kl").reason
    assert contrast(unjudged, enough).reason == "before the step: the problem has no gold answer"
    assert contrast(unjudged, enough, "kl").value == 0
    assert "not known" in contrast(unknown, enough, "tv").reason
    same = contrast(enough, Draws.of("f", ["correct"] * 20, keys=["7"] * 20), "kl")
    assert (same.value, same.p) == (0, 1)


def test_no_rollouts_no_steps():
    empty = ChainRollouts(("a", "b"), ("p0", "p1", "p2"), ())
    assert counterfactual_importance(empty) == different_trajectories(empty) == sentence_importance(empty) == ()


def test_similarities_compare_pairs():
    text = ExactText()
    assert text(["a  b", "c"], ["a b", "d", "c\n"]).tolist() == [[1, 0, 0], [0, 0, 1]]
    state = in_place(ExactState(lambda kept, sentence: kept[:1] or sentence[0]), "")
    assert alike(state, ["ax", "b"], ["ay", "b"]).tolist() == [[True, False], [False, True]]
    assert alike(in_place(state, "z"), ["ax"], ["b"]).tolist() == [[True]]
    assert in_place(text, "z") is text
    assert alike(text, [], ["a"]).shape == (0, 1)

    class Wrong(ExactText):
        def __call__(self, left, right):
            return np.zeros((1, 1))

    with pytest.raises(ValueError, match="expected"):
        alike(Wrong(), ["a", "b"], ["a"])
