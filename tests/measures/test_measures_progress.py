import itertools

import numpy as np
import pytest
from markov_runs import SCORER, SETTINGS, MarkovStudy

from cotlab.engines.markov_specs import lucky, staircase
from cotlab.measures import Draws, chain_progress, largest_step, progress
from cotlab.measures.largest_step import likely_share


def draws_of(curve, n, seed=0):
    k = np.random.default_rng(seed).binomial(n, curve)
    return [Draws.of(f"p{i}", ["correct"] * int(c) + ["wrong"] * int(n - c)) for i, c in enumerate(k)]


def measured(curve, n, seed=0, **more):
    places = range(len(curve))
    return progress(draws_of(curve, n, seed), positions=places, tokens=[10 * i for i in places], seed=seed, **more)


STEADY = np.linspace(0.1, 0.9, 17)
ONE_JUMP = np.r_[[0.2] * 8, [0.9] * 8]


def test_variation_of_chains_that_were_not_chosen_is_v0_times_one_minus_v0(tmp_path):
    """Exact values of the markov engine along random chains: E Σ(ΔV)² = V₀(1−V₀)."""
    study = MarkovStudy(tmp_path / "run", staircase())
    with study.run:
        problem, prompt = study.problem("Q")
        sums = []
        for i in range(600):
            chain = study.chain(problem, prompt, study.draw(prompt, [i])[0])
            values = [study.engine.value(chain.prefix(k), SETTINGS) for k in range(len(chain.steps))]
            values.append(float("boxed{7}" in chain.steps[-1].text))
            sums.append((np.diff(values) ** 2).sum())
    start = study.engine.value(prompt, SETTINGS)
    assert np.mean(sums) == pytest.approx(start * (1 - start), abs=3 * np.std(sums) / np.sqrt(600))


def test_corrected_variation_is_unbiased_where_the_naive_one_is_mostly_noise():
    found = [measured(STEADY, 10, seed).variation.value for seed in range(60)]
    truth = (np.diff(STEADY) ** 2).sum()
    shares = [[d.count("correct") / 10 for d in draws_of(STEADY, 10, seed)] for seed in range(60)]
    naive = (np.diff(shares, axis=1) ** 2).sum(axis=1).mean()
    assert np.mean(found) == pytest.approx(truth, abs=3 * np.std(found) / np.sqrt(60))
    assert naive > 5 * truth


def test_shares_of_the_largest_step():
    jump, steady = measured(ONE_JUMP, 40), measured(STEADY, 200)
    assert jump.verdict == "lucky" and jump.largest == 7 and jump.share.low > 0.5
    assert steady.verdict == "steady" and steady.share.high < 0.6
    assert jump.insight_steps.value == 8 and jump.insight_tokens.value == 80
    assert "step 7 carries" in jump.reason


def test_the_bare_share_is_shown_with_its_floor():
    """At 10 rollouts a position a curve of equal steps looks as if one step were most of it."""
    found = [measured(STEADY, 10, seed).naive_share for seed in range(20)]
    assert np.mean([e.value for e in found]) > 0.4
    assert np.mean([e.null_mean for e in found]) == pytest.approx(np.mean([e.value for e in found]), abs=0.12)


@pytest.mark.parametrize("n", [10, 30])
def test_wrong_verdicts_are_rare(n):
    steady = [measured(STEADY, n, seed).verdict for seed in range(25)]
    jump = [measured(ONE_JUMP, n, seed).verdict for seed in range(25)]
    assert steady.count("lucky") <= 2 and jump.count("steady") <= 2
    assert jump.count("lucky") >= (8 if n == 10 else 20)


def test_a_fall_is_told_as_one():
    found = measured(ONE_JUMP[::-1], 60)
    assert found.change.value < -0.5 and "of the fall" in found.reason


def test_the_known_end_counts_for_variation_and_insight_alone():
    flat = np.full(8, 0.3)
    found, alone = measured(flat, 60, end=(1.0, 8, 80)), measured(flat, 60)
    assert found.positions[-1] == 8 and found.insight_steps.value == 8 and found.insight_tokens.value == 80
    assert found.variation.value == pytest.approx(0.49, abs=0.12) and alone.variation.value < 0.1
    assert found.verdict == alone.verdict == "undecided" and "hardly moves" in found.reason
    assert (found.change, found.share, found.naive_share) == (alone.change, alone.share, alone.naive_share)
    jump, right, wrong = (measured(ONE_JUMP, 40, **end) for end in ({}, {"end": (1, 16, 160)}, {"end": (0, 16, 160)}))
    assert jump.verdict == right.verdict == wrong.verdict == "lucky"
    assert jump.share == right.share == wrong.share and right.insight_steps.value == 8


