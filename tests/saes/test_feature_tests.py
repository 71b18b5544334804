"""Tests of all features at once against shuffling by hand; what predicts, on planted activations."""

import numpy as np
import pytest
from firing_examples import made_up
from scipy.sparse import csr_matrix

from cotlab.errors import DataError
from cotlab.saes.feature_tests import within_problem_tests
from cotlab.saes.overview import step_tests
from cotlab.saes.predictors import predict_from_features
from cotlab.stats import auc, cluster_auc
from cotlab.whitebox.examples import Examples


def drawn(seed, n=120, d=9, problems=6):
    rng = np.random.default_rng(seed)
    of = np.array([f"p{i}" for i in rng.integers(0, problems, n)])
    y = rng.random(n) < np.array([0.15 + 0.1 * int(name[1]) for name in of])
    values = rng.random((n, d)) * (rng.random((n, d)) < 0.5)
    return values, y, of


def test_auc_and_z_are_those_of_shuffling_within_problems():
    values, y, of = drawn(0)
    values[:, 3] += 0.5 * y
    found = within_problem_tests(csr_matrix(values), y, of)
    rng = np.random.default_rng(1)
    for i, feature in enumerate(found.features):
        column = values[:, feature]
        assert found.auc[i] == pytest.approx(auc(column, y), abs=1e-12)
        shuffled = []
        for _ in range(1500):
            mixed = y.copy()
            for name in np.unique(of):
                at = np.flatnonzero(of == name)
                mixed[at] = y[rng.permutation(at)]
            shuffled.append(auc(column, mixed))
        z = (found.auc[i] - np.mean(shuffled)) / np.std(shuffled)
        assert found.z[i] == pytest.approx(z, abs=0.35 + 0.06 * abs(z))
    assert found.features[found.best(1)[0]] == 3 and found.q[3] < 0.01


def test_p_is_uniform_and_q_finds_nothing_where_there_is_nothing():
    p, discoveries = [], 0
    for seed in range(60):
        values, y, of = drawn(seed + 10, d=12)
        found = within_problem_tests(csr_matrix(values), y, of)
        p += found.p.tolist()
        discoveries += bool((found.q < 0.05).any())
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07 and 0.44 < np.mean(np.array(p) < 0.5) < 0.56
    assert discoveries <= 8


def rollout_level(seed, constant, planted=0.0, problems=15, each=5, length=12, d=60):
    """Features that keep a level all along a rollout, and labels that know nothing of them (but of `planted`)."""
    rng = np.random.default_rng(seed)
    n = problems * each
    of = np.repeat(np.arange(n), length)
    y = np.repeat(rng.random(n) < 0.5, length)
    if not constant:  # runs of equal labels
        y = (np.cumsum(rng.random(n * length) < 0.3) + np.repeat(rng.integers(0, 2, n), length)) % 2 == 0
    level = np.repeat(np.maximum(rng.normal(size=(n, d)), 0), length, axis=0)
    if not constant:  # and features that drift along it
        level = np.maximum(level + 0.3 * np.cumsum(rng.normal(size=level.shape), axis=0) % 2, 0)
    level[:, 0] += planted * y
    values = level * (rng.random(level.shape) < 0.8)
    return csr_matrix(values), y, np.repeat([f"p{i}" for i in range(problems)], each * length), of


@pytest.mark.parametrize("constant", [True, False])
def test_steps_of_a_rollout_are_not_independent(constant):
    """Features with a level of the whole rollout and no relation: 5% have p < .05 (of single steps: 57%).

    Found by review: `correct` and `truncated` are the same at all steps of a rollout.
    """
    p, alone = [], []
    for seed in range(8):
        values, y, problems, of = rollout_level(seed, constant)
        p += within_problem_tests(values, y, problems, rollouts=of).p.tolist()
        alone += within_problem_tests(values, y, problems).p.tolist()
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.085
    if constant:
        assert np.mean(np.array(alone) < 0.05) > 0.3
    values, y, problems, of = rollout_level(9, constant, planted=1.5)
    found = within_problem_tests(values, y, problems, rollouts=of)
    assert found.features[found.best(1)[0]] == 0 and found.q[0] < 1e-3
    assert found.n == (75 if constant else 900)


def test_z_along_rollouts_is_that_of_moving_labels_by_hand():
    values, y, problems, of = rollout_level(3, False, planted=0.3, problems=6, d=4)
    found = within_problem_tests(values, y, problems, rollouts=of)
    rng, dense = np.random.default_rng(0), values.toarray()
    moved = [
        np.concatenate([np.roll(y[of == i], rng.integers(0, 12)) for i in range(of.max() + 1)]) for _ in range(1500)
    ]
    for i in range(4):
        null = [auc(dense[:, i], one) for one in moved]
        z = (found.auc[i] - np.mean(null)) / np.std(null)
        assert found.z[i] == pytest.approx(z, abs=0.2 + 0.06 * abs(z))


