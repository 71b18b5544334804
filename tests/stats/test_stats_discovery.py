import numpy as np
import pytest
from scipy.stats import false_discovery_control

from cotlab.stats import Estimate, with_q
from cotlab.stats.simulation import false_discovery_proportion, simulate_chains

CURVES = {
    "no step matters": [0.5] * 21,
    "one jump": [0.3] * 10 + [0.6] * 11,
    "up and down": [0.3] * 4 + [0.5] * 4 + [0.3] * 4 + [0.7] * 4 + [0.5] * 5,
    "every second step": [0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.7, 0.7, 0.9, 0.9],
}


def bh(p):
    return false_discovery_control(p, axis=-1)


@pytest.mark.parametrize("name", CURVES)
def test_false_discoveries_stay_below_five_percent(name):
    values = CURVES[name]
    counts = simulate_chains(values, 50, studies=1000, rng=np.random.default_rng(7))
    null = np.diff(values) == 0
    p = counts.p_values()
    assert false_discovery_proportion(p, null, bh).mean() <= 0.05
    if not null.all():
        assert (bh(p) <= 0.05)[:, ~null].mean() > 0.2


@pytest.mark.slow
def test_false_discoveries_with_shared_rollouts_stay_below_five_percent():
    for name in ("no step matters", "one jump"):
        values = CURVES[name]
        counts = simulate_chains(values, 50, studies=3000, rng=np.random.default_rng(8), pass_rate=0.3)
        null = np.diff(values) == 0
        assert false_discovery_proportion(counts.p_values(), null, bh).mean() <= 0.05


def test_q_is_set_where_there_is_p():
    estimates = [Estimate(0.1, p=0.01), Estimate.missing("no rollouts"), Estimate(0.2, p=0.04), Estimate(0.0, p=1.0)]
    adjusted = with_q(estimates)
    assert adjusted[1] == estimates[1]
    assert [e.q for e in adjusted if e.p is not None] == pytest.approx([0.03, 0.06, 1.0])
    assert [e.q for e in with_q(estimates, "by") if e.p is not None] == pytest.approx([0.055, 0.11, 1.0])
    assert with_q([]) == ()


def test_proportion_of_false_discoveries():
    p = np.array([[0.001, 0.001, 0.9], [0.9, 0.9, 0.9]])
    assert false_discovery_proportion(p, [True, False, True], bh).tolist() == [0.5, 0.0]
