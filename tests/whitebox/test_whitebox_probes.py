"""Probes on activations with a planted direction; files; and nothing found where there is nothing."""

import numpy as np
import pytest

from cotlab.errors import DataError
from cotlab.whitebox import METHODS, Examples, Probe, ProbeCard, evaluate_probe, fit_probe

D = 24


def planted(n_problems=40, each=20, shift=2.0, seed=0, texts=None):
    """Activations of problems with offsets of their own; the label moves them along one direction."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=D)
    direction /= np.linalg.norm(direction)
    problems = np.repeat([f"p{i}" for i in range(n_problems)], each)
    y = rng.random(len(problems)) < 0.4
    offsets = rng.normal(size=(n_problems, D)).repeat(each, axis=0)
    x = rng.normal(size=(len(y), D)) + 0.5 * offsets + shift * y[:, None] * direction
    place = np.column_stack([rng.integers(0, 200, len(y)), rng.integers(0, 20, len(y))])
    said = texts(y, rng) if texts else None
    return Examples.of(
        x, y, problems.tolist(), place=place, texts=said, label="planted", hook="resid_post:1"
    ), direction


@pytest.mark.parametrize("method", METHODS)
def test_probes_recover_the_planted_direction(method):
    examples, direction = planted(200, 40, 2.0)
    probe = fit_probe(examples, method)
    assert probe.direction @ direction > 0.95
    assert (probe.card.n_examples, probe.card.n_problems, probe.card.label) == (8000, 200, "planted")
    said = probe.probabilities(examples.x)
    assert said.mean() == pytest.approx(examples.y.mean(), abs=0.02), "log odds, so probabilities are on the scale"


@pytest.mark.parametrize("method", METHODS)
def test_a_report_finds_what_is_there(method):
    from scipy.stats import norm

    examples, _ = planted(shift=2.0)
    report = evaluate_probe(examples, method, n_shuffles=9)
    # Along the direction: shift 2, noise of variance 1 + 0.25 in each of two draws. Fitting costs a little.
    best = norm.cdf(2 / np.sqrt(2 * 1.25))
    assert best - 0.06 < report.auc.value <= best + 0.02
    assert report.auc.low < report.auc.value < report.auc.high
    assert report.auc.p == pytest.approx(0.1) and report.auc.null_q95 < 0.6
    assert report.balanced_accuracy.value > 0.75
    assert report.position.value < 0.6
    assert report.wording.value == 0.5 and report.beyond_wording.low > 0.2
    assert report.calibration.expected_error < 0.08
    assert report.to_json()["auc"]["n"] == 800


def test_a_report_finds_nothing_where_there_is_nothing():
    p = [
        evaluate_probe(planted(12, 10, 0.0, seed)[0], "mass-mean", n_shuffles=19, seed=seed).auc.p for seed in range(60)
    ]
    assert 0.0 < np.mean(np.array(p) <= 0.1) <= 0.22


def test_labels_of_whole_rollouts_are_shuffled_with_them():
    """Twenty rollouts are twenty units, however many steps they have: the null is as wide as that."""
    spread = {"rollouts": [], "steps": []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        problems, rollouts = np.repeat([f"p{i}" for i in range(10)], 40).tolist(), np.repeat(np.arange(20), 20)
        x = rng.normal(size=(20, D)).repeat(20, axis=0) * 3 + rng.normal(size=(400, D))
        y = np.repeat(np.arange(20) % 2 == 0, 20)
        for name, of in (("rollouts", rollouts), ("steps", None)):
            report = evaluate_probe(Examples.of(x, y, problems, rollouts=of), "mass-mean", n_shuffles=12, seed=seed)
            spread[name].append(report.auc.null_q95 - report.auc.null_mean)
    assert np.mean(spread["rollouts"]) > 2 * np.mean(spread["steps"])


def test_what_the_words_tell_is_told_apart():
    def said(y, rng):
        return ["Wait, no." if label else "So x = 3." for label in y]

    examples, _ = planted(shift=0.0, texts=said)
    report = evaluate_probe(examples, "mass-mean", n_shuffles=4)
    assert report.wording.value == 1.0 and report.beyond_wording.high < -0.3


def test_shuffling_problems_apart_keeps_them_whole():
    """Labels that go with the problem alone teach a probe nothing about unseen problems."""
    rng = np.random.default_rng(3)
    problems = np.repeat([f"p{i}" for i in range(30)], 20)
    y = np.repeat(rng.random(30) < 0.5, 20)
    x = rng.normal(size=(30, D)).repeat(20, axis=0) * 3 + rng.normal(size=(600, D))
    report = evaluate_probe(Examples.of(x, y, problems.tolist()), "logistic", n_shuffles=4)
    assert report.auc.low < 0.55, "splitting by token would give 1.0 here"


def test_a_probe_is_kept_in_one_file(tmp_path):
    examples, _ = planted(10, 10)
    probe = fit_probe(examples, "mass-mean", card=ProbeCard("", "", "", model="tiny", revision="r", at="step-ends"))
    probe.save(tmp_path / "deep" / "probe.safetensors")
    again = Probe.load(tmp_path / "deep" / "probe.safetensors")
    assert again.card == probe.card and again.card.model == "tiny"
    assert np.array_equal(again.weight, probe.weight) and again.bias == probe.bias
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["probe.safetensors"]


def test_files_that_are_no_probe_are_one_line(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "p.safetensors"
    with pytest.raises(DataError, match="no probe at"):
        Probe.load(path)
    path.write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(DataError, match="is no probe"):
        Probe.load(path)
    weight, bias = np.ones(3), np.zeros(1)
    save_file({"weight": weight, "bias": bias}, path)
    with pytest.raises(DataError, match="its format is None"):
        Probe.load(path)
    meta = {"format": "cotlab-probe/1", "card": "{}"}
    save_file({"weight": np.array([1.0, np.nan]), "bias": bias}, path, metadata=meta)
    with pytest.raises(DataError, match="finite numbers"):
        Probe.load(path)
    save_file({"weight": weight, "bias": bias}, path, metadata=meta)
    with pytest.raises(DataError, match="its card says"):
        Probe.load(path)
    save_file({"weight": weight}, path, metadata=meta)
    with pytest.raises(DataError, match="is no probe"):
        Probe.load(path)


def test_bad_examples_are_one_line():
    examples, _ = planted(6, 10)
    with pytest.raises(DataError, match="2 of 5 activations at resid_post:0 are not finite"):
        x = np.ones((5, 2))
        x[:2, 0] = np.nan
        Examples.of(x, np.ones(5), list("abcde"), hook="resid_post:0")
    with pytest.raises(DataError, match="problems have shape"):
        Examples.of(np.ones((5, 2)), np.ones(5), ["a"])
    with pytest.raises(DataError, match="same label"):
        fit_probe(examples.select(examples.y))
    with pytest.raises(DataError, match="unknown probe method 'deep'"):
        fit_probe(examples, "deep")
    with pytest.raises(DataError, match="at least 5 are needed"):
        evaluate_probe(examples.select(np.arange(30)))
    with pytest.raises(DataError, match="width 7, the probe for 'planted' at resid_post:1 has 24"):
        fit_probe(examples).logits(np.zeros((3, 7)))