@pytest.mark.parametrize("n", [5, 8, 20])
def test_a_verdict_and_the_interval_beside_it_agree(n):
    """Curves near one half, where the posterior alone was sure beside intervals that held both sides."""
    two = np.clip((np.arange(16) - 6) / 2, 0, 1) * 0.75 + 0.15
    found = [measured(two, n, seed) for seed in range(20)]
    sure = [one for one in found if one.half_p is not None and one.half_p >= 0.9]
    assert len(sure) >= 5, "the posterior alone says lucky of a step of one half"
    assert sum(one.verdict == "lucky" for one in found) <= 3
    for one in [*found, *(measured(ONE_JUMP, n, seed) for seed in range(10))]:
        assert one.verdict != "lucky" or one.share.low > 0.5
        assert one.verdict != "steady" or one.share.high < 0.5


@pytest.mark.parametrize(("share", "n"), [(0.0625, 20), (0.25, 20), (0.75, 20), (1.0, 8)])
def test_the_interval_of_the_share_covers(share, n):
    steps = np.full(16, (1 - share) / 15)
    steps[8] = share
    curve = 0.15 + 0.75 * np.r_[0, np.cumsum(steps)]
    found = [measured(curve, n, seed).share for seed in range(40)]
    told = [one for one in found if one.value is not None]
    assert len(told) >= 30
    assert np.mean([one.low - 1e-9 <= share <= one.high + 1e-9 for one in told]) >= 0.85


def stairs(*moves):
    steps = np.zeros(20)
    steps[[4, 9, 15]] = moves
    return 0.3 + np.r_[0, np.cumsum(steps)]


@pytest.mark.parametrize(("moves", "share"), [((0.3, -0.2, 0.4), 0.8), ((0.3, 0.0, 0.3), 0.5), ((0.5, -0.3, 0.3), 1.0)])
def test_the_interval_covers_where_the_curve_goes_up_and_down(moves, share):
    found = [measured(stairs(*moves), 50, seed).share for seed in range(30)]
    assert np.mean([one.low - 1e-9 <= share <= one.high + 1e-9 for one in found]) >= 0.85
    assert np.mean([one.value for one in found]) == pytest.approx(share, abs=0.06)


def test_the_same_upside_down():
    rising, falling = stairs(0.3, -0.2, 0.4), 1 - stairs(0.3, -0.2, 0.4)
    n = np.full(21, 50.0)
    k = np.random.default_rng(0).binomial(50, rising).astype(float)
    up, down = (
        likely_share(k, n, rising[:1], rising[-1:], 0.95),
        likely_share(n - k, n, falling[:1], falling[-1:], 0.95),
    )
    assert (up.value, up.low, up.high) == pytest.approx((down.value, down.low, down.high))


def test_all_curves_of_a_largest_rise_are_counted(monkeypatch):
    """Step by step as by going through each curve on seven levels."""
    monkeypatch.setattr(largest_step, "PARTS", 4)
    monkeypatch.setattr(largest_step, "MOVES", (0.3, 0.6))
    told, start = np.random.default_rng(0).random((5, 7)), 1
    wanted = np.zeros(8)
    for path in itertools.product(range(7), repeat=3):
        curve = np.array([start, *path, start + 4])
        for move in (0.3, 0.6):
            law = np.prod([(1 - move) * (a == b) + move / 7 for a, b in itertools.pairwise(curve.tolist())])
            wanted[np.diff(curve).max() - 1] += law * told[np.arange(5), curve].prod()
    assert np.exp(largest_step._largest_rise(told, start)) == pytest.approx(wanted)


def reason(draws):
    return progress(draws, positions=range(len(draws)), tokens=range(len(draws))).reason


def test_what_cannot_be_measured_says_why():
    assert reason([]) == "no rollouts at any position of the chain"
    assert reason([Draws.of("p", ["correct"])] * 6) == "0 positions have 5 rollouts or more, at least 4 are needed"
    assert reason([Draws.of("p", ["truncated"] * 20)] * 6) == "all rollouts were truncated: raise max_tokens"
    assert reason([Draws.of("p", ["unjudged"] * 20)] * 6) == "the answers of its rollouts are not known"
    one_answer = progress([Draws.of("p", ["wrong"] * 20)] * 6, positions=range(6), tokens=range(6))
    assert one_answer.verdict == "undecided" and "hardly moves" in one_answer.reason
    assert one_answer.variation.value == 0 and one_answer.naive_share.value is None


