"""Importance, edits and avoided steps from the command line, on the markov engine; and what cannot be."""

from pathlib import Path

import pytest
from command_line import cotlab, document, fault, shown

STUDY = ["resample", "--model", "markov:staircase", "--question", "Climb.", "--answer", "7", "--base", "random"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("importance") / "run"
    shown(*STUDY, "-n", "60", "--run", path)
    return path


@pytest.mark.parametrize("metric", ["delta-v", "kl", "tv"])
@pytest.mark.parametrize("measure", ["resampling", "counterfactual"])
def test_every_measure_gives_estimates(run: Path, measure: str, metric: str) -> None:
    found = document("importance", run, "--measure", measure, "--metric", metric)
    assert (found["measure"], found["metric"], found["variant"]) == (measure, metric, None)
    steps = found["chains"][0]["steps"]
    assert {"step", "until", "text", "value", "low", "high", "n", "null_q95", "p", "q", "reason"} <= set(steps[0])
    assert all((step["value"] is None) == (step["reason"] is not None) for step in steps)
    assert any(step["value"] is not None for step in steps)


def test_resampling_importance_is_that_of_the_study(run: Path) -> None:
    ours = document("importance", run)["chains"][0]["steps"]
    theirs = document(*STUDY, "-n", "60", "--run", run)["steps"]
    assert [step["value"] for step in ours] == [row["importance"]["resampling"]["value"] for row in theirs][: len(ours)]


def test_the_published_arithmetic_is_a_variant(run: Path) -> None:
    found = document("importance", run, "--measure", "counterfactual", "--metric", "kl", "--variant", "thought-anchors")
    steps = found["chains"][0]["steps"]
    assert all(step["value"] is not None for step in steps) and steps[-1]["reason"] == "no next chunk: published as 0"


def test_sentence_importance_shows_the_largest(run: Path) -> None:
    pairs = document("importance", run, "--measure", "sentence")["chains"][0]["steps"]
    assert {"step", "target"} <= set(pairs[0])
    said = shown("importance", run, "--measure", "sentence", "--most", "3")
    assert f"the largest 3 of {len(pairs)}" in said


def test_edits_land_in_the_same_run_and_are_not_sampled_twice(run: Path) -> None:
    asked = ("edit", run, "--step", "1", "--replace", " Hm.", "-n", "20")
    first, again = document(*asked), document(*asked)
    assert first["sampled_now"] == 20 and again["sampled_now"] == 0
    assert first["effect"] == again["effect"] and first["effect"]["value"] is not None
    assert first["edits"] == [{"kind": "replace", "policy": "off", "step": 1, "text": " Hm.\n"}]
    assert cotlab("runs", "verify", run).code == 0
    assert document("importance", run) == document("importance", run)


def test_edits_from_a_file_are_applied_together(run: Path, tmp_path: Path) -> None:
    edits = tmp_path / "edits.json"
    edits.write_text('[{"kind": "delete", "step": 0}, {"kind": "insert", "before": 2, "text": " Wait."}]')
    found = document("edit", run, "--edits", edits, "-n", "12")
    assert found["keep"] == 2 and found["kept_text"].endswith(" Wait.")
    assert found["effect"]["value"] is not None


def test_forced_answers_then_have_their_importance(tmp_path: Path) -> None:
    path = tmp_path / "run"
    cotlab(*STUDY, "-n", "12", "--run", path)
    assert "cotlab edit" in fault("importance", path, "--measure", "forced-answer")
    forced = document("edit", path, "--force-answer", "-n", "12")
    later = document("importance", path, "--measure", "forced-answer")["chains"][0]["steps"]
    assert forced["steps"] == later and later
    published = document("importance", path, "--measure", "forced-answer", "--variant", "thought-anchors")
    theirs = published["chains"][0]["steps"]  # without the rollouts that gave no answer, which are outcomes of ours
    assert [step["step"] for step in theirs] == [step["step"] for step in later]
    assert all(step["value"] is not None for step in theirs)


def test_avoided_steps(run: Path) -> None:
    found = document("avoid", run, "--steps", "1", "-n", "30")
    assert [row["measure"] for row in found["measures"]] == ["resilience", "necessity", "counterfactual++"]
    joint = document("avoid", run, "--steps", "0,1", "--joint", "-n", "30")
    assert [row["measure"] for row in joint["measures"]].count("interaction") == 1
    assert document("avoid", run, "--steps", "0,1", "--joint", "-n", "30")["sampled_now"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["importance", "--measure", "weight"], "'weight'"),
        (["importance", "--measure", "resilience"], "cotlab avoid"),
        (["importance", "--metric", "loss"], "'loss'"),
        (["importance", "--variant", "mine"], "'mine'"),
        (["importance", "--variant", "thought-anchors", "--metric", "tv"], "no metric 'tv'"),
        (["importance", "--variant", "thought-anchors", "--measure", "sentence"], "sentence"),
        (["importance", "--similarity", "vibes"], "'vibes'"),
        (["importance", "--similarity", "tiny-state"], "no exact states"),
        (["importance", "--scorer", "nobody"], "nobody"),
        (["importance", "--chain", "zzz"], "'zzz'"),
        (["edit"], "nothing to edit"),
        (["edit", "--step", "1", "--on-policy"], "--step and --replace"),
        (["edit", "--step", "1", "--on-policy", "--replace", "a", "--delete"], "not --delete"),
        (["edit", "--step", "99", "--on-policy", "--replace", "a"], "step 99"),
        (["edit", "--step", "1"], "--step alone"),
        (["edit", "--delete"], "--step with it"),
        (["edit", "--step", "1", "--delete", "--insert", "a"], "use one of"),
        (["edit", "--step", "99", "--delete"], "step 99"),
        (["edit", "--step", "1", "--delete", "--keep", "99"], "--keep 99"),
        (["edit", "--step", "1", "--insert", ""], "empty text"),
        (["edit", "--edits", "/nowhere.json"], "/nowhere.json"),
        (["edit", "--step", "1", "--delete", "--model", "markov:lucky"], "another engine"),
        (["avoid", "--steps", "x"], "'x'"),
        (["avoid", "--steps", "99"], "step 99"),
        (["avoid", "--steps", "1", "--joint"], "--joint"),
    ],
)
def test_a_users_fault_is_one_line(run: Path, arguments: list[str], said: str) -> None:
    assert said in fault(arguments[0], run, *arguments[1:])


