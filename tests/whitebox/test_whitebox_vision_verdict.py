"""The verdict on where an error enters, from numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from cotlab.interventions import HookPoint
from cotlab.stats import Estimate
from cotlab.whitebox.vision import VERSIONS, Answers, Readout, Site, Swapped, locate
from cotlab.whitebox.vision.locating import null_of_readout, null_of_swaps
from cotlab.whitebox.vision.readout import Scores, SiteProbe

SITES = (
    Site(HookPoint("vision_post", 0), "encoder"),
    Site(HookPoint("vision_post", 1), "encoder"),
    Site(HookPoint("projector", 0), "projector"),
    Site(HookPoint("resid_post", 0), "decoder"),
)
ENTERS = {"perception": 1, "alignment": 2, "language prior": 3}
"""Place in `SITES` from which on the error is in."""
N = 40
NAMES = tuple(f"case {i}" for i in range(N))


def readout(readable=0.97):
    auc = Estimate(readable, readable - 0.02, min(1.0, readable + 0.02), n=60)
    probes = tuple(SiteProbe(site, np.ones(2), 0.0, np.ones(2), -1.0, auc) for site in SITES)
    return Readout(probes)


def scores(enters, rng, size=1.0):
    """Scores of 5 where the shape is, of 0 elsewhere; of 5 · size where the error is in."""
    values = rng.normal(0, 0.3, (len(SITES), len(VERSIONS), N))
    for version in ("there", "both"):
        values[:, VERSIONS.index(version)] += 5
    values[enters:, VERSIONS.index("primed")] += 5 * size
    return Scores(NAMES, values)


def answers(rate, rng):
    odds = rng.normal(-3, 1, (len(VERSIONS), N))
    odds[VERSIONS.index("primed")] = np.where(rng.random(N) < rate, 3, -3)
    odds[[VERSIONS.index("there"), VERSIONS.index("both")]] += 6
    return Answers(NAMES, odds)


def swapped(enters, rng):
    """Yes on primed as long as the part that errs is the model's own."""
    own = {"perception": [None], "alignment": [None, "encoder"], "language prior": [None, "encoder", "projector"]}[
        enters
    ]
    odds = {}
    for arm in (None, "encoder", "projector", "decoder"):
        rate = 0.9 if arm in own else 0.05
        odds[arm] = np.array([np.where(rng.random(N) < rate, 3.0, -3.0), np.full(N, -3.0)])
    return Swapped(NAMES, odds)


@pytest.mark.parametrize("enters", ENTERS)
@pytest.mark.parametrize("twin", [False, True])
def test_the_part_that_errs_is_named(enters, twin):
    rng = np.random.default_rng(4)
    # With a twin the readout may be blind, and the parts decide.
    read = readout(0.5) if twin else readout()
    found = locate(answers(0.9, rng), read, scores(ENTERS[enters], rng), swapped(enters, rng) if twin else None)
    assert found.verdict == enters
    assert found.by_readout == ("undecided" if twin else enters)
    if twin:
        total = sum(part.value for part in found.parts.values())
        assert total == pytest.approx(0.85, abs=0.15)


def test_no_error_is_nothing_to_locate():
    rng = np.random.default_rng(0)
    found = locate(answers(0.0, rng), readout(), scores(1, rng), swapped("perception", rng))
    assert (found.verdict, found.by_readout) == ("no error", "no error")


@pytest.mark.parametrize("read, size", [(readout(0.6), 1.0), (readout(), 0.25)])
def test_what_cannot_be_told_is_undecided(read, size):
    """The site cannot be read, or the evidence lies about the limit."""
    rng = np.random.default_rng(1)
    found = locate(answers(0.9, rng), read, scores(1, rng, size * 0.8))
    assert found.verdict == "undecided"


def test_an_error_that_two_parts_share_is_undecided():
    rng = np.random.default_rng(2)
    odds = {None: 0.9, "encoder": 0.6, "projector": 0.3, "decoder": 0.0}
    each = {arm: np.array([np.where(rng.random(N) < rate, 3.0, -3.0), np.full(N, -3.0)]) for arm, rate in odds.items()}
    found = locate(answers(0.9, rng), readout(), scores(1, rng), Swapped(NAMES, each))
    assert (found.by_parts, found.by_readout) == ("undecided", "perception")


def test_shuffled_labels_find_nothing():
    rng = np.random.default_rng(3)
    read = null_of_readout(readout(), scores(1, rng), shuffles=20)
    parts = null_of_swaps(swapped("alignment", rng), shuffles=20)
    assert read.keeps and parts.keeps
    assert max(read.value, parts.value) <= 0.1
