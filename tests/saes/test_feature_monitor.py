"""Sparse probes: which features are chosen, on whose data, and what they tell of real responses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from cotlab.errors import ModelError
from cotlab.measures import folds_of, held_out_scores, shown_rows
from cotlab.problems import Arm
from cotlab.runs import Run
from cotlab.saes import SHIPPED, FeatureMonitor, load_sae, sae_here
from cotlab.sampling import StudyConfig, sample_arms
from cotlab.stats import auc
from cotlab.whitebox import EndReader, Inside
from cotlab.whitebox.sparse_probe import differences, fit_sparse_probe


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "arms"
    config = StudyConfig.of(problems="solve", n_problems=8, n=1, model="tiny", engine="transformers", run=path)
    sample_arms(config, [Arm(), Arm("friend", right=True)])
    return path


def planted(seed: int, n: int = 120, d: int = 60) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """Sparse features of which 7 tells the label upwards and 20 downwards; others are noise."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    x = rng.exponential(1.0, (n, d)) * (rng.random((n, d)) < 0.1)
    x[:, 7] += 2.0 * y * (rng.random(n) < 0.8)
    x[:, 20] += 1.5 * ~y * (rng.random(n) < 0.8)
    return csr_matrix(x), y, np.array([f"p{i // 3}" for i in range(n)])


def test_the_features_that_tell_the_label_are_chosen_and_no_others_are_needed():
    active, y, problems = planted(0)
    probe = fit_sparse_probe(active[:90], y[:90], problems[:90], k=2)
    assert probe.features[:2] == (7, 20) and probe.differences[0] > 1 > 0 > probe.differences[1]
    assert auc(probe(active[90:]), y[90:]) > 0.85
    dense = active.toarray()
    spread = np.sqrt((dense[y].var(axis=0) + dense[~y].var(axis=0)) / 2)
    wanted = (dense[y].mean(axis=0) - dense[~y].mean(axis=0)) / spread
    assert np.allclose(differences(active, y), wanted)


def test_a_difference_without_spread_is_told_as_a_hundred_deviations():
    y = np.array([True, False] * 10)
    parted = csr_matrix(np.column_stack([y * 3.0, ~y * 0.01, np.ones(20)]))
    assert np.allclose(differences(parted, y), [100, -100, 0])


def test_a_feature_that_is_always_on_is_never_chosen():
    """Means of float32 differ by rounding, and the spread is as little."""
    active, y, problems = planted(2)
    always = np.random.default_rng(0).uniform(1, 9, 40).astype(np.float32) * np.ones((len(y), 1), dtype=np.float32)
    both = csr_matrix(np.hstack([active.toarray().astype(np.float32), always]))
    assert not differences(both, y)[60:].any()
    assert fit_sparse_probe(both, y, problems).features == fit_sparse_probe(active, y, problems).features


def test_a_feature_that_never_differs_is_none():
    y = np.array([True, False] * 10)
    silent = csr_matrix(np.zeros((20, 5)))
    probe = fit_sparse_probe(silent, y, np.arange(20).astype(str))
    assert probe.features == () and np.allclose(probe(silent), 0)


def test_held_out_scores_of_shuffled_labels_tell_nothing():
    """Chosen among 60 features on the training folds alone: no better than chance (pooled, a little below)."""
    active, y, problems = planted(1)

    class Row:
        def __init__(self, i, label):
            self.i, self.label, self.problem = i, label, problems[i]

    def monitor(train, test):
        probe = fit_sparse_probe(
            active[[row.i for row in train]],
            np.array([row.label for row in train]),
            np.array([row.problem for row in train]),
            k=4,
        )
        return probe(active[[row.i for row in test]])

    found = []
    for seed in range(40):
        mixed = np.random.default_rng(seed).permutation(y)
        rows = [Row(i, bool(label)) for i, label in enumerate(mixed)]
        found.append(auc(held_out_scores(rows, monitor, seed=seed), mixed))
    assert 0.4 < np.mean(found) < 0.52


def test_it_reads_the_end_of_what_is_shown_and_names_its_features(path):
    inside, sae = Inside.open("tiny"), load_sae(SHIPPED)
    with Run.open(path) as run:
        rows = shown_rows(run, "shaped")
        reader = EndReader(run, inside, [sae.point], counts=(1,))
        monitor = FeatureMonitor(reader, sae, k=4)
        read = monitor.read([rows[0], rows[0].first(1)]).toarray()
        wanted = sae.encode(torch.from_numpy(reader.read([rows[0], rows[0].first(1)], sae.point)).float()).numpy()
        assert np.allclose(read, wanted, atol=1e-3) and not np.allclose(read[0], read[1])
        scores, labels = monitor(rows, rows), np.array([row.label for row in rows])
        assert scores[labels].mean() > 0 > scores[~labels].mean(), "on what it learned from"
        chosen = monitor.chosen(rows)
        of_folds = {
            feature
            for held in folds_of(rows)
            for feature in monitor.probe([row for i, row in enumerate(rows) if i not in held]).features
        }
        assert {one.feature for one in chosen} == of_folds and chosen[0].folds == max(one.folds for one in chosen)
        here = sae_here(reader, sae, rows, n=6)
    assert here.transferred_from == "" and 5 < here.l0.value < 200
    assert 0.5 < here.explained_variance.value < 1 and here.l0.n == 6


def test_an_autoencoder_of_another_model_must_be_said_to_be_transferred(path):
    sae = load_sae(SHIPPED)
    inside = Inside.open("tiny:hides-it")
    with Run.open(path) as run:
        reader = EndReader(run, inside, [sae.point])
        with pytest.raises(ModelError, match="for_model"):
            FeatureMonitor(reader, sae)
        moved = FeatureMonitor(reader, sae.for_model(inside.name, inside.revision))
        assert sae_here(reader, moved.sae, shown_rows(run, "shaped"), n=5).transferred_from
