"""Branches with features set and their controls, and the report on a behaviour, on the tiny reasoner."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import cotlab as ct
from cotlab.chains.prefix import Prefix
from cotlab.engines.base import Passage
from cotlab.errors import UserError
from cotlab.interventions import FeatureChange, FeatureSteering, Reconstruction, SparseFeatures, Steering, Where
from cotlab.runs import Run, verify_run
from cotlab.saes import SHIPPED, load_sae
from cotlab.saes.feature_branch import branch_features
from cotlab.saes.feature_controls import ChangeSize, measure_changes
from cotlab.saes.feature_rank import Rank
from cotlab.saes.feature_sizes import FeatureSizes
from cotlab.saes.feature_study import FeaturePlan, StrengthRow, StudiedArm, _verdict, feature_report
from cotlab.stats import Estimate
from cotlab.trees import build_tree, intervention_branches
from cotlab.whitebox.arms import MEASURES


@pytest.fixture(scope="module")
def sae():
    return load_sae(SHIPPED)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    run = tmp_path_factory.mktemp("features") / "run"
    asked = {"problems": "tiny", "n_problems": 1, "positions": "0,2", "base": ("random",), "engine": "transformers"}
    return ct.resample(**asked, n=6, run=str(run)).path


def test_controls_are_as_large_as_what_they_are_compared_with(sampled, sae):
    with Run.open(sampled) as run:
        rollouts = [r for r in run.rollouts() if r.token_ids][:6]
        passages = [Passage(run.prefix(r.prefix_id), r.token_ids) for r in rollouts]
    with ct.open_engine("tiny", "transformers").engine as engine:
        controls = measure_changes(engine, sae, Where("response"), passages)
    assert len(controls.x) == sum(len(p.token_ids) - p.prefix.n_prompt for p in passages)
    feature = int(np.argsort(-controls.rates)[3])
    for change in (FeatureChange(feature, "clamp", 5.0, "raw"), FeatureChange(feature, "ablate")):
        its = FeatureSteering.of(sae, [change], Where("response"))
        a = sae.encode(controls.x)[:, feature]
        moved = (5.0 if change.action == "clamp" else 0.0) - a
        norm = float((moved.abs() * sae.W_dec[feature].norm()).mean())
        vector = controls.vector(its)
        assert vector.norms[0] == pytest.approx(norm, rel=1e-4)
        along = torch.nn.functional.cosine_similarity(
            torch.tensor(vector.directions[0].copy()), sae.W_dec[feature], dim=0
        )
        assert float(along) == pytest.approx(1 if change.action == "clamp" else -1, abs=1e-4)
        size = controls.size(its)
        assert size.relative == pytest.approx(norm / float(controls.x.norm(dim=-1).mean()), rel=1e-4)
        assert size.rates[feature] == pytest.approx(float((a > 0).float().mean()))
        arms = dict(controls.arms(its, n_random=2, seed=0))
        assert isinstance(arms["reconstruction"], Reconstruction) and len(arms) == 7
        wrong = arms["the same vector, wrong sign"]
        assert isinstance(wrong, Steering) and wrong.coefficients == (-1.0,)


@pytest.fixture(scope="module")
def controls(sampled, sae):
    with Run.open(sampled) as run:
        rollouts = [r for r in run.rollouts() if r.token_ids][:6]
        passages = [Passage(run.prefix(r.prefix_id), r.token_ids) for r in rollouts]
    with ct.open_engine("tiny", "transformers").engine as engine:
        yield measure_changes(engine, sae, Where("response"), passages)


@pytest.mark.parametrize("asked", ["clamp:5", "clamp:-2", "clamp:0", "add:3", "scale:0.5", "scale:3", "ablate"])
def test_random_features_fire_as_often_and_change_as_much(controls, sae, asked):
    feature = int(np.argsort(-controls.rates)[25])
    its = FeatureSteering.of(sae, [FeatureChange.parse(f"{feature}:{asked}", "raw")], Where("response"))
    size = controls.size(its).relative
    others = controls.random_features(its, 5, 0)
    numbers = [other.rows.features[0] for other in others]
    assert len({feature, *numbers}) == 6 and len({other.changes[0].action for other in others}) == 1
    fixed = asked in ("clamp:0", "scale:0.5", "scale:3", "ablate")
    for other, number in zip(others, numbers, strict=True):
        assert 0.4 < controls.rates[number] / controls.rates[feature] < 2.5
        apart = controls.size(other).relative / size
        assert 0.4 < apart < 2.5 if fixed else apart == pytest.approx(1, rel=0.01)
        if fixed:  # what has no value of its own stays as it is
            assert other.changes[0].value == its.changes[0].value


def test_more_random_features_than_there_are_like_it_are_refused(controls, sae):
    few = replace(controls, sae=sae.some(range(4)), active=controls.active.between(0, 4))
    its = FeatureSteering.of(few.sae, [FeatureChange(1, "clamp", 2.0, "raw")], Where("response"))
    with pytest.raises(UserError, match="has 3 further features that can be .* feature 1, 4 are asked for"):
        few.random_features(its, 4, 0)


def test_a_clamp_that_is_too_small_for_a_feature_is_not_compared_with_it():
    """Found by review: features with larger activations than that were set to 0: a change 14 times as large."""
    rng = np.random.default_rng(0)
    dense = (rng.random((1000, 8)) < 0.3) * rng.random((1000, 8)) * np.array([0.2] * 4 + [8.0] * 4)
    active = SparseFeatures.from_dense(torch.from_numpy(dense), "raw")
    sizes = FeatureSizes.of(active, torch.ones(8))
    for value in (0.1, 0.15):
        change = FeatureChange(0, "clamp", value, "raw")
        like = sizes.like(change, 7, without={0})
        assert set(like) == {1, 2, 3}
        for other in like:
            assert sizes.size(sizes.resized(change, other)) == pytest.approx(sizes.size(change), rel=0.01)


def test_an_effect_is_ranked_among_those_of_random_features():
    rank = Rank.of(-0.3, [0.1, -0.31, 0.3, 0.0])
    assert (rank.as_far, rank.p) == (2, 3 / 5) and rank.spread == (-0.31, 0.05, 0.3)
    assert Rank.of(0.5, [0.1] * 19).p == pytest.approx(0.05)
    assert Rank.of(0.5, []) is None and Rank.of(None, [0.1]) is None and Rank.of(0.5, [0.1, None]) is None


def test_a_rank_seldom_names_a_feature_that_is_like_the_random_ones():
    rng = np.random.default_rng(0)
    p = np.array([Rank.of(drawn[0], drawn[1:].tolist()).p for drawn in rng.normal(size=(2000, 20))])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_a_feature_that_changes_nothing_is_told(sampled, sae):
    with Run.open(sampled) as run:
        rollout = next(r for r in run.rollouts() if r.token_ids)
        passages = [Passage(run.prefix(rollout.prefix_id), rollout.token_ids)]
    with ct.open_engine("tiny", "transformers").engine as engine:
        controls = measure_changes(engine, sae, Where("response"), passages)
        silent = int(np.flatnonzero(controls.rates == 0)[0])
        with pytest.raises(UserError, match="changes nothing at .* tokens: the feature is never active there"):
            controls.vector(FeatureSteering.of(sae, [FeatureChange(silent, "ablate")]))
        with pytest.raises(UserError, match="no token fits where features should be changed"):
            measure_changes(engine, sae, Where("response", after=900), [Passage(Prefix((1, 2), 2), ())])


def test_a_branch_lands_in_the_tree_and_is_whole_by_itself(sampled, sae):
    change = FeatureChange(int(sae.b_enc.argmax()), "clamp", 4.0, "raw")
    asked = {"step": 2, "n": 6, "n_random": 1, "engine": "transformers"}
    found = branch_features(sampled, sae, [change], **asked)
    names = [arm.name for arm in found.result.arms]
    assert names[0] == "features" and names[1] == "reconstruction" and len(names) == 6
    assert all(arm.steered_tokens > 0 and arm.n == 6 for arm in found.result.arms)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["ranks"]["value"]["n"] == len(told["random_sizes"]) == 1 and told["ranks"]["answers"]["p"] in (0.5, 1)
    assert told["random_sizes"][0] == pytest.approx(told["size"]["relative"], rel=0.01)
    assert verify_run(sampled) == []
    with Run.open(sampled) as run:
        chain = run.chains()[0]
        specs = {branch.spec["kind"] for branch in intervention_branches(run, chain, scorer_id="answers/1")}
        assert specs == {"sae-features", "sae-reconstruction", "steering"}
        its = run.intervention(found.result.arms[0].intervention_id)
        assert isinstance(its, FeatureSteering) and its.changes == (change,)
        assert build_tree(run, [chain], scorer_id="answers/1").number_of_nodes() > 0
        n = sum(1 for _ in run.rollouts(bodies=False))
    again = branch_features(sampled, sae, [change], **asked)
    assert again.result == found.result
    with Run.open(sampled) as run:
        assert sum(1 for _ in run.rollouts(bodies=False)) == n, "a second time nothing is sampled"


def test_what_a_step_or_autoencoder_cannot_be_is_one_line(sampled, sae):
    change = [FeatureChange(0, "clamp", 4.0, "raw")]
    with pytest.raises(UserError, match="step 99 lies beyond the chain"):
        branch_features(sampled, sae, change, step=99, engine="transformers")
    with pytest.raises(UserError, match="is of the model 'other'"):
        branch_features(sampled, sae.for_model("other"), change, step=1, n=5, engine="transformers")


def test_a_report_compares_features_with_all_their_controls(tmp_path, sae):
    plan = FeaturePlan(
        (FeatureChange(3, "clamp", 6.0, "raw"),),
        strengths=(0.5, 1.0),
        n_problems=5,
        n=1,
        n_random=1,
        where=Where("response"),
    )
    asked = {"engine": "transformers", "max_tokens": 60}
    found = feature_report(plan, sae, tmp_path, **asked)
    assert [row.strength for row in found.rows] == [0.5, 1.0]
    assert found.rows[1].size.relative > found.rows[0].size.relative > 0
    assert {control.name.partition(":")[0] for control in found.rows[0].controls} == {
        "random features 1", "steering vector of equal norm", "the same vector, wrong sign", "random direction 1",
    }  # fmt: skip
    assert found.rows[0].beyond_random.level == found.rows[1].beyond_vector.level == pytest.approx(0.975)
    assert found.reconstruction.steered_tokens > 0 and len(found.samples) == 3
    assert all(row.random_sizes == pytest.approx([row.size.relative], rel=0.01) for row in found.rows)
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["verdict"] == found.verdict and "reconstruction" in (tmp_path / "report.md").read_text()
    assert verify_run(tmp_path / "run") == []
    assert feature_report(plan, sae, tmp_path, **asked).to_json() == found.to_json()


def studied(shift, randoms, low, high, *, strength=1.0):
    """A row with a shift (± 0.01), those of single random features, and what is beyond their mean."""

    def arm(name, value):
        its = {measure: Estimate(value, value - 0.01, value + 0.01, n=100) for measure in MEASURES}
        return StudiedArm(name, "", its, its, 1)

    controls = tuple(arm(f"random features {i + 1}: {i}", value) for i, value in enumerate(randoms))
    beyond = Estimate(shift - sum(randoms) / len(randoms), low, high, n=100)
    return StrengthRow(
        strength, ChangeSize(0.3, {3: 0.1}, 100), arm("features", shift), beyond, Estimate(0.0, -0.01, 0.01, n=100),
        controls,
    )  # fmt: skip


def test_a_verdict_says_what_is_shown_and_what_is_not():
    rebuilt = studied(0.0, [0.0], -0.01, 0.01).arm
    shown = _verdict("checking", [studied(0.09, [0.0, 0.01], 0.05, 0.12)], rebuilt)
    assert shown.startswith("At strength 1 the features move the rate of checking by +0.090 [+0.080, +0.100]")
    assert "0 of 2 random features move it as far (+0.000 to +0.010, median +0.005; p = 0.33)" in shown
    assert "(not shown)" in shown
    for row in (
        studied(0.02, [0.0, 0.01], -0.01, 0.03),  # an interval with 0 in it
        studied(0.09, [-0.02, 0.11], 0.01, 0.08),  # more than their mean, less than one of them
        studied(-0.09, [-0.1, 0.05], -0.12, -0.01),
    ):
        told = _verdict("checking", [row], rebuilt)
        assert "is not shown: at strength 1" in told and "nothing" not in told
    both = [studied(0.3, [0.0, 0.4], 0.05, 0.2), studied(0.09, [0.0], 0.05, 0.12, strength=0.5)]
    assert _verdict("checking", both, rebuilt).startswith("At strength 0.5 "), "the larger one is not shown"


def test_plans_that_cannot_be_are_refused():
    ablation = (FeatureChange(3, "ablate"),)
    for asked, told in (
        ({"changes": ()}, "no feature is named"),
        ({"changes": ablation, "strengths": (1.0, 2.0)}, "only clamp and add have strengths"),
        ({"changes": ablation, "n_problems": 4}, "too few for an interval"),
        ({"changes": ablation, "n_random": 0}, "take 1 or more"),
    ):
        with pytest.raises(UserError, match=told):
            FeaturePlan(**asked)
