"""hints, watched, transplant and monitor as a user meets them: real processes on the tiny reasoner."""

import json
import subprocess
import sys

import pytest

COTLAB = [sys.executable, "-m", "cotlab"]


def cotlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COTLAB, *arguments], capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("hints", "--kinds", "colleague"), "unknown 'colleague' in an arm: choose one of friend"),
        (("hints", "--kinds", "friend,friend", "--run", "/nowhere/x"), "name each once"),
        (("watched", "--scenarios", "shipped"), "give --judge URL"),
        (("hints", "--judge", "ftp://x", "--run", "/nowhere/x"), "is no http address"),
        (("transplant", "/nowhere/x"), "there is no run /nowhere/x"),
        (("monitor", "/nowhere/x", "--task", "seen"), "unknown task 'seen': choose one of used, shaped"),
        (("monitor", "/nowhere/x", "--first", "half"), "first 'half' not understood"),
    ],
)
def test_a_fault_is_one_line(arguments, told):
    done = cotlab(*arguments)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert told in line


@pytest.mark.slow
def test_a_run_of_hints_is_asked_once_and_looked_at_in_every_way(tmp_path):
    run = str(tmp_path / "run")
    asked = (
        "hints",
        "--model",
        "tiny",
        "--problems",
        "solve",
        "--n-problems",
        "12",
        "-n",
        "1",
        "--right",
        "--run",
        run,
    )
    asked = (*asked, "--kinds", "friend,key", "--engine", "transformers", "--json")
    first = json.loads(cotlab(*asked).stdout)
    assert first["sampled_now"] == 60 and [one["arm"] for one in first["arms"]] == [
        "friend",
        "friend:right",
        "key",
        "key:right",
    ]
    assert json.loads(cotlab(*asked).stdout) == first | {"sampled_now": 0}
    done = cotlab("transplant", run, "--chains", "6", "-n", "2", "--shares", "0,1", "--json")
    curve = json.loads(done.stdout)
    assert curve["shares"] == [0.0, 1.0] and curve["carried"][0]["value"] == 0, done.stderr
    seen = json.loads(cotlab("monitor", run, "--task", "shaped", "--hook", "resid_post:2", "--json").stdout)
    assert {one["monitor"] for one in seen["problems"]} >= {"words", "tfidf", "probe resid_post:2"}
    few = ("--problems", "solve", "--n-problems", "6", "-n", "1", "--engine", "transformers")
    watched = cotlab("watched", *few, "--run", str(tmp_path / "watched"))
    assert "behaves differently when watched: not shown" in watched.stdout
