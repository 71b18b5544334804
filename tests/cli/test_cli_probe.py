"""`cotlab probe` on a run of the tiny reasoner."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import cotlab, fault

import cotlab as ct
from cotlab.whitebox import Probe


def test_probes_are_judged_saved_and_told_as_json(sampled, tmp_path):
    asked = [
        "--label",
        "backtracks-next",
        "--hook",
        "resid_post:2",
        "--shuffles",
        "2",
        "--save",
        str(tmp_path),
        "--json",
    ]
    code, out, err = cotlab("probe", str(sampled), *asked, "--method", "mass-mean", "--random-weights")
    assert code == 0, err
    document = json.loads(out)
    (row,), (control,) = document["rows"], document["random_weights"]
    assert row["hook"] == "resid_post:2" and row["auc"]["n"] == control["auc"]["n"] > 50
    assert row["auc"]["value"] > 0.6 and row["auc"]["low"] <= row["auc"]["value"] <= row["auc"]["high"]
    probe = Probe.load(document["probes"][0])
    assert (probe.card.label, probe.card.model, probe.card.n_problems) == ("backtracks-next", "tiny", 8)


def test_faults_are_one_line(sampled):
    for asked, said in (
        (["--label", "mood"], "unknown label 'mood': choose one of correct"),
        (["--label", "category:poem"], "unknown category 'poem'"),
        (["--label", "reachable", "--hook", "resid_post:9"], "the model has 4 layers"),
        (["--label", "reachable", "--hook", "here"], "not understood"),
        (["--label", "reachable", "--method", "deep"], "unknown probe method 'deep'"),
        (["--label", "truncated"], "same label"),
    ):
        code, _, err = cotlab("probe", str(sampled), *asked)
        lines = [line for line in err.splitlines() if line.startswith("cotlab: ")]
        assert code == 2 and len(lines) == 1 and said in lines[0], err


def test_a_saved_probe_is_followed_along_a_chain(sampled, tmp_path):
    asked = [
        "--label",
        "reachable-ahead",
        "--hook",
        "resid_post:2",
        "--shuffles",
        "0",
        "--save",
        str(tmp_path),
        "--json",
    ]
    code, out, err = cotlab("probe", "fit", str(sampled), *asked)
    assert code == 0, err
    (saved,) = json.loads(out)["probes"]
    figure = tmp_path / "figures" / "curve.svg"
    code, out, err = cotlab("probe", "curve", str(sampled), "--probe", saved, "--out", str(figure), "--json")
    assert code == 0, err
    (curve,) = json.loads(out)["curves"]
    assert curve["seen"] and all(0 <= p <= 1 for p in curve["tokens"])
    assert [curve["tokens"][step["end"]] for step in curve["steps"]] == [step["p"] for step in curve["steps"]]
    assert figure.read_text().startswith("<svg") and "reachable-ahead" in figure.read_text()
    code, out, err = cotlab("probe", "curve", str(sampled), "--probe", saved)
    assert code == 0 and "probability at the end of each step" in out and "flatters" in err


@pytest.mark.slow
def test_leaving_early_is_judged_and_its_answers_are_drawn_once(sampled):
    asked = [
        "--hook",
        "resid_post:2",
        "--engine",
        "transformers",
        "-n",
        "16",
        "--shuffles",
        "2",
        "--threshold",
        "0.5,0.99",
    ]
    code, out, err = cotlab("probe", "exit", str(sampled), *asked, "--json")
    assert code == 0, err
    document = json.loads(out)
    low, high = document["rows"]
    assert document["problems"] == 8 and low["saved"]["value"] >= high["saved"]["value"]
    assert set(low["controls"]) == {"wording", "place", "blind"} and low["lost"]["n"] == document["chains"]
    with ct.Run.open(sampled) as run:
        before = run.summary().rollouts
    assert cotlab("probe", "exit", str(sampled), *asked)[0] == 0
    with ct.Run.open(sampled) as run:
        assert run.summary().rollouts == before


def test_faults_of_curves_and_exits_are_one_line(sampled, tmp_path):
    for asked, said in (
        (["curve", str(sampled), "--probe", "nowhere.safetensors"], "no probe at nowhere.safetensors"),
        (["exit", str(sampled), "--hook", "here"], "not understood"),
        (["exit", str(sampled), "--hook", "resid_post:2", "--threshold", "high"], "thresholds 'high' not understood"),
        (["exit", str(sampled), "--hook", "resid_post:9", "--engine", "transformers"], "the model has 4 layers"),
    ):
        code, _, err = cotlab("probe", *asked)
        lines = [line for line in err.splitlines() if line.startswith("cotlab: ")]
        assert code == 2 and len(lines) == 1 and said in lines[0], err


def test_too_few_problems_are_told_before_an_answer_is_forced(tmp_path):
    run = shutil.copytree(Path(__file__).parents[2] / "apps" / "workbench" / "sample", tmp_path / "run")
    with ct.Run.open(run) as store:
        before = store.summary().rollouts
    assert "4 problems with examples, at least 5 are needed" in fault(
        "probe", "exit", run, "--hook", "resid_post:2", "--engine", "transformers"
    )
    with ct.Run.open(run) as store:
        assert store.summary().rollouts == before
