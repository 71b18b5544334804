"""Categories as scores on the steps of a real run."""

import json
import subprocess
import sys

import pytest
from markov_runs import MarkovStudy

from cotlab.categories import MODEL_ID, CategoryModel, score_categories
from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.engines.markov_specs import staircase
from cotlab.errors import UserError


@pytest.fixture
def study(tmp_path):
    made = MarkovStudy(tmp_path / "run", staircase((0.0, 0.4)))
    with made.run:
        yield made


def test_every_step_is_scored_once(study):
    chain = study.main_path(*study.problem("Climb."))
    assert score_categories(study.run, CategoryModel.load()) == len(chain.steps)
    found = {score.subject_id: score.value for score in study.run.scores("step", MODEL_ID)}
    assert set(found) == {f"{chain.id}/{step.idx}" for step in chain.steps}
    tags = [step.idx for step in chain.steps if step.text.strip() == "</think>"]
    assert all(found[f"{chain.id}/{idx}"] == {"category": "unknown", "backtracks": None} for idx in tags)
    assert found[f"{chain.id}/{len(chain.steps) - 1}"]["category"] == "final_answer_emission"
    assert score_categories(study.run, CategoryModel.load()) == 0


def test_steps_that_are_tokens_have_no_category(study):
    problem, prompt = study.problem("Climb.")
    (rollout,) = study.draw(prompt, [0])
    cutter = get_cutter("tokens")
    steps = cutter.cut(rollout.token_ids, study.engine.tokenizer)
    study.run.add_chain(Chain(problem.id, rollout.id, prompt.token_ids, rollout.token_ids, cutter.id, steps, "random"))
    with pytest.raises(UserError, match="cut into tokens: categories are of sentences"):
        score_categories(study.run, CategoryModel.load())


def test_the_command_scores_and_says_what_cannot_be(study):
    study.main_path(*study.problem("Climb."))
    folder = str(study.run.path)
    study.run.close()

    def cotlab(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "cotlab", "score", folder, *arguments], capture_output=True, text=True, check=False
        )

    first = cotlab("categories", "--json")
    document = json.loads(first.stdout)
    assert document["scorer"] == MODEL_ID and document["scored_now"] == sum(document["categories"].values()) > 0
    for arguments, told in (
        (("categories", "--judge", "http://127.0.0.1:9/v1"), "--judge needs --judge-model"),
        (("categories", "--judge", "http://127.0.0.1:9/v1", "--judge-model", "m"), "no answer from the judge"),
        (("answers", "--judge", "http://127.0.0.1:9/v1"), "--judge is for categories of steps"),
    ):
        refused = cotlab(*arguments)
        assert refused.returncode == 2 and told in refused.stderr and refused.stderr.count("\n") == 1
