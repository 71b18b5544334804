"""Importance by category, and whether measures agree."""

import numpy as np
import pytest

from cotlab.measures import RatedStep, categories_exchanged, category_contrast, category_means, rank_agreement


def rated(rng, problems=12, gap=0.5, shared=1.0):
    """Each problem has a level of its own; planning is `gap` above computing; `second` follows `first` by `shared`."""
    steps = []
    for problem in range(problems):
        level = rng.normal(0, 5)
        for i in range(20):
            category = "plan_generation" if i % (2 + problem % 3) == 0 else "active_computation"
            first = level + gap * (category == "plan_generation") + rng.normal(0, 0.3)
            second = shared * first + rng.normal(0, 0.3)
            steps.append(RatedStep(str(problem), f"{problem}/0", category, i / 20, {"first": first, "second": second}))
    return steps


def test_contrasts_are_made_within_problems():
    steps = rated(np.random.default_rng(0))
    found = category_contrast(steps, "first", "plan_generation", "active_computation")
    assert found.low <= 0.5 <= found.high
    assert found.low > 0
    assert found.n == 12
    means = category_means(steps, "first")
    assert means["plan_generation"].high - means["plan_generation"].low > 1
    assert category_contrast(steps, "first", "active_computation", "plan_generation").value == pytest.approx(
        -found.value
    )


def test_p_is_exact_where_there_is_nothing_and_few_problems():
    """Seven problems of skewed values: intervals from drawing problems again are too narrow, the exchange is not."""
    rejected, studies = 0, 200
    for seed in range(studies):
        rng = np.random.default_rng([5, seed])
        steps = [
            RatedStep(
                str(k), str(k), ("a", "b", "c")[int(rng.integers(3))], i / 30, {"first": float(rng.exponential(1 + k))}
            )
            for k in range(7)
            for i in range(30)
        ]
        found = category_contrast(steps, "first", "a", "b", n_null=99, seed=seed)
        rejected += found.p <= 0.05
    assert 0.015 <= rejected / studies <= 0.09


def falling(seed, gap):
    """Seven problems of four chains whose values fall along the chain; plans come early, and add `gap`."""
    rng, steps = np.random.default_rng([11, seed]), []
    for problem in range(7):
        for chain in range(4):
            for k in range(60):
                place = k / 60
                plan = bool(rng.random() < 0.35 * (1 - place))
                value = float(np.exp(-2 * place) * rng.exponential() + gap * plan)
                steps.append(
                    RatedStep(f"p{problem}", f"{problem}/{chain}", "plan" if plan else "compute", place, {"m": value})
                )
    return steps


def test_values_that_depend_on_place_alone_are_not_found_and_a_true_difference_is():
    """Plans stand where values are large: compared over whole chains that is 'found', in like places it is not."""
    studies, rejected, whole, true = 20, 0, 0, 0
    for seed in range(studies):
        nothing = falling(seed, 0.0)
        rejected += category_contrast(nothing, "m", "plan", "compute", n_null=199, seed=seed).p < 0.05
        whole += category_contrast(nothing, "m", "plan", "compute", bins=1, n_null=199, seed=seed).p < 0.05
        true += category_contrast(falling(seed, 0.3), "m", "plan", "compute", n_null=199, seed=seed).p < 0.05
    assert whole >= 0.9 * studies
    assert rejected <= 0.15 * studies
    assert true >= 0.9 * studies


def test_differences_are_made_within_chains_first():
    """A chain of many plans and high values beside one of few and low ones: no difference within either."""
    steps = [
        RatedStep(f"p{p}", f"{p}/{chain}", "plan" if i < plans else "compute", 0.0, {"m": level})
        for p in range(6)
        for chain, plans, level in ((0, 9, 5.0), (1, 1, 0.0))
        for i in range(10)
    ]
    found = category_contrast(steps, "m", "plan", "compute", n_null=200)
    assert found.value == pytest.approx(0)
    assert found.null_mean == pytest.approx(0)
    assert found.null_q95 == pytest.approx(0)


def test_exchanges_move_categories_within_parts_of_chains_only():
    rows = (
        ("1", "a", 0.0, 1.0),
        ("1", "b", 0.1, 0.0),
        ("1", "c", 0.1, 9.0),
        ("1", "a", 0.9, 4.0),
        ("2", "b", 0.0, 5.0),
    )
    steps = [RatedStep(p, p, c, place, {"m": v}) for p, c, place, v in rows]
    rng = np.random.default_rng(0)
    seen = {tuple(one.category for one in categories_exchanged(steps, "m", "a", "b", rng)) for _ in range(50)}
    assert seen == {("a", "b", "a", "b"), ("b", "a", "a", "b")}
    with pytest.raises(ValueError, match="0 parts"):
        category_contrast(steps, "m", "a", "b", bins=0)


def test_only_problems_with_both_categories_count():
    steps = [RatedStep("a", "a", "plan_generation", 0.0, {"first": 1.0})]
    found = category_contrast(steps, "first", "plan_generation", "active_computation")
    assert found.value is None
    assert "0 clusters" in found.reason


def test_ranks_agree_within_chains_only():
    agreeing = rank_agreement(rated(np.random.default_rng(1)), "first", "second")
    assert agreeing.low > 0.3
    assert agreeing.p < 0.05
    steps = rated(np.random.default_rng(2), shared=0.0)
    level = {step.problem: step.values["first"] for step in steps}
    apart = [
        RatedStep(s.problem, s.chain, s.category, s.place, s.values | {"second": s.values["second"] + level[s.problem]})
        for s in steps
    ]
    found = rank_agreement(apart, "first", "second")
    assert abs(found.value) < 0.2
    assert rank_agreement([], "first", "second").value is None


def test_measures_that_both_fall_along_a_chain_agree_over_it_and_not_in_like_places():
    rng = np.random.default_rng(3)
    steps = [
        RatedStep(str(p), f"{p}/0", "x", i / 20, {"first": -i + rng.normal(0, 2), "second": -i + rng.normal(0, 2)})
        for p in range(12)
        for i in range(20)
    ]
    whole, parts = (rank_agreement(steps, "first", "second", bins=bins) for bins in (1, 10))
    assert whole.low > 0.7 and parts.value is None  # two steps a part are too few to rank
    thirds = rank_agreement(steps, "first", "second", bins=5)
    assert thirds.low < 0.3 < whole.low and thirds.n == 240
    assert "no part of a chain" in parts.reason