def test_a_change_that_is_large_enough_but_not_for_sure_is_told_as_that():
    found = measured(np.r_[[0.4] * 4, [0.62] * 4], 40, 3)
    assert found.verdict == "undecided" and found.change.value > 0.2 > found.change.low
    assert "that it is 20 or more has probability 0." in found.reason and "0.9 is needed" in found.reason


def test_a_lucky_chain_of_a_run(tmp_path):
    study = MarkovStudy(tmp_path / "run", lucky(length=6, at=3, jump=0.6, base=0.2))
    with study.run:
        chain = study.main_path(*study.problem("Q"))
        study.resample(chain, 80)
        found = chain_progress(study.run, chain, scorer_id=SCORER)
    assert found.positions == tuple(range(len(chain.steps) + 1))
    exact = study.engine.value(chain.prefix(0), SETTINGS)
    assert found.start.low <= exact <= found.start.high
    assert found.variation.low <= found.variation.value <= found.variation.high
    assert found.bound == pytest.approx(exact * (1 - exact), abs=0.1)
    assert found.change.low <= found.change.value <= found.change.high


def cut_off(curve, cut, n=60):
    """Rollouts of which a share is right and another share truncated at each position."""
    return [
        Draws.of(
            f"p{i}",
            ["correct"] * round(n * c) + ["truncated"] * round(n * t) + ["wrong"] * (n - round(n * c) - round(n * t)),
        )
        for i, (c, t) in enumerate(zip(curve, cut, strict=True))
    ]


def test_a_verdict_that_truncated_rollouts_would_turn_is_none():
    """V falls at once where they count as wrong; where they count as right it does not move."""
    curve, cut = np.r_[[0.9] * 8, [0.3] * 8], np.r_[[0.0] * 8, [0.6] * 8]
    assert measured(curve, 60).verdict == "lucky"
    found = progress(cut_off(curve, cut), positions=range(16), tokens=range(16))
    assert found.verdict == "undecided" and "lucky only where these count as not right" in found.reason
    assert "up to 60% of the rollouts" in found.reason
    assert found.change_bounds == (pytest.approx(-0.6), pytest.approx(0.0))
    few = progress(cut_off(curve, cut / 10), positions=range(16), tokens=range(16))
    assert few.verdict == "lucky" and few.change_bounds == (pytest.approx(-0.6), pytest.approx(-0.6 + 4 / 60))


def test_truncated_rollouts_that_end_apart_turn_a_verdict_too():
    """Found by review: counted as all wrong or all right alike, they leave each step what it is."""
    even = progress(cut_off(np.linspace(0, 0.5, 11), [0.45] * 11, 200), positions=range(11), tokens=range(11))
    assert even.verdict == "undecided" and "steady only where as many of these" in even.reason
    down = progress(cut_off(np.linspace(0.5, 0, 11), [0.45] * 11, 200), positions=range(11), tokens=range(11))
    assert down.verdict == "undecided" and "steady only where as many of these" in down.reason
    jump = np.r_[[0.05] * 4, [0.5] * 4]
    found = progress(cut_off(jump, [0.4] * 8, 200), positions=range(8), tokens=range(8))
    assert found.verdict == "undecided" and "lucky only where as many of these" in found.reason
    few = progress(cut_off(np.linspace(0, 0.9, 11), [0.05] * 11, 200), positions=range(11), tokens=range(11))
    assert few.verdict == "steady"


def test_without_truncated_rollouts_the_bounds_are_the_change():
    found = measured(ONE_JUMP, 40)
    assert found.change_bounds[0] == found.change_bounds[1] and "truncated" not in found.reason


def test_the_interval_of_the_share_is_not_that_of_a_grid():
    """With many rollouts it is narrower than the grid that the likelihood is taken on is wide."""
    three = 0.15 + 0.75 * np.clip((np.arange(21) - 9) / 3, 0, 1)
    found = [measured(three, 400, seed).share for seed in range(6)]
    assert all(one.low < one.value < one.high for one in found)
    assert sum(one.low <= 1 / 3 <= one.high for one in found) >= 4
