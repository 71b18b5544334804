"""hints, watched, transplant and monitor from the command line, on the tiny reasoner."""

import pytest
from command_line import document, fault, shown

SHIPPED = "tiny:honest/resid_post:2"


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
    assert told in fault(*arguments)


@pytest.mark.slow
def test_a_run_of_hints_is_asked_once_and_looked_at_in_every_way(tmp_path):
    run = tmp_path / "run"
    few = ("--problems", "solve", "-n", 1, "--engine", "transformers")
    asked = ("hints", *few, "--n-problems", 12, "--right", "--run", run, "--kinds", "friend,key")
    first = document(*asked)
    arms = ["friend", "friend:right", "key", "key:right"]
    assert first["sampled_now"] == 60 and [one["arm"] for one in first["arms"]] == arms
    assert document(*asked) == first | {"sampled_now": 0}
    curve = document("transplant", run, "--chains", 6, "-n", 2, "--shares", "0,1")
    assert curve["shares"] == [0.0, 1.0] and curve["carried"][0]["value"] == 0
    inside = ("--hook", "resid_post:2", "--sae", SHIPPED, "--lens", 3)
    seen = document("monitor", run, "--task", "shaped", *inside, "--first", 1)
    names = {"words", "tfidf", "probe resid_post:2", f"features {SHIPPED}", "lens 3"}
    assert {one["monitor"] for one in seen["problems"]} >= names and seen["missing"] == {}
    assert {one["monitor"] for one in seen["first"]["1"]["reports"]} >= names
    (sae,) = seen["saes"].values()
    assert sae["transferred_from"] is None and sae["l0"]["low"] > 1 and sae["k"] == 16
    assert sum(one["folds"] == one["of"] for one in sae["chosen"]) > 0
    assert "resid_post:9" in fault("monitor", run, "--lens", 9)
    assert "--transfer" in fault("monitor", run, "--sae", SHIPPED, "--model", "tiny:hides-it")
    told = shown("watched", *few, "--n-problems", 6, "--run", tmp_path / "watched")
    assert "behaves differently when watched: not shown" in told
