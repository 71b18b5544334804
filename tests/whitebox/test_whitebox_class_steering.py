"""The direction between two classes, on other problems than it was learned on, beside its controls."""

import numpy as np
import pytest

import cotlab as ct
from cotlab.errors import UserError
from cotlab.interventions import Baseline, HookPoint, Where
from cotlab.measures import shown_rows
from cotlab.problems import Arm
from cotlab.sampling import StudyConfig, sample_arms
from cotlab.whitebox import (
    EndReader,
    Examples,
    Inside,
    SteerArm,
    class_vector,
    cross_groups,
    draw_steered,
    steer_arms,
    steered_contrasts,
)
from cotlab.whitebox.class_steering import NOTHING, halves
from experiments.caused import judged, moved, prompts_in, shuffled_arms, steer, trials

POINT = HookPoint("resid_post", 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "arms"
    config = StudyConfig.of(problems="solve", n_problems=6, n=1, model="tiny", engine="transformers", run=path)
    sample_arms(config, [Arm(), Arm("friend"), Arm("friend", right=True)])
    return path


@pytest.fixture(scope="module")
def inside():
    return Inside.open("tiny")


def learned(run, inside) -> Examples:
    rows = shown_rows(run, "shaped")
    x = EndReader(run, inside, [POINT]).along(rows, POINT)
    return Examples.of(x, [row.label for row in rows], [row.problem for row in rows], label="hinted", hook=str(POINT))


def test_one_strength_is_the_distance_of_the_class_means(inside):
    x = np.random.default_rng(0).normal(size=(20, 256))
    y = np.arange(20) < 8
    vector = class_vector(x, y, POINT, inside, name="label")
    assert np.allclose(vector.directions[0], x[y].mean(0) - x[~y].mean(0), atol=1e-5)
    assert vector.card.n == (8, 12) and vector.card.mean_norms[0] == pytest.approx(np.linalg.norm(x, axis=1).mean())
    with pytest.raises(UserError, match="the same label"):
        class_vector(x, np.ones(20, dtype=bool), POINT, inside, name="label")


def test_a_direction_is_added_on_other_problems_than_it_was_learned_on(path, inside):
    with ct.Run.open(path) as run:
        examples, prompts = learned(run, inside), prompts_in(run, Arm("friend"))
        groups = cross_groups(examples, prompts, inside, seed=3)
        one, two = halves(prompts, 3)
        assert not one & two and one | two == set(prompts) and abs(len(one) - len(two)) <= 1
        assert [{prefix.id for prefix in group.prompts} for group in groups] == [
            {prefix.id for name in part for prefix in prompts[name]} for part in (two, one)
        ]
        at = np.isin(examples.problems, sorted(one))
        wanted = examples.x[at & examples.y].mean(axis=0) - examples.x[at & ~examples.y].mean(axis=0)
        assert np.allclose(groups[0].vector.directions[0], wanted, atol=1e-4)


def test_arms_are_nothing_both_signs_and_random_ones_of_equal_norm(path, inside):
    with ct.Run.open(path) as run:
        (group, _) = cross_groups(learned(run, inside), prompts_in(run, Arm("friend")), inside)
    arms = steer_arms((1, 2), n_random=2)
    assert len(arms) == 9 and arms[0] == NOTHING and group.intervention(NOTHING) == Baseline()
    for arm in arms[1:]:
        its = group.intervention(arm)
        assert its.where == Where("new")
        assert np.linalg.norm(its.delta()) == pytest.approx(abs(arm.strength) * group.vector.norms[0], rel=1e-4)
    plus, minus = group.intervention(SteerArm(2.0)), group.intervention(SteerArm(-2.0))
    assert np.allclose(plus.delta(), -minus.delta())
    with pytest.raises(UserError, match="each above 0"):
        steer_arms((1, -1))


def test_what_is_there_is_not_drawn_again_and_rows_are_those_of_the_arm(path, inside):
    with ct.Run.open(path) as run:
        groups = cross_groups(learned(run, inside), prompts_in(run, Arm("friend")), inside)
    with ct.revisit(path) as again:
        rows = steer(again, groups, strengths=(2,), n=2, n_random=1)
        assert {arm: len(its) for arm, its in rows.items()} == dict.fromkeys(steer_arms((2,), n_random=1), 12)
        sampler = again.sampler({"kind": "class steering"})
        draw_steered(sampler, groups, steer_arms((2,), n_random=1), 2, again.settings)
        assert sampler.drawn.rollouts == 0
        texts = {arm: {again.run.rollout(row.rollout_id).text for row in its} for arm, its in rows.items()}
        steered = {arm: {again.run.rollout(row.rollout_id).steered_tokens for row in its} for arm, its in rows.items()}
    assert texts[NOTHING] != texts[SteerArm(2)] != texts[SteerArm(-2)]
    assert not any(steered[NOTHING]) and all(all(n) for arm, n in steered.items() if arm != NOTHING)
    found = judged("follows", trials(rows, lambda row: row.follows), groups)
    assert [one.name for one in found.contrasts] == [
        "+2 − nothing", "+2 − random × 2", "−2 − nothing", "−2 − random × 2", "+2 − −2",
    ]  # fmt: skip
    assert 0 < found.strength < 5 and set(found.rates) == {arm.name for arm in rows}


def planted(rng, n=40, up=0.0):
    """Trials of four arms; the direction brings the behaviour by so much more, and takes it away."""
    rates = {SteerArm(1): 0.5 + up, SteerArm(-1): 0.5 - up, SteerArm(1, 0): 0.5, NOTHING: 0.5}
    return {
        arm: [(f"p{i}", bool(rng.random() < rate)) for i in range(n) for _ in range(2)] for arm, rate in rates.items()
    }


def contrasts(its):
    counts = {
        arm: {name: (sum(s for p, s in rows if p == name), sum(p == name for p, _ in rows)) for name, _ in rows}
        for arm, rows in its.items()
    }
    return steered_contrasts(counts)


def test_what_moves_the_behaviour_is_found_on_the_side_that_is_named():
    found = contrasts(planted(np.random.default_rng(0), up=0.4))
    assert moved(found, 1) and not moved(found, -1)
    by_name = {one.name: one.difference for one in found}
    assert by_name["+1 − −1"].value > 0.5 and by_name["+1 − −1"].q < 0.01
    assert by_name["−1 − random × 1"].high < 0
    assert all(one.difference.q >= one.difference.p for one in found)


def test_nothing_is_found_where_arms_are_dealt_out_anew():
    its = planted(np.random.default_rng(1), up=0.4)
    rate = shuffled_arms(its, "planted", 60, 0)
    assert rate.keeps and rate.found <= 6


def test_a_direction_that_does_what_random_ones_do_is_not_told_to_cause_it():
    rng = np.random.default_rng(2)
    rates = {SteerArm(1): 0.9, SteerArm(-1): 0.9, SteerArm(1, 0): 0.9, NOTHING: 0.3}
    its = {arm: [(f"p{i}", bool(rng.random() < rate)) for i in range(40)] for arm, rate in rates.items()}
    assert not moved(contrasts(its), 1) and not moved(contrasts(its), -1)


def test_p_is_of_responses_however_many_an_arm_has():
    """Random directions have twice as many; one saying of 80 against one of 40 is no difference."""
    names = [f"p{i}" for i in range(40)]
    mine = {name: (name == "p3", 1) for name in names}
    random = {name: (name == "p3", 2) for name in names}
    (one,) = [its for its in steered_contrasts({SteerArm(1): mine, SteerArm(1, 0): random}) if "random" in its.first]
    assert one.difference.value == pytest.approx(1 / 40 - 1 / 80) and one.difference.p > 0.5
    rng, small = np.random.default_rng(4), 0
    for study in range(80):
        rate = rng.beta(2, 2, 30)
        arms = {
            arm: {f"p{i}": (int(rng.binomial(n, rate[i])), n) for i in range(30)}
            for arm, n in ((SteerArm(1), 1), (SteerArm(1, 0), 3))
        }
        found = [its.difference.p for its in steered_contrasts(arms, seed=study) if "random" in its.first]
        small += found[0] < 0.1
    assert small <= 15
