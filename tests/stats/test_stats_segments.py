from itertools import combinations

import numpy as np
import pytest

from cotlab.stats.segments import segments


def cost(counts):
    total = counts.sum(axis=0)
    p = total[total > 0] / total.sum()
    return -(total[total > 0] * np.log(p)).sum()


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_best_of_all_segmentations(seed):
    rng = np.random.default_rng(seed)
    counts = np.array([rng.multinomial(4, rng.dirichlet([0.4, 0.4, 0.4])) for _ in range(9)], dtype=float)
    penalty = 1.5

    def price(cuts):
        bounds = [0, *cuts, 9]
        parts = [cost(counts[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
        return sum(parts) + penalty * len(cuts)

    best = min((price(cuts), cuts) for n in range(9) for cuts in combinations(range(1, 9), n))
    found = segments(counts, penalty=penalty)
    assert price([end for _, end in found[:-1]]) == pytest.approx(best[0])


def test_segments_join_and_find_a_planted_change():
    counts = np.repeat([[9, 1, 0], [2, 8, 0]], 10, axis=0)
    assert segments(counts) == ((0, 10), (10, 20))
    assert segments(np.repeat([[9, 1, 0]], 20, axis=0)) == ((0, 20),)
    assert segments([[1, 0]]) == ((0, 1),)


def test_chance_changes_are_rare():
    rng = np.random.default_rng(0)
    found = [len(segments(rng.multinomial(20, [0.5, 0.3, 0.2], size=60))) for _ in range(200)]
    assert np.mean(np.array(found) > 1) < 0.05


def test_a_table_is_asked_for():
    with pytest.raises(ValueError, match="expected \\[positions, categories\\]"):
        segments([1, 2])
