"""The driver of the question lab: asked twice it draws once, a budget is kept, reasoning that is cut off is told."""

import json
import logging
import os
import shutil

import numpy as np
import pytest
from scipy.stats import binomtest

import cotlab as ct
from cotlab.errors import UserError
from cotlab.reports import read_experiment
from experiments import lab as lab_module
from experiments.__main__ import main
from experiments.deterministic.regenerated import Regeneration, exchanged, p_of, shuffled
from experiments.lab import HERE, Lab, questions, read_config


def rollouts(folder):
    found = {}
    for path in sorted(folder.glob("**/run.json")):
        with ct.Run.open(path.parent) as run:
            found[path.parent.name] = {row.id for row in run.rollouts(bodies=False)}
    return found


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    problems = tmp_path_factory.mktemp("problems") / "climb.jsonl"
    problems.write_text("\n".join(json.dumps({"question": f"Climb {k}.", "answer": "7"}) for k in range(6)))
    return ["deterministic", "--model", "markov:branching", "--problems", str(problems), "--quiet"]


@pytest.fixture(scope="module")
def whole(asked, tmp_path_factory):
    """The question, answered without a disturbance."""
    out = tmp_path_factory.mktemp("whole")
    assert main([*asked, "--budget", "small", "--out", str(out)]) == 0
    return out


def test_every_question_has_what_a_question_needs():
    assert {"lucky", "deterministic", "backtracking", "sentences"} <= set(questions())
    for name in questions():
        config = read_config(name)
        assert config.question.endswith("?")
        assert (HERE / name / "README.md").is_file()
        assert config.sizes["small"].keys() == config.sizes["full"].keys()


def test_a_question_is_answered_and_asked_again_draws_nothing(asked, whole, capsys):
    folder = whole / "deterministic"
    found = read_experiment(folder)
    assert found.model == "markov:branching"
    assert found.null_rate[0].n >= 100
    null = found.null_rate[0]
    assert binomtest(null.found, null.n, null.allowed, alternative="greater").pvalue > 0.001
    assert found.rollouts > 0
    assert found.commands[0].startswith("python -m experiments deterministic --model markov:branching")
    assert all((folder / name).read_text().startswith("<svg") for name in found.figures)
    assert "# How much is fixed" in (folder / "results.md").read_text()
    before = rollouts(whole)
    assert main([*asked, "--budget", "small", "--out", str(whole)]) == 0
    assert "planted truths recovered" in capsys.readouterr().out
    assert rollouts(whole) == before
    again = read_experiment(folder)
    assert [one.model_dump() for one in again.estimates] == [one.model_dump() for one in found.estimates]


def test_what_was_interrupted_goes_on(asked, whole, tmp_path, monkeypatch):
    """A run that stops after a third of its rollouts gives, asked again, what an undisturbed one gives."""
    out = ["--budget", "small", "--out"]
    from cotlab.engines.markov import MarkovEngine

    sample, left = MarkovEngine.sample, [150]

    def dying(self, requests):
        for result in sample(self, requests):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(MarkovEngine, "sample", dying)
        assert main([*asked, *out, str(tmp_path / "cut")]) == 130
    half = rollouts(tmp_path / "cut")
    assert 0 < sum(map(len, half.values())) < sum(map(len, rollouts(whole).values()))
    assert main([*asked, *out, str(tmp_path / "cut")]) == 0
    assert rollouts(tmp_path / "cut") == rollouts(whole)
    assert all(half[name] <= rollouts(tmp_path / "cut")[name] for name in half)
    found, calm = (read_experiment(out / "deterministic") for out in (tmp_path / "cut", whole))
    assert found.estimates == calm.estimates
    assert found.null_rate == calm.null_rate


def test_a_budget_is_kept_and_told(asked, tmp_path):
    assert main([*asked, "--budget", "2k", "--out", str(tmp_path / "out")]) == 0
    found = read_experiment(tmp_path / "out" / "deterministic")
    assert any("budget" in line for line in found.warnings)
    with ct.Run.open(tmp_path / "out" / "deterministic" / "run") as run:
        assert run.summary().tokens <= 2_500