def test_one_rollout_a_step_and_truncated_ones_give_reasons(tmp_path: Path) -> None:
    cotlab(*STUDY, "-n", "1", "--run", tmp_path / "one")
    for step in document("importance", tmp_path / "one", "--metric", "kl")["chains"][0]["steps"][:2]:
        assert step["value"] is None and "at least 10 are needed" in step["reason"]
    cotlab(*STUDY, "-n", "20", "--max-tokens", "3", "--run", tmp_path / "short")
    steps = document("importance", tmp_path / "short")["chains"][0]["steps"]
    assert steps and all("truncated" in step["reason"] for step in steps)


def test_two_conditions_in_one_run_are_one_line(tmp_path: Path) -> None:
    """The same chain drawn under other settings: which rollouts are meant is not for cotlab to guess."""
    greedy = [*STUDY[:-1], "greedy"]
    for temperature in ("1.0", "0.8"):
        shown(*greedy, "-n", "12", "--temperature", temperature, "--run", tmp_path / "run")
    for command in ("importance", "graph", "tree"):
        assert "2 conditions. Choose one with --condition" in fault(command, tmp_path / "run")
    assert "2 conditions" in fault("export", tmp_path / "run", tmp_path / "out", "--format", "math-rollouts")
    (chain,) = document("importance", tmp_path / "run", "--condition", "temperature=0.8")["chains"]
    assert chain["steps"][0]["n1"] == 12
    assert document("graph", tmp_path / "run", "--condition", "temperature=0.8")["rollouts"] < 120
    exported = ("export", tmp_path / "run", tmp_path / "out", "--format", "math-rollouts")
    written = document(*exported, "--condition", "temperature=0.8")["written"]
    assert any("temperature_0.8" in path for path in written)


