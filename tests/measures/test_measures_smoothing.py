import json
from pathlib import Path

import numpy as np
import pytest

from cotlab.measures import curve_paths, curve_posterior, smooth_curve
from cotlab.measures.smoothing import PRIOR
from cotlab.stats.walk import Manner, WalkPrior, grid_points, walk_posterior

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "curve-smoothing" / "results.json"


def tv(found, truth):
    return 0.5 * np.abs(found - truth).sum(axis=1).mean()


@pytest.fixture(scope="module")
def planted():
    truth = np.repeat([[0.7, 0.2, 0.1, 0], [0.3, 0.6, 0.1, 0], [0.02, 0.96, 0.02, 0]], 30, axis=0)
    rng = np.random.default_rng(1)
    return truth, lambda s: np.array([rng.multinomial(s, p) for p in truth])


@pytest.mark.parametrize(("s", "slack"), [(2, 1.1), (5, 1.0), (30, 0.7)])
def test_it_knows_about_as_much_as_the_moving_average_of_the_best_width(planted, s, slack):
    """That width is chosen with the truth in hand; at many draws no width serves flat parts and jumps alike."""
    truth, draw = planted
    counts = draw(s)
    found = tv(smooth_curve(counts, s), truth)
    averages = [
        np.array([counts[max(0, t - h) : t + h + 1].sum(axis=0) for t in range(len(counts))], dtype=float)
        for h in range(16)
    ]
    assert found < slack * min(tv(a / a.sum(axis=1, keepdims=True), truth) for a in averages)


def test_rows_are_distributions_whatever_the_counts():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 5), (40, 1), (3, 2), (60, 10)):
        counts = rng.integers(0, 4, shape)
        for found in (smooth_curve(counts), curve_posterior(counts).mean, curve_paths(counts, n=3)[0]):
            assert found.shape == shape
            assert found.min() >= 0
            assert found.sum(axis=1) == pytest.approx(1)


def test_many_draws_are_believed_and_none_are_bridged():
    counts = np.array([[900, 100], [0, 0], [900, 100], [100, 900], [100, 900]])
    found = smooth_curve(counts)[:, 0]
    assert found == pytest.approx([0.9, 0.9, 0.9, 0.1, 0.1], abs=0.02)


def test_s_says_what_a_row_is_worth():
    counts = np.array([[3, 1], [1, 3], [4, 0], [1, 3]])
    assert smooth_curve(counts / 4, 4) == pytest.approx(smooth_curve(counts, 4))
    assert smooth_curve(counts * 10, 4) == pytest.approx(smooth_curve(counts))
    assert smooth_curve(counts, np.full(4, 4)) == pytest.approx(smooth_curve(counts))
    few, many = curve_posterior(counts, np.full(4, 4.0)), curve_posterior(counts, np.full(4, 400.0))
    width = [np.subtract(*p.interval()[::-1]).mean() for p in (few, many)]
    assert width[1] < width[0] / 3


@pytest.mark.parametrize(
    ("counts", "s", "message"),
    [
        ([1, 2], None, "expected \\[positions, categories\\]"),
        (np.empty((0, 3)), None, "not empty"),
        ([[1, -1]], None, "0 or more"),
        ([[1, np.nan]], None, "finite"),
        ([[1, 2]], 0, "above 0"),
        ([[1, 2]], [3, 3], "one for each of 1 rows"),
    ],
)
def test_bad_counts_are_one_line(counts, s, message):
    with pytest.raises(ValueError, match=message):
        smooth_curve(counts, s)


def test_posterior_equals_brute_force_over_all_paths():
    """Six cells, four positions: the sum over all 6^4 paths, one by one."""
    prior = WalkPrior((0.5,), (Manner(0.3, 0.6, (0.3,), 0.1), Manner(0.7, 0.1, (0.4,), 0.5)), (2.0, 1.0), (0.5, 0.5))
    y, n = np.array([3, 0, 1, 4]), np.array([4, 0, 5, 4])
    walks = walk_posterior(y[:, None], n[:, None], prior, cells=6)
    points = grid_points(6)
    like = points ** y[:, None] * (1 - points) ** (n - y)[:, None]
    first = walk_posterior([[0.0]], [[0.0]], prior, cells=6).mass[0, 0]
    total, mass = np.zeros(2), np.zeros((4, 6))
    for m in range(2):
        for path in np.ndindex(6, 6, 6, 6):
            p = prior.manners[m].share * first[path[0]] * np.prod(like[range(4), path])
            p *= np.prod([walks.steps[m][a, b] for a, b in zip(path, path[1:], strict=False)])
            total[m] += p
            mass[range(4), path] += p
    assert walks.manners == pytest.approx(total / total.sum())
    assert walks.mass[:, 0] == pytest.approx(mass / total.sum())


def test_paths_have_the_posterior_of_each_position():
    rng = np.random.default_rng(3)
    counts = np.array([rng.multinomial(10, p) for p in np.repeat([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]], 10, axis=0)])
    paths, posterior = curve_paths(counts, n=4000), curve_posterior(counts)
    assert paths.sum(axis=2) == pytest.approx(1)
    assert paths.mean(axis=0) == pytest.approx(posterior.mean, abs=0.02)
    low, high = np.quantile(paths, [0.025, 0.975], axis=0)
    assert low == pytest.approx(posterior.interval()[0], abs=0.06)
    assert high == pytest.approx(posterior.interval()[1], abs=0.06)


def test_intervals_cover_curves_drawn_from_the_prior():
    """Curves of the learned manners, drawn as walks with no counts; 8 draws a position."""
    blank = walk_posterior(np.zeros((40, 1)), np.zeros((40, 1)), PRIOR, cells=48)
    truth, rng = blank.paths(150, seed=5)[:, :, 0], np.random.default_rng(6)
    inside = []
    for p in truth:
        k = rng.binomial(8, p)
        low, high = curve_posterior(np.column_stack([k, 8 - k])).interval(0.9)
        inside.append(((p >= low[:, 0]) & (p <= high[:, 0])).mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.035)


def test_the_shipped_prior_is_the_learned_one():
    """Constants in the code against the committed experiment that learned them."""
    found = json.loads(EXPERIMENT.read_text())["prior_learned"]
    for mine, theirs in zip(PRIOR.manners, found["manners"], strict=True):
        assert mine.stay == pytest.approx(theirs["stay"], abs=0.002)
        assert mine.drift == pytest.approx(theirs["drift"], abs=0.002)
        assert mine.jump == pytest.approx(theirs["jump"], abs=0.002)
        assert mine.share == pytest.approx(theirs["share"], abs=0.01)
    assert PRIOR.first == pytest.approx(found["first"], abs=0.01)
    assert PRIOR.landing == pytest.approx(found["landing"], abs=0.01)


def test_held_out_goals_are_met_in_the_committed_table():
    document = json.loads(EXPERIMENT.read_text())
    for s, goal in document["goals"].items():
        assert document["tables"]["weighted"][s]["walk (smooth_curve)"]["mean"] <= goal
