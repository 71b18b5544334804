"""`cotlab sae features`, `feature`, `predict`, `attribute`, `steer`, `report` on a run of the tiny reasoner."""

import json

from command_line import cotlab


def test_features_are_ranked_and_their_dashboards_written(sampled, tmp_path):
    code, out, err = cotlab("sae", "features", sampled, "--top", 3, "-n", 16, "--out", tmp_path / "f", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert len(document["rows"]) == 3 and document["units"] == "raw" and document["d_sae"] == 1024
    written = json.loads((tmp_path / "f" / "features.json").read_text())
    assert [one["feature"] for one in written["features"]] == [row["feature"] for row in document["rows"]]
    assert "Feature" in (tmp_path / "f" / "features.html").read_text()
    code, out, err = cotlab("sae", "features", sampled, "--top", 2, "-n", 8, "--words", "zebra")
    assert code == 0 and "none of the words zebra occurs" in out


def test_a_feature_is_shown(sampled):
    code, out, err = cotlab("sae", "feature", sampled, 292, 576, "-n", 8)
    assert code == 0, err
    assert "Feature 292" in out and "Feature 576" in out and "raises" in out


def test_what_predicts_is_told_beside_neuron_and_probe(sampled):
    code, out, err = cotlab("sae", "predict", sampled, "--label", "category:active_computation", "--top", 2, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert len(document["rows"]) == 2 and document["rows"][0]["auc"]["q"] < 0.05
    assert document["feature"]["value"] > 0.6 and document["probe"]["value"] > 0.6 and document["neuron"]["value"] > 0.5


def test_readiness_is_judged_by_answers_that_are_forced(sampled):
    asked = ["--label", "ready", "--top", 2, "-n", 16, "--engine", "transformers"]
    code, out, err = cotlab("sae", "predict", sampled, *asked, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert 0 < document["n_positive"] < document["n"] and len(document["rows"]) == 2
    assert document["probe"]["value"] > 0.6 and document["feature"]["value"] is not None


def test_a_step_is_attributed_to_features(sampled):
    code, out, err = cotlab("sae", "attribute", sampled, "--step", 2, "--exact", 10, "--top", 3)
    assert code == 0, err
    assert "rank correlation of the two" in out and "gradient × activation" in out


def test_a_chain_is_branched_with_a_feature_set(sampled):
    asked = ["--set", "292:clamp:8", "--from-step", 2, "-n", 5, "--random", 1, "--engine", "transformers"]
    code, out, err = cotlab("sae", "steer", sampled, *asked, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["changes"] == [{"feature": 292, "action": "clamp", "value": 8.0, "units": "raw"}]
    assert [arm["name"] for arm in document["arms"]][:2] == ["features", "reconstruction"]
    code, out, err = cotlab("sae", "steer", sampled, *asked)
    assert code == 0 and "steering vector of equal norm" in out and "of the activations' norm" in out


def test_a_report_is_written(tmp_path):
    asked = ["--set", "292:add:4", "--n-problems", 5, "-n", 1, "--random", 1, "--max-tokens", 50]
    code, out, err = cotlab("sae", "report", *asked, "--engine", "transformers", "--out", tmp_path)
    assert code == 0, err
    assert "reconstruction" in out and (tmp_path / "report.md").exists()


def test_faults_are_one_line(sampled, tmp_path):
    for asked, told in (
        (["steer", sampled, "--set", "292", "--from-step", "1"], "change '292' not understood"),
        (
            ["steer", sampled, "--set", "292:clamp:1", "--units", "volt", "--from-step", "1"],
            "units 'volt' not understood",
        ),
        (["steer", sampled, "--set", "292:clamp:1", "--units", "normalised", "--from-step", "1"], "are normalised"),
        (["steer", sampled, "--set", "5000:ablate", "--from-step", "1"], "has no feature 5000"),
        (["features", sampled, "--sae", tmp_path / "nothing"], "nothing"),
        (["feature", sampled, "5000", "-n", "2"], "has no feature 5000"),
        (["predict", sampled, "--label", "mood"], "unknown label 'mood'"),
        (["attribute", sampled, "--step", "2", "--target", "1"], "must be behind step 2"),
    ):
        code, out, err = cotlab("sae", *asked)
        assert code == 2 and told in err and err.strip().count("\n") == 0, (asked, err)