@pytest.mark.parametrize("constant", [True, False])
def test_the_null_of_an_auc_over_steps_exchanges_rollouts(constant):
    p = []
    for seed in range(60):
        values, y, problems, of = rollout_level(seed + 50, constant, problems=6, d=1)
        score = values.toarray()[:, 0]
        p.append(cluster_auc(score, y, problems.tolist(), n_boot=2, n_null=60, blocks=of, seed=seed).p)
    assert np.mean(np.array(p) < 0.05) <= 0.12 and 0.3 < np.mean(p) < 0.7


@pytest.mark.parametrize("constant", [True, False])
def test_rare_features_of_rare_labels_are_no_findings(constant):
    """Few firings and few labels, no relation: a normal distribution's tails found something in 4 of 10 studies.

    Found by review.
    """
    rng, findings = np.random.default_rng(0), 0
    for _ in range(25):
        of = np.repeat(np.arange(60), 1 if constant else 12)
        y = np.repeat(rng.random(60) < 0.15, 1) if constant else rng.random(len(of)) < 0.03
        values = np.zeros((len(of), 150))
        for column in values.T:
            at = rng.choice(len(of), rng.integers(10, 16 if constant else 40), replace=False)
            column[at] = 0.1 + rng.exponential(size=len(at))
        problems = np.array([f"p{i}" for i in of // 10])
        found = within_problem_tests(csr_matrix(values), y, problems, rollouts=of)
        findings += bool((found.q < 0.05).any())
    assert findings <= 3


def test_a_label_that_a_problem_decides_is_no_finding():
    """A feature that tells problems apart, not steps, has a large AUC and no z."""
    _, y, of = drawn(3)
    y = np.isin(of, ["p4", "p5"])
    y[np.flatnonzero(of == "p0")[0]] = True
    values = np.isin(of, ["p4", "p5"])[:, None] * 1.0
    found = within_problem_tests(csr_matrix(values), y, of, min_active=1)
    assert found.auc[0] > 0.9 and abs(found.z[0]) < 1e-6 and found.p[0] == pytest.approx(1)


def test_rare_features_are_not_tested_and_one_class_is_refused():
    values, y, of = drawn(4)
    values[10:, 2] = 0
    found = within_problem_tests(csr_matrix(values), y, of)
    assert 2 not in found.features and found.n_untested == 1
    with pytest.raises(DataError, match="both kinds are needed"):
        within_problem_tests(csr_matrix(values), np.ones(len(y), bool), of)
    with pytest.raises(DataError, match="no problem has steps with and without"):
        within_problem_tests(csr_matrix(values), of == "p1", of)


def test_the_feature_of_a_kind_of_step_is_found_with_q_over_all_kinds():
    tests = step_tests(made_up())
    assert set(tests) == {"self_checking", "active_computation"}
    one = tests["self_checking"]
    assert one.features[one.best(1, sign=1)[0]] == 0
    assert one.auc[list(one.features).index(0)] == 1
    assert one.q[list(one.features).index(0)] < 1e-6
    assert all(tests[name].q[i] > 0.01 for name in tests for i, f in enumerate(tests[name].features) if f > 1)


def examples(seed, planted):
    """Labels that a feature knows, and a coordinate knows less well."""
    rng = np.random.default_rng(seed)
    n = 400
    y = rng.random(n) < 0.3
    x = rng.normal(size=(n, 6)).astype(np.float32)
    active = rng.random((n, 30)) * (rng.random((n, 30)) < 0.4)
    if planted:
        active[:, 17] = (y ^ (rng.random(n) < 0.1)) * (1 + rng.random(n))
        x[:, 2] += 0.8 * y
    problems = [f"p{i}" for i in rng.integers(0, 12, n)]
    return Examples.of(x, y, problems, label="planted", hook="resid_post:0"), csr_matrix(active)


def test_a_planted_predictor_is_found_and_judged_on_other_problems():
    found = predict_from_features(*examples(0, True), top=2)
    assert found.rows[0].feature == 17 and found.rows[0].auc.q < 1e-6 and found.n_discoveries == 1
    assert found.feature.value > 0.85 and found.feature.low > found.neuron.value
    assert 0.6 < found.neuron.value < 0.8 and found.probe.value > 0.6
    assert found.feature_beyond_neuron.low > 0
    told = found.to_json()
    assert told["rows"][0]["feature"] == 17 and told["feature"]["n"] == 400


def test_the_best_of_many_features_has_no_head_start_where_none_knows_anything():
    values = [predict_from_features(*examples(seed, False), top=1).feature.value for seed in range(1, 9)]
    assert 0.42 < np.mean(values) < 0.56
