"""forks, determinism and progress from the command line, on the markov engine."""

from pathlib import Path

import pytest
from command_line import document, fault, shown

STUDY = "--model markov:lucky --question Climb. --answer 7 --base first-right --cutter lines --temperature 1 --top-p 1"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("cli") / "run")
    shown("resample", *STUDY.split(), "-n", "40", "--run", folder)
    return folder


def test_progress_gives_a_verdict_with_its_reason(run):
    (chain,) = document("progress", run)["chains"]
    assert chain["verdict"] in ("lucky", "steady", "undecided") and chain["reason"]
    change, share = chain["change"], chain["share"]
    assert change["low"] <= change["value"] <= change["high"]
    assert share["value"] is None and share["reason"] == chain["reason"], "by rollouts alone V does not move here"
    assert chain["variation"]["null_q95"] > 0
    table = shown("progress", run)
    assert chain["verdict"] in table and chain["chain"][:8] in table


def test_determinism_and_its_control_which_a_second_call_does_not_draw_again(run):
    (chain,) = document("determinism", run, "--control", "4", "--positions", "0,2")["chains"]
    assert [row["position"] for row in chain["positions"]] == list(range(len(chain["positions"])))
    assert all(row["agreement"]["low"] <= row["agreement"]["high"] for row in chain["positions"])
    assert [row["position"] for row in chain["control"]] == [0, 2]
    assert all(row["across"]["value"] == 1 for row in chain["control"])
    before = document("runs", "show", run)["rollouts"]
    assert "temperature 0" in shown("determinism", run, "--control", "4", "--positions", "0,2")
    assert document("runs", "show", run)["rollouts"] == before


def test_forks_with_branches_sample_once_and_a_dry_run_nothing(run):
    before = document("runs", "show", run)["rollouts"]
    plan = document("forks", run, "--branches", "50", "--dry-run")
    assert plan["rollouts"] > 0 and document("runs", "show", run)["rollouts"] == before
    (chain,) = document("forks", run, "--branches", "50")["chains"]
    assert document("runs", "show", run)["rollouts"] == before + plan["rollouts"]
    assert all(sum(row) == pytest.approx(1) for row in chain["smooth"])
    assert len(chain["positions"]) == len(chain["raw"]) == len(chain["draws"])
    assert any(token["pivotal"] for token in chain["tokens"])
    assert "pivotal tokens" in shown("forks", run)


def test_one_condition_must_be_chosen_where_there_are_two(run):
    shown("resample", *STUDY.replace("--top-p 1", "--top-p 0.9").split(), "-n", "12", "--run", run)
    assert "Choose one" in fault("progress", run)
    wrong = fault("progress", run, "--condition", "zz:zz")
    assert "no rollouts are under condition 'zz:zz'" in wrong
    for name in (wrong.split("--condition: ")[1].split(" ")[0], "top_p=0.9"):
        for command in ("progress", "determinism"):
            assert document(command, run, "--condition", name)["chains"]


@pytest.mark.parametrize("command", ["forks", "determinism", "progress"])
def test_faults_are_one_line(run, command, tmp_path: Path):
    for arguments, message in (
        ((str(tmp_path / "none"),), "there is no run"),
        ((run, "--chain", "zz"), "no chain 'zz'"),
        ((run, "--scorer", "nobody", "--condition", "top_p=0.9"), "scorer 'nobody' has given no verdict"),
    ):
        assert message in fault(command, *arguments)
