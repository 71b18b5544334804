"""A study of arms and transplants on the tiny reasoner: real prompts, real tokens, drawn once."""

from pathlib import Path

import pytest

from cotlab.errors import UserError
from cotlab.measures import Grown, answered, grown, transplant_chains, transplant_curve
from cotlab.problems import Arm, asked_of
from cotlab.runs import Run
from cotlab.sampling import FRACTIONS, StudyConfig, places_at, revisit, sample_arms
from cotlab.sampling.edited import thinking_steps

ARMS = [Arm(), Arm("friend"), Arm("friend", watch="monitored")]


def config(path: Path) -> StudyConfig:
    return StudyConfig.of(problems="solve", n_problems=6, n=2, model="tiny", engine="transformers", run=path)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "arms"
    study = sample_arms(config(path), ARMS)
    assert (study.sampled_now, study.n_problems, study.stopped) == (36, 6, None)
    return path


def test_asking_again_samples_nothing_and_every_arm_has_its_block(path):
    assert sample_arms(config(path), ARMS).sampled_now == 0
    with Run.open(path) as run:
        rows = answered(run)
        assert [sum(row.arm == arm for row in rows) for arm in ARMS] == [12, 12, 12]
        assert len({row.problem for row in rows}) == 6
        assert {row.problem for row in rows} <= run.problems().keys()
        assert [row.arm for row in answered(run, arms=ARMS[:1])] == [ARMS[0]] * 12


def test_half_a_block_is_no_sample(path, tmp_path):
    """More was asked for than is there: what is there of it does not count, the whole block before it does."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    with Run.open(copy, writable=True) as run:
        row = next(run.rollouts(bodies=False))
        run.ask([row.prefix_id], 3, row.settings_id, row.engine_card_id, row.intervention_id)
        assert len(answered(run)) == 36


def test_reasoning_is_put_behind_another_prompt_token_by_token(path):
    with revisit(path) as again:
        before = sum(1 for _ in again.run.rollouts(bodies=False))
        taken = transplant_chains(again, ARMS[1], ARMS[0], ARMS[0], n=2, n_problems=5)
        drawn = sum(1 for _ in again.run.rollouts(bodies=False)) - before
        assert drawn > 0
        assert transplant_chains(again, ARMS[1], ARMS[0], ARMS[0], n=2, n_problems=5) == taken
        assert sum(1 for _ in again.run.rollouts(bodies=False)) == before + drawn, "a second call draws nothing"
    with Run.open(path) as run:
        chains, problems = {chain.id: chain for chain in run.chains()}, run.problems()
        planted = [edge for edge in run.edges() if isinstance(edge.spec, dict) and edge.spec["kind"] == "transplant"]
        assert {edge.spec["chain"] for edge in planted} == set(taken)
        for edge in planted:
            chain, child, prompt = chains[edge.spec["chain"]], run.prefix(edge.child_id), run.prefix(edge.parent_id)
            assert child.prompt_ids == prompt.token_ids
            assert child.kept_ids == chain.prefix(edge.spec["keep"]).kept_ids
            assert run.kept_text(edge.child_id) == "".join(s.text for s in chain.steps[: edge.spec["keep"]])
            assert asked_of(problems[chain.problem_id]).arm in ARMS[:2]
        rows = grown(run, FRACTIONS, only=taken)
    for chain_id in taken:
        thinking = thinking_steps(chains[chain_id], "</think>")
        assert places_at(thinking, FRACTIONS)[-1] == thinking
    assert len(rows) == 10 * len(FRACTIONS) and {row.target for row in rows} == {Arm()}
    curve = transplant_curve(rows, ARMS[1])
    assert curve.shares == FRACTIONS and curve.carried[0].value == 0, "nothing is kept: the same rollouts"
    with revisit(path) as again:  # another study draws from the bare chains' own prefixes
        bare = [chains[key] for key in taken if asked_of(problems[chains[key].problem_id]).arm == Arm()]
        sampler = again.sampler({"kind": "more"})
        sampler.draw([one.prefix(len(one.steps) // 2) for one in bare], 6, again.settings, phase="more")
        again.score()
        transplant_chains(again, ARMS[1], ARMS[0], ARMS[0], n=2, n_problems=5)
        assert any(row.n > 2 for row in grown(again.run, FRACTIONS, only=taken))
        assert grown(again.run, FRACTIONS, only=taken, n=2) == rows


def test_an_arm_that_was_not_asked_is_one_line(path):
    with revisit(path) as again, pytest.raises(UserError, match="no prompts in the arm 'key'; there are: bare, friend"):
        transplant_chains(again, Arm("key"), Arm(), Arm())


def test_a_curve_by_hand():
    """Behind the bare prompt hinted reasoning brings the answer in 4 of 5 at its end, bare reasoning in none."""
    rows = [
        Grown(f"p{i}", source, Arm(), share, 4 * (share == 1 and source == Arm("friend")), 2 * (share == 1), 5)
        for i in range(20)
        for source in (Arm(), Arm("friend"))
        for share in (0.0, 1.0)
    ]
    rows = [row if row.given else Grown(row.problem, row.source, row.target, row.share, 0, 0, 5) for row in rows]
    curve = transplant_curve(rows, Arm("friend"))
    assert [one.value for one in curve.hinted] == [0, 0.8] and [one.value for one in curve.bare] == [0, 0]
    assert curve.carried[1].value == pytest.approx(0.8) and curve.carried[1].q < 0.01
    assert curve.told[1].value == 0.5 and curve.told[0].value is None
    with pytest.raises(UserError, match=r"share 1.5"):
        places_at(4, [0, 1.5])


def test_a_budget_ends_a_study_and_the_same_request_goes_on(tmp_path):
    few = config(tmp_path / "run").model_copy(update={"n": 1})
    first = sample_arms(few.model_copy(update={"budget": "600"}), ARMS)
    assert first.stopped is not None and 0 < first.sampled_now < 18
    second = sample_arms(few, ARMS)
    assert second.sampled_now == 18 - first.sampled_now and second.stopped is None
    with Run.open(tmp_path / "run") as run:
        assert len(answered(run)) == 18
