"""Branches and the behaviour report, small, on the tiny reasoner; and a planted direction."""

import json

import numpy as np
import pytest

from cotlab.errors import UserError
from cotlab.interventions import HookPoint, SteeringVector, VectorCard
from cotlab.runs import Run, verify_run
from cotlab.sampling import StudyConfig, run_study
from cotlab.trees import add_interventions, build_tree, intervention_branches
from cotlab.whitebox import StudyPlan, steer_report
from cotlab.whitebox.branching import answer_shift
from cotlab.whitebox.steering_study import steer_branch

pytestmark = pytest.mark.timeout(900)


def random_vector():
    directions = np.random.default_rng(1).standard_normal((1, 256)).astype(np.float32)
    return SteeringVector((HookPoint("resid_post", 1),), directions, VectorCard(name="noise", mean_norms=(200.0,)))


def test_a_branch_lands_in_the_run_and_in_the_tree(tmp_path):
    asked = {"problems": "countdown", "n_problems": 1, "n": 6, "engine": "transformers", "positions": "0,1"}
    run_study(StudyConfig.of(**asked, run=tmp_path / "run", max_tokens=120))
    steer = {"step": 1, "doses": (2.0,), "n": 6, "n_random": 1, "engine": "transformers"}
    result = steer_branch(tmp_path / "run", random_vector(), **steer)
    assert [arm.name.split(",")[0] for arm in result.arms] == ["dose 2", "wrong sign", "random 1"]
    assert all(arm.n == 6 and arm.steered_tokens > 0 and arm.answers.null_q95 is not None for arm in result.arms)
    assert verify_run(tmp_path / "run") == []
    with Run.open(tmp_path / "run") as run:
        (chain,) = run.chains()
        before = run.summary().rollouts
        branches = intervention_branches(run, chain, scorer_id="answers")
        tree = build_tree(run, scorer_id="answers")
        assert add_interventions(tree, run, chain, scorer_id="answers") == 3
        edges = [edge for _, _, edge in tree.edges(data=True) if edge["kind"] == "intervene"]
        seeds = {r.intervention_id: {} for r in run.rollouts(prefix_id=result.prefix_id, bodies=False)}
        for row in run.rollouts(prefix_id=result.prefix_id, bodies=False):
            seeds[row.intervention_id][row.sample_idx] = row.seed
    assert {branch.step for branch in branches} == {1} and len(edges) == 3
    assert len(seeds) == 4 and len({tuple(sorted(its.items())) for its in seeds.values()}) == 1, (
        "arms are paired by seed"
    )
    again = steer_branch(tmp_path / "run", random_vector(), **steer)
    assert again.to_json() == result.to_json()
    with Run.open(tmp_path / "run") as run:
        assert run.summary().rollouts == before, "asked again, nothing is sampled"
    with pytest.raises(UserError, match="lies beyond the chain"):
        steer_branch(tmp_path / "run", random_vector(), **{**steer, "step": 999})


@pytest.mark.slow
def test_the_report_says_of_noise_that_it_does_nothing(tmp_path):
    plan = StudyPlan(doses=(0.05,), n_problems=6, n=2, n_random=2, rank=2)
    result = steer_report(plan, tmp_path, engine="transformers", vector=random_vector(), max_tokens=150)
    document = json.loads((tmp_path / "report.json").read_text())
    assert document == json.loads(json.dumps(result.to_json()))
    assert {"behaviour", "layer", "hook", "norm", "baseline", "doses", "verdict"} <= document.keys()
    (row,) = document["doses"]
    assert {"dose", "rate", "accuracy", "tokens", "truncated", "repetition", "steered_tokens"} <= row.keys()
    assert {kind: len(its) for kind, its in row["controls"].items()} == {"random": 2, "wrong_sign": 1, "prompt": 1}
    assert (
        row["steered_tokens"] > 0 and "does nothing" in document["verdict"] and document["rank_p"] in (1 / 3, 2 / 3, 1)
    )
    assert "| no steering |" in (tmp_path / "report.md").read_text()
    with Run.open(tmp_path / "run") as run:
        before = run.summary().rollouts
    steer_report(plan, tmp_path, engine="transformers", vector=random_vector(), max_tokens=150)
    with Run.open(tmp_path / "run") as run:
        assert run.summary().rollouts == before


def test_the_answer_shift_finds_what_is_there_and_nothing_where_nothing_is():
    rng = np.random.default_rng(0)
    same = [list(rng.choice(["a", "b", "c"], 80)) for _ in range(2)]
    assert answer_shift(*same).p > 0.05
    moved = ["a" if rng.random() < 0.6 else key for key in same[0]]
    found = answer_shift(same[0], moved)
    assert found.p < 0.01 and found.value > found.null_q95
    assert answer_shift(["a"], ["b"]).reason == "1 pairs, at least 5 are needed"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"doses": ()}, "give numbers above 0"),
        ({"doses": (0.1, -0.1)}, "give numbers above 0"),
        ({"n_problems": 3}, "too few for an interval"),
        ({"n_random": 1}, "take 2 or more"),
    ],
)
def test_plans_are_checked(asked, told):
    with pytest.raises(UserError, match=told):
        StudyPlan(**asked)
