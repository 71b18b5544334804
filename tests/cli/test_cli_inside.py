"""`cotlab lens`, `patch`, `attribute`, `attention`, `suppress` on the sample run that ships with the workbench."""

import shutil
from pathlib import Path

import pytest
from command_line import document, fault, shown
from safetensors import safe_open

from cotlab.runs import Run
from cotlab.whitebox import ChainAttention, LensReading, PatchGrid

SAMPLE = Path(__file__).parents[2] / "apps" / "workbench" / "sample"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "sample"
    shutil.copytree(SAMPLE, folder)
    return folder


def test_patchscope(run):
    """The state at the last ` = ` of a sum says that sum's result in the place of another's."""
    with Run.open(run) as store:
        chain = store.chains()[0]
        step, said = next((s.idx, s.text) for s in chain.steps if s.text.count(" = ") == 1 and ", " in s.text)
    result = said.split(" = ")[1].split(",")[0]
    words = ("patchscope", run, "--step", step, "--token", "=", "--max-tokens", 1, "--placeholder", " = ")
    prompt = "From 3, 5 and 15 I need 78.\\nTry 3 + 15 = "
    told = document(*words, "--layers", "1,3", "--prompt", prompt)
    assert [one["source"] for one in told["readings"]] == ["resid_post:1", "resid_post:3"]
    for one in told["readings"]:
        assert one["said"].strip() == result and one["share"] >= 0.8 and one["control"] <= 0.2
    assert "resid_post:3" in shown(*words, "--layers", "3", "--prompt", prompt)
    for more, message in ((("--layers", "9"), "'9' is no layer"), (("--token", "§"), "no token of step")):
        assert message in fault(*words, *more)


def test_lens(run, tmp_path):
    out, figure = tmp_path / "lens.safetensors", tmp_path / "lens.html"
    told = document("lens", run, "--save", out, "--figure", figure)
    assert [row["layer"] for row in told["layers"]] == [0, 1, 2, 3]
    assert told["layers"][-1]["agrees"] == 1.0 and told["layers"][-1]["kl"] == pytest.approx(0, abs=1e-6)
    assert told["layers"][0]["kl"] > told["layers"][2]["kl"] > 0
    again = LensReading.load(out)
    assert again.kl.shape[0] == 4 and len(told["first_readable"]) < again.kl.shape[1]
    page = figure.read_text("utf-8")
    assert page.startswith("<!doctype html>") and "<svg" in page and "http" not in page.replace("http://www.w3.org", "")
    assert "agrees" in shown("lens", run)


def test_patch_and_attribute_name_the_same_first_head(run, tmp_path):
    step = replaceable(run)
    out = tmp_path / "grid.safetensors"
    told = document("patch", run, "--step", step, "--save", out, "--figure", tmp_path / "grid.svg")
    assert told["clean_difference"] > told["corrupt_difference"] and told["answer"] != told["other"]
    assert PatchGrid.load(out).share.tolist() == told["share"]
    assert (tmp_path / "grid.svg").read_text("utf-8").startswith("<svg")
    scored = document("attribute", run, "--step", step, "--pairs", 1, "--circuit", 30)
    assert len(scored["edges"]) == 343 and scored["circuit"]["n_all"] == 343
    assert scored["circuit"]["faithfulness"]["value"] > 0.3 and "1 pairs" in scored["circuit"]["faithfulness"]["reason"]
    table = shown("attribute", run, "--step", step, "--pairs", 1, "--method", "eap", "--edges", 3)
    assert "logits" in table or "input" in table


def replaceable(run):
    """A step for which some rollout says something else in as many tokens."""
    from cotlab.whitebox import Inside, other_steps

    inside = Inside.open("tiny")
    with Run.open(run) as store:
        chain = store.chains()[0]
        return next(k for k in range(1, len(chain.steps)) if other_steps(store, chain, k, inside))


def test_attention_and_its_agreement_with_resampling(run, tmp_path):
    out = tmp_path / "attention.safetensors"
    told = document("attention", run, "--compare", "text", "--save", out)
    n = len(told["steps"])
    assert all(told["suppression"][i][j] is None for i in range(n) for j in range(i + 1))
    found = ChainAttention.load(out)
    assert found.weights.shape == (4, 4, n, n)
    assert told["resampling"]["low"] <= told["resampling"]["value"] <= told["resampling"]["high"]
    assert told["resampling"]["null_q95"] is not None