@pytest.mark.parametrize("budget", ["60", "300"])
def test_a_budget_that_ends_the_toys_is_no_crash(asked, tmp_path, budget):
    """What was not drawn is told as such: no row is made of half of a toy."""
    assert main(["lucky", *asked[1:], "--budget", budget, "--out", str(tmp_path / "out")]) == 0
    found = read_experiment(tmp_path / "out" / "lucky")
    toys = [one for one in found.recovered if one.planted == "known at every position"]
    assert len(toys) == 4 and all(one.ok is None for one in toys)
    assert all(str(one.value).startswith("rollouts at ") for one in toys)


def test_faults_are_one_line(asked, tmp_path, capsys):
    assert main(["nothing"]) == 2
    assert "no question 'nothing': choose one of" in capsys.readouterr().err
    assert main([*asked, "--budget", "soon", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "budget 'soon' not understood" in told and "or a size that deterministic has: small, full" in told
    for wrong, said in (
        (["--model", "./nowhere"], "model folder './nowhere' does not exist"),
        (["--model", "markov:ladder"], "'ladder'"),
        (["--engine", "steam"], "unknown engine 'steam'"),
        (["--problems", "riddles"], "unknown problem set 'riddles'"),
    ):
        assert main([*asked, "--budget", "small", *wrong, "--out", str(tmp_path / "none")]) == 2
        told = capsys.readouterr().err
        assert said in told and told.count("\n") == 1
    assert not (tmp_path / "none").exists()
    assert main([*asked, "--budget", "small", "--publish", "--out", str(tmp_path)]) == 2
    assert "not with --budget small" in capsys.readouterr().err
    assert main([]) == 0
    assert "How much is fixed" in capsys.readouterr().out


def test_torch_is_held_back_before_it_is_loaded(monkeypatch):
    monkeypatch.delenv("TORCH_CPP_LOG_LEVEL", raising=False)
    logger = logging.getLogger("torch._library.triton")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    assert main([]) == 0
    assert os.environ["TORCH_CPP_LOG_LEVEL"] == "ERROR" and logger.level == logging.ERROR


def test_a_config_without_a_size_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "questions" / "deterministic"
    shutil.copytree(HERE / "deterministic", folder)
    config = json.loads((folder / "config.json").read_text())
    del config["sizes"]["small"]
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(lab_module, "HERE", folder.parent)
    with pytest.raises(UserError, match="no sizes for small"):
        read_config("deterministic")


def test_sizes_are_checked(tmp_path):
    config = read_config("deterministic")
    lab = Lab("deterministic", config, "tiny", "countdown", "small", tmp_path)
    assert lab.number("n") == config.sizes["small"]["n"]
    with pytest.raises(UserError, match="has no 'more' under sizes.small"):
        lab.number("more")
    with pytest.raises(UserError, match="expected a whole number"):
        lab.number("similarity")
    with pytest.raises(ValueError, match="share"):
        lab.part(0)


def test_reasoning_that_is_cut_off_is_a_warning_and_no_accuracy(tmp_path):
    """The tiny reasoner with room for twelve tokens: every rollout is cut off."""
    out = ["--max-tokens", "12", "--engine", "transformers", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(["lucky", "--budget", "small", *out]) == 0
    found = read_experiment(tmp_path / "out" / "lucky")
    assert any("cut off by the token limit" in line for line in found.warnings)
    accuracy = next(one for one in found.estimates if one.name == "accuracy without any step kept")
    assert accuracy.value is None
    assert "ran into the token limit" in accuracy.reason
    assert all(one.value is None for one in found.estimates if one.name == "accuracy of an answer forced")
    assert "> **Warning.**" in (tmp_path / "out" / "lucky" / "results.md").read_text()


def test_the_analysis_of_exchanged_answers_keeps_its_level():
    """Answers that do not depend on the place, of few values (ties): p is below .05 in a twentieth at most."""
    rng, rejected = np.random.default_rng(0), 0
    for study in range(150):
        found = [
            Regeneration(str(k), 1.0, (), {part: tuple(rng.choice(list("ab"), 12).tolist()) for part in (0.0, 1.0)})
            for k in range(5)
        ]
        rate = shuffled(found, 1.0, 100, study) if study < 5 else None
        assert rate is None or rate.found <= 13
        drawn = exchanged(found, 1.0, 200, study)
        rejected += p_of(drawn[0], drawn[1:]) < 0.05
    assert rejected / 150 < 0.1