def test_on_policy_edits_compare_rollouts_that_say_it_of_their_own_accord(run: Path) -> None:
    asked = ("edit", run, "--step", "1", "--on-policy")
    step = document("importance", run, "--measure", "counterfactual")["chains"][0]["steps"][1]
    found = document(*asked, "--replace", step["text"], "-n", "60")
    assert found["sampled_now"] == 0  # the study drew them
    n = found["share"]["n"]  # those begun at the prompt that pass through count as well
    assert n >= 60 and found["effect"]["n2"] == round(n * found["share"]["value"])
    assert found["effect"]["method"].endswith("on-policy")
    assert document(*asked, "--replace", step["text"], "-n", "80")["sampled_now"] == 20
    never = document(*asked, "--replace", "Never said.", "-n", "60")
    assert never["effect"]["value"] is None
    assert never["effect"]["reason"] == f"0 of {never['share']['n']} rollouts say it, at least 10 are needed"


def test_categories_stand_beside_the_steps(run: Path) -> None:
    steps = document("importance", run)["chains"][0]["steps"]
    assert all(step["category"] for step in steps)  # the run was labelled when it was sampled
    assert " category " in shown("importance", run).splitlines()[1]


def test_a_similarity_groups_alternatives_and_what_is_said_next(run: Path) -> None:
    def at_step_1(*options: str) -> list[dict]:
        return document("tree", run, "--step", "1", *options)["steps"][0]["alternatives"]

    def entropy(*options: str) -> float:
        return document("determinism", run, *options)["chains"][0]["positions"][1]["next_entropy"]["value"]

    apart, merged = at_step_1("--similarity", "text"), at_step_1("--similarity", "chars@-1")
    assert len(apart) == len(at_step_1()) == 2 and len(merged) == 1  # at cosine -1 all sentences are alike
    assert merged[0]["n"] == sum(one["n"] for one in apart)
    assert entropy() > 0.5 and entropy("--similarity", "chars@-1") == 0


def test_what_is_exported_can_be_imported(run: Path, tmp_path: Path) -> None:
    written = document("export", run, tmp_path / "traces", "--format", "math-rollouts")["written"]
    assert any(path.endswith("chunk_0/solutions.json") for path in written)
    done = document("import", "math-rollouts", tmp_path / "traces", "--out", tmp_path / "back")
    assert (done["chains"], done["format"]) == (1, "math-rollouts") and done["rollouts"] > 300
    ours, theirs = (document("importance", path)["chains"][0]["steps"] for path in (run, tmp_path / "back"))
    assert [step["value"] for step in ours[:3]] == pytest.approx([step["value"] for step in theirs[:3]], abs=0.1)
    assert cotlab("tree", tmp_path / "back").code == 0
    document("export", run, tmp_path / "pivotal.jsonl", "--format", "pivotal-tokens")
    assert document("import", "pivotal-tokens", tmp_path / "pivotal.jsonl", "--out", tmp_path / "p")["chains"] >= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "parchment", "x", "--out", "y"], "'parchment'"),
        (["import", "math-rollouts", "nowhere", "--out", "y"], "nowhere"),
        (["import", "pivotal-tokens", "nowhere", "--out", "y"], "nowhere"),
    ],
)
def test_imports_that_cannot_be_are_one_line(arguments: list[str], said: str) -> None:
    assert said in fault(*arguments)


def test_an_imported_run_cannot_be_sampled(run: Path, tmp_path: Path) -> None:
    cotlab("export", run, tmp_path / "traces", "--format", "math-rollouts")
    cotlab("import", "math-rollouts", tmp_path / "traces", "--out", tmp_path / "back")
    assert "not sampled by cotlab" in fault("edit", tmp_path / "back", "--step", "1", "--delete")
    assert "'cube'" in fault("export", run, tmp_path / "x", "--format", "math-rollouts", "--layout", "cube")
    assert "'cube'" in fault("export", run, tmp_path / "x", "--format", "cube")