def test_suppress_hides_from_a_later_step_in_some_heads_at_another_temperature(run, tmp_path):
    """Against the control that is hidden beside it, paired by sample: the mean of the differences of the outcomes."""
    copy = tmp_path / "copy"
    shutil.copytree(SAMPLE, copy)
    words = ("--step", 2, "--kept", 5, "--from-step", 4, "--heads", "1,3.0", "--temperature", "1.3", "-n", 8)
    told = document("suppress", copy, *words, "--controls", 1)
    with Run.open(copy) as store:
        (hot,) = [key for key, its in store.settings().items() if its.temperature == 1.3]
        chain = next(one for one in store.chains() if one.id == told["chain_id"])
        right = {}
        for arm in (told["hidden"], told["controls"][0]):
            its = store.intervention(arm["intervention_id"])
            hidden = chain.steps[arm["step"]]
            assert (its.start, its.end, its.blind_from) == (hidden.start, hidden.end, chain.steps[4].start)
            assert its.heads == ("1", "3.0") and arm["step"] < 4
            rows = store.outcome_rows("answers/1", settings_id=hot, intervention_id=its.id, prefix_id=told["prefix_id"])
            right[arm["step"]] = {row.sample_idx: row.value["outcome"] == "correct" for row in rows}
    mine, other = right.pop(2), next(iter(right.values()))
    assert told["beyond_controls"]["value"] == pytest.approx(sum(mine[i] - other[i] for i in range(8)) / 8)
    assert told["beyond_controls"]["low"] <= told["beyond_controls"]["value"] <= told["beyond_controls"]["high"]


def test_suppress_grows_a_branch_beside_its_baseline(run):
    told = document("suppress", run, "--step", 2, "-n", 6, "--controls", 1)
    assert told["n"] == 6 and told["kept"] == 3 and told["hidden"]["step"] == 2 and len(told["controls"]) == 1
    with Run.open(run) as store:
        cards = store.engine_cards()
        mine = store.rollouts(prefix_id=told["prefix_id"], intervention_id=told["hidden"]["intervention_id"])
        mine = list(mine)
        assert len(mine) == 6 and all(rollout.steered_tokens for rollout in mine)
        assert {cards[rollout.engine_card_id].engine for rollout in mine} == {"transformers"}
        assert store.intervention(told["hidden"]["intervention_id"]).kind == "attention-suppression"
    again = document("suppress", run, "--step", 2, "-n", 6, "--controls", 1)
    assert again == told, "everything was there already"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lens nowhere", "there is no run nowhere"),
        ("lens {run} --chain zzz", "no chain 'zzz'"),
        ("lens {run} --tuned nothing.safetensors", "there is no file nothing.safetensors"),
        ("lens {run} --tuned a --train b", "give one of them"),
        ("lens {run} --figure figure.png", "must end in .html or .svg"),
        ("patch {run} --step 999", "step 999 is not in the chain"),
        ("patch {run} --step 1 --with hello", "aligns runs token by token"),
        ("patch {run} --step 1 --site nose", "unknown site 'nose'"),
        ("attribute {run} --step 1 --method magic", "unknown method 'magic'"),
        ("attention {run} --compare telepathy", "telepathy"),
        ("suppress {run} --step 999", "there is no step 999"),
        ("suppress {run} --step 3 --kept 2", "step 3 is hidden only where it is kept"),
        ("suppress {run} --step 1 --kept 4 --from-step 5", "not 5"),
        ("suppress {run} --step 1 --heads two", "head 'two' not understood"),
        ("suppress {run} --step 1 --engine vllm", "by the transformers engine only, not by 'vllm'"),
    ],
)
def test_faults_are_one_line(words, told, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told in fault(*words.format(run=run).split())


def test_files_of_something_else_are_refused(tmp_path, run):
    out = tmp_path / "lens.safetensors"
    shown("lens", run, "--save", out)
    with safe_open(out, framework="pt") as file:
        assert file.metadata()["format"] == "cotlab-lens-reading/1"
    assert "expected 'cotlab-tuned-lens/1'" in fault("lens", run, "--tuned", out)
