"""Features drift beyond what training alone does, or are not said to."""

import json

import numpy as np
import pytest

from cotlab.saes.drift import FALSE_SHARE, Drift, FeatureDrift
from cotlab.saes.drift_null import against_null


def trained(rng, n=300, drifted=0, silent=20):
    """Features that turn the more the more often they fire; some are turned three times as far, and fire otherwise."""
    rates = 10 ** rng.uniform(-2.9, -0.5, n)
    rates[n - silent :] = 0.0
    turns = 0.02 * (rates + 1e-3) ** 0.3 * rng.lognormal(0, 0.5, n)
    later = rates * rng.lognormal(0, 0.1, n)
    turns[:drifted] = turns[:drifted] * 3 + 0.12
    later[:drifted] *= 2
    states = np.where(rates == 0, "silent", np.where(turns > 0.1, "rotated", "kept"))
    told = zip(states.tolist(), (1 - turns).tolist(), rates.tolist(), later.tolist(), strict=True)
    return Drift("resid_post:0", tuple(FeatureDrift(i, s, c, c, None, r, a) for i, (s, c, r, a) in enumerate(told)))


def test_training_alone_is_no_drift():
    rng = np.random.default_rng(0)
    calls = []
    for _ in range(100):
        found = against_null(trained(rng), trained(rng))
        calls.append(sum(one.q is not None and one.q <= FALSE_SHARE for one in found.features))
    # Where nothing drifted every one is a false one: the share of false ones is that of analyses with any.
    assert np.mean(np.array(calls) > 0) <= FALSE_SHARE + 0.06


@pytest.mark.parametrize("planted", [15, 60])
def test_features_that_drifted_are_found_and_few_others(planted):
    rng = np.random.default_rng(1)
    hits, false = [], []
    for _ in range(40):
        found = against_null(trained(rng, drifted=planted), trained(rng))
        named = [one.feature for one in found.features if one.q is not None and one.q <= FALSE_SHARE]
        hits.append(sum(feature < planted for feature in named) / planted)
        false.append(sum(feature >= planted for feature in named) / max(1, len(named)))
        assert found.drifted == {"rotated": sum(one.drifted for one in found.features)} and not any(
            one.drifted for one in found.features if one.state in ("kept", "silent")
        )
    assert np.mean(hits) > 0.9 and np.mean(false) <= FALSE_SHARE + 0.02


def test_what_does_not_fire_is_in_no_count_and_the_null_is_told():
    rng = np.random.default_rng(2)
    null = trained(rng)
    found = against_null(trained(rng, drifted=30), null)
    assert all((one.q is None) == (one.state == "silent") for one in found.features)
    told = json.loads(json.dumps(found.to_json()))
    assert told["null"]["states"] == null.states and told["drifted"] == found.drifted
    assert told["false_share"] == FALSE_SHARE and told["rotated"][0]["q"] <= FALSE_SHARE
    assert "null" not in null.to_json()
    nothing = Drift("resid_post:0", tuple(one for one in null.features if not one.fires))
    assert against_null(found, nothing).null is nothing
