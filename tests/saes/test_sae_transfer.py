"""The rule of the verdict, intervals, traces and the commands."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from command_line import cotlab

import cotlab as ct
from cotlab.errors import DataError, ModelError, UserError
from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes import (
    Trace,
    TraceSource,
    feature_drift,
    file_traces,
    load_sae,
    open_reader,
    run_traces,
    same_tokens,
    split_traces,
    trained_problems,
    transfer_study,
    transfer_test,
)
from cotlab.saes.demo import _tuned
from cotlab.saes.firing_categories import _preferred
from cotlab.saes.redraws import Redraws
from cotlab.saes.run_transfer import _unseen
from cotlab.saes.scores import ArmSums
from cotlab.saes.verdict import Recovery, decide
from cotlab.sampling.progress import Silent
from cotlab.stats import Estimate
from cotlab.stats.bootstrap import cluster_mean
from tests.saes.largest import Largest


def between(low, high):
    return Estimate((low + high) / 2, low, high, n=100)


def recovered(
    ev, ce, random=(0.2, 0.4), pca=(0.1, 0.2), explained=(0.3, 0.4), own=(0.8, 0.9), unit="problems", here=(12, 13),
    part="think",
):  # fmt: skip
    ratios = {"explained_variance": between(*ev), "ce_score": between(*ce)}
    l0 = between(11, 13), between(*here), between(17, 19)
    return Recovery(ratios, *(between(*one) for one in (random, pca, explained, own)), l0, unit, part)


GOOD = (0.95, 0.97), (0.92, 0.99)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (recovered((0.95, 0.97), (0.92, 0.99)), None, "transfers"),
        (recovered((0.95, 0.97), (0.85, 0.89)), None, "does not transfer"),
        (recovered((0.85, 0.97), (0.92, 0.99)), None, "undecided"),
        (recovered((0.95, 0.97), (0.92, 0.99), random=(-0.1, 0.1)), None, "undecided"),
        (recovered((0.95, 0.97), (0.92, 0.99), random=(-0.2, -0.1)), None, "does not transfer"),
        (recovered((0.5, 0.6), (0.5, 0.6)), recovered((0.95, 0.97), (0.92, 0.99)), "transfers after fine-tuning"),
        (recovered((0.5, 0.6), (0.5, 0.6)), recovered((0.7, 0.8), (0.92, 0.99)), "does not transfer"),
        (recovered((0.5, 0.6), (0.5, 0.6)), recovered((0.8, 0.95), (0.92, 0.99)), "undecided"),
        (recovered((0.95, 0.97), (0.92, 0.99)), recovered((0.5, 0.6), (0.5, 0.6)), "transfers"),
        (recovered(*GOOD, own=(0.08, 0.12)), None, "undecided"),
        (recovered(*GOOD, own=(0.45, 0.55)), None, "undecided"),
        (recovered((0.5, 0.6), (0.5, 0.6), own=(0.08, 0.12)), None, "undecided"),
        (recovered(*GOOD, pca=(-0.1, 0.1)), None, "undecided"),
        (recovered(*GOOD, explained=(-0.2, -0.1)), None, "does not transfer"),
        (recovered(*GOOD, unit="traces"), None, "undecided"),
        (recovered((0.5, 0.6), (0.5, 0.6), unit="traces"), None, "undecided"),
        (recovered(*GOOD, part="all"), None, "undecided"),
        (recovered((0.5, 0.6), (0.5, 0.6), part="all"), recovered(*GOOD, part="all"), "undecided"),
        (recovered(*GOOD, here=(17, 19)), None, "undecided"),
        (recovered((0.5, 0.6), (0.5, 0.6), here=(17, 19)), None, "does not transfer"),
    ],
)
def test_the_verdict_is_decided_by_whole_intervals(before, after, word):
    recoveries = {"transferred": before} | ({"fine-tuned": after} if after else {})
    verdict = decide("resid_post:2", "think", 0.9, recoveries)
    assert verdict.word == word and word in verdict.line


def test_the_line_says_l0_and_why_nothing_is_decided():
    line = decide("resid_post:2", "think", 0.9, {"transferred": recovered(*GOOD, unit="traces")}).line
    assert "L0 12.5 (as it is 18.0), on the own model 12.0" in line and "fewer than five problems" in line
    line = decide("resid_post:2", "all", 0.9, {"transferred": recovered(*GOOD, part="all")}).line
    assert "undecided" in line and "the rollouts have no reasoning tokens: nothing is decided" in line
    line = decide("resid_post:2", "think", 0.9, {"transferred": recovered(*GOOD, here=(17, 19))}).line
    assert "undecided" in line and "L0 could not be matched (18.0, on the own model 12.0)" in line
    line = decide("resid_post:2", "think", 0.9, {"transferred": recovered(*GOOD, own=(0.08, 0.12))}).line
    assert "explains 0.100 [0.080, 0.120] on its own model, 0.5 are asked" in line


def priced(part, zero, sae, clean):
    """Ten traces of ten tokens in one part at these nats a token, and of ten thoughts at 8 with zeros, 1 without."""
    arm = ArmSums(1, 1)
    for i in range(10):
        rows = np.zeros((3, 10))
        rows[part, [0, 5, 6, 7]] = 10, 10 * clean, 10 * zero, 10 * sae
        rows[1, [0, 5, 6, 7]] = 10, 10, 80 + i, 17
        arm.rows.append(rows)
        arm.means.append(np.zeros((3, 1)))
    return arm


def test_there_is_no_ce_score_of_the_prompt_or_where_zeros_cost_nothing():
    redraws = Redraws.of([str(i) for i in range(10)])
    asked = priced(0, zero=11.9, sae=6.5, clean=9.9)  # better than the clean pass: 5.4 / 2.0 = 2.7
    missing = asked.estimate("ce_score", "prompt", redraws)
    assert missing.value is None and "does not write its prompt" in missing.reason
    assert asked.estimate("ce_score", "all", redraws).value == asked.estimate("ce_score", "think", redraws).value
    cheap = priced(2, zero=2.03, sae=1.95, clean=2.0).estimate("ce_score", "answer", redraws)
    assert cheap.value is None and "add less than 0.02 of the loss" in cheap.reason
    dear = priced(2, zero=4.0, sae=2.1, clean=2.0).estimate("ce_score", "answer", redraws)
    assert dear.value == pytest.approx(0.95)


def test_a_feature_that_fires_everywhere_alike_prefers_nothing():
    """Of features without a preference, as good as none is given a category; one that has it is."""
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(9)]
    tokens = rng.integers(2, 12, size=(30, 9)).astype(float)
    redraws = Redraws.of([str(i) for i in range(30)], draws=2000)
    found = [
        _preferred(f, names, rng.binomial(tokens.astype(int), 0.2).astype(float), tokens, redraws) for f in range(60)
    ]
    assert sum(one is not None for one in found) <= 6
    hits = rng.binomial(tokens.astype(int), np.where(np.arange(9) == 4, 0.6, 0.1)).astype(float)
    sure = _preferred(0, names, hits, tokens, redraws)
    assert sure.category == "c4" and sure.lift.low > 1 and sure.lift.level == pytest.approx(1 - 0.05 / 9)


def two(width, d_sae, seed=0):
    """Random autoencoders of one size."""
    rng = torch.Generator().manual_seed(seed)
    card, b = SAECard(HookPoint("resid_post", 0), "relu"), (torch.zeros(d_sae), torch.zeros(width))
    return tuple(
        SparseAutoencoder(
            card, torch.randn(width, d_sae, generator=rng), b[0], torch.randn(d_sae, width, generator=rng), b[1]
        )
        for _ in range(2)
    )


def test_drift_is_the_same_by_blocks():
    before, after = two(8, 2500)
    rates = np.where(np.arange(2500) % 3 == 0, 0.0, 0.1), np.where(np.arange(2500) % 7 == 0, 0.0, 0.1)
    drift = feature_drift(before, after, rates)
    old, new = (torch.nn.functional.normalize(sae.W_dec.double(), dim=1) for sae in (before, after))
    own, nearest = (old * new).sum(1), (new @ old[torch.from_numpy(rates[0] > 0)].T).amax(1)
    assert [one.decoder_cosine for one in drift.features] == pytest.approx(own.tolist(), abs=1e-5)
    for one in drift.features:  # looked for where it says something
        asked = own[one.feature] < 0.7 and rates[1][one.feature] > 0
        assert one.nearest == (pytest.approx(float(nearest[one.feature]), abs=1e-5) if asked else None)
    assert {"gone", "moved"} <= set(drift.states)
    encoder = torch.nn.functional.cosine_similarity(before.W_enc, after.W_enc, dim=0)
    assert [one.encoder_cosine for one in drift.features] == pytest.approx(encoder.tolist(), abs=1e-5)


def test_drift_of_the_largest_autoencoders_is_found_in_blocks():
    """131,072 features of width 4,096 (rows that lie in one place, so that the matrices themselves take none)."""
    n, width = 131_072, 4096
    before, after = (
        replace(sae, W_enc=sae.W_enc.expand(width, n), b_enc=sae.b_enc.expand(n), W_dec=sae.W_dec.expand(n, width))
        for sae in two(width, 1)
    )
    fires = np.zeros(n)
    fires[[0, 70_000, n - 1]] = 0.1
    with Largest() as largest:
        drift = feature_drift(before, after, (np.full(n, 0.1), fires))
    assert drift.states == {"gone": n - 3, "new": 3}
    assert largest.bytes <= 4 * 1024 * width, f"{largest.bytes:,} bytes at once; all products would be {4 * n * n:,}"


def test_a_ratio_that_is_not_known_decides_nothing():
    missing = Recovery(
        {"explained_variance": Estimate.missing("few"), "ce_score": between(0.95, 0.99)},
        *(between(0.1, 0.2),) * 3,
        between(0.8, 0.9),
        (between(11, 13),) * 3,
    )
    assert decide("resid_post:2", "all", 0.9, {"transferred": missing}).word == "undecided"


def test_a_mean_has_the_interval_of_the_cluster_bootstrap():
    rng = np.random.default_rng(0)
    problems = [f"p{i // 3}" for i in range(60)]
    values = rng.normal(size=60) + np.repeat(rng.normal(size=20), 3)
    redraws = Redraws.of(problems, draws=10_000, seed=1)
    sums, sizes = redraws.sums(values), redraws.sums(np.ones(60))
    ours = redraws.estimate(lambda w: (w @ sums) / (w @ sizes))
    theirs = cluster_mean(values, problems, seed=2)
    assert ours.value == pytest.approx(theirs.value)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_with_few_problems_traces_are_drawn_and_with_few_traces_there_is_no_interval():
    assert Redraws.of(["a"] * 8).unit == "traces" and Redraws.of(["a"] * 8).n_units == 8
    lone = Redraws.of(["a", "b", "c"]).estimate(lambda w: w.sum(1))
    assert lone.value is None and "at least 5" in lone.reason
    nothing = Redraws.of(list("abcdef")).estimate(lambda w: np.where(w[:, 0] > 0, 1.0, np.nan))
    assert nothing.value is None and "cannot be told from 0" in nothing.reason


def test_the_dead_share_has_an_interval_that_covers_what_more_rollouts_of_the_kind_show():
    """Features fire in a trace with known probabilities: the expected dead share over n traces is known."""
    rng = np.random.default_rng(3)
    chance = rng.beta(0.3, 6, size=400)
    n, covered = 30, 0
    expected = ((1 - chance) ** n).mean()
    for _ in range(60):
        arm = ArmSums(1, 400)
        for fires in rng.random((n, 400)) < chance:
            arm._see("all", fires)
            arm.rows.append(np.ones((3, 10)))
            arm.means.append(np.zeros((3, 1)))
        found = arm.dead_share("all")
        covered += found.low <= expected <= found.high
        assert "90 tokens" in found.method
    assert covered >= 54


def clustered(rng, n):
    """Activations of width 4 with a mean of each trace's own, and reconstructions that miss more in some traces."""
    arm = ArmSums(4, 1)
    for _ in range(n):
        tokens = int(rng.integers(20, 60))
        x = rng.normal(size=(tokens, 4)) + rng.normal(size=4) + 2
        error = (rng.normal(size=(tokens, 4)) * rng.uniform(0.2, 0.8)) ** 2
        rows = np.zeros((3, 10))
        rows[1, :3] = tokens, (x**2).sum(), error.sum()
        means = np.zeros((3, 4))
        means[1] = x.sum(0)
        arm.rows.append(rows)
        arm.means.append(means)
    return arm


def test_the_interval_of_explained_variance_covers():
    rng = np.random.default_rng(5)
    whole = clustered(rng, 20_000)
    redraws = Redraws.of([str(i) for i in range(20_000)], draws=1)
    truth = whole.drawn("explained_variance", "all", redraws, np.ones((1, 20_000)))[0]
    covered = 0
    for i in range(100):
        arm = clustered(rng, 30)
        found = arm.estimate("explained_variance", "all", Redraws.of([str(j) for j in range(30)], draws=500, seed=i))
        covered += found.low <= truth <= found.high
    assert 88 <= covered <= 100


def test_parts_and_splits():
    trace = Trace("a", "p", tuple(range(10)), 3, 4)
    assert trace.parts.tolist() == [0] * 3 + [1] * 4 + [2] * 3
    assert trace.cut(5).parts.tolist() == [0] * 3 + [1] * 2
    assert trace.cut(2).parts.tolist() == [0, 0]
    traces = [Trace(str(i), f"p{i // 2}", (1, 2), 1, 1) for i in range(20)]
    first, second = split_traces(traces, 0.3)
    assert {one.problem for one in first}.isdisjoint(one.problem for one in second)
    assert (len(first), len(second)) == (6, 14)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    run = tmp_path_factory.mktemp("sae") / "run"
    asked = {"problems": "tiny", "n_problems": 24, "positions": "0", "base": ("random",), "engine": "transformers"}
    return ct.resample(**asked, n=1, run=str(run)).path


def test_traces_of_runs_and_of_files_are_cut_at_the_think_tag(sampled, tmp_path):
    inside = open_reader("tiny")
    traces = run_traces([sampled], inside.tokenizer, n=10)
    assert len(traces) == 10 and all(trace.question for trace in traces)
    for trace in traces:
        thought = inside.tokenizer.decode(trace.response_ids[: trace.n_think])
        assert "</think>" not in thought[:-8] and (trace.n_think == len(trace.response_ids) or "</think>" in thought)
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps({"prompt": "2 + 2", "response": "Try 2.\n</think>\n\nThe answer is 4."}) + "\n", "utf-8")
    (trace,) = file_traces(file, inside.tokenizer)
    assert inside.tokenizer.decode(trace.response_ids[trace.n_think :]).strip() == "The answer is 4."
    file.write_text('{"prompt": 3}\n', "utf-8")
    with pytest.raises(DataError, match="line 1"):
        file_traces(file, inside.tokenizer)
    with pytest.raises(UserError, match="name runs with --run"):
        TraceSource().read(inside, None)


def test_models_with_other_tokens_are_refused(sampled):
    tiny, other = open_reader("tiny"), open_reader("tiny")
    traces = run_traces([sampled], tiny.tokenizer, n=5)
    same_tokens(tiny, other, traces)
    vocabulary = other.tokenizer.hf.get_vocab()
    swapped = {i: name for name, i in vocabulary.items()}

    class Shifted:
        eos_ids = other.tokenizer.eos_ids

        class hf:
            @staticmethod
            def convert_ids_to_tokens(token):
                return swapped[(token + 1) % len(swapped)]

    object.__setattr__(other, "tokenizer", Shifted())
    with pytest.raises(ModelError, match="have different tokens"):
        same_tokens(tiny, other, traces)


def test_train_finetune_and_transfer_from_the_command_line(sampled, tmp_path):
    small = ("--tokens", "2000", "--batch", "100", "--check-every", "10", "--json")
    asked = ("--model", "tiny", "--run", str(sampled), "--hook", "resid_post:1", "--d-sae", "64", "--k", "6")
    code, out, err = cotlab("sae", "train", *asked, "--out", str(tmp_path / "sae"), *small)
    assert code == 0, err
    told = json.loads(out)
    assert (
        told["card"]["model"] == "tiny" and told["l0_after"] == pytest.approx(6, rel=0.03) and len(told["checks"]) == 3
    )
    assert not (tmp_path / "sae" / "checkpoint.safetensors").exists()
    assert load_sae(tmp_path / "sae").card.units == "raw"
    code, _, err = cotlab("sae", "train", *asked, "--out", str(tmp_path / "sae"), *small)
    assert code == 2 and "there is an SAE in" in err

    fine = tmp_path / "fine"
    tune = ("sae", "finetune", str(tmp_path / "sae"), "--model", "tiny", "--run", str(sampled), "--evaluate", "12")
    code, out, err = cotlab(*tune, "--out", str(fine), *small)
    assert code == 0, err
    told = json.loads(out)
    known = {"own", "transferred", "fine-tuned", "random-init", "pca"}
    assert known <= {row["condition"] for row in told["rows"]} <= {*known, "fine-tuned, L0 matched"}
    assert told["training"]["l0_before"] == pytest.approx(told["training"]["l0_after"], rel=0.03)
    drift = told["drift"]
    assert sum(drift["states"].values()) == sum(drift["null"]["states"].values()) == 64
    # On its own model, at the same tokens and steps: the null is the training itself, and nothing drifts beyond it.
    assert drift["drifted"] == {} and drift["null"]["decoder_cosine"] == drift["decoder_cosine"]
    own = json.loads((fine / "own" / "training.json").read_text())
    assert own["checks"][-1]["step"] == told["training"]["best"] > 0
    assert {path.name for path in fine.iterdir()} >= {"results.json", "table.md", "figure.svg", "training.json"}

    written = (fine / "training.json").read_bytes()
    (fine / "results.json").unlink()  # as an interrupted test leaves it: the same command does the test alone
    code, out, err = cotlab(*tune, "--out", str(fine), *small)
    assert code == 0, err
    later = json.loads(out)
    assert later["rows"] == told["rows"] and later["training"]["checks"] == told["training"]["checks"]
    assert (fine / "training.json").read_bytes() == written and (fine / "results.json").exists()
    code, _, err = cotlab(*tune, "--out", str(fine), *small, "--lr", "0.1")
    assert code == 2 and "there is an SAE in" in err
    assert len(trained_problems(fine)) == 18  # two rollouts each; those of the other six are evaluated

    again = ("sae", "transfer", str(tmp_path / "sae"), "--model", "tiny", "--run", str(sampled), "-n", "12")
    code, out, err = cotlab(*again, "--tuned", str(fine), "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["traces"] == 12 and "fine-tuned" in {row["condition"] for row in told["rows"]}
    own, moved = ([row for row in told["rows"] if row["condition"] == name] for name in ("own", "transferred"))
    assert {row["part"] for row in own} == {"prompt", "think", "answer", "all"} and own[0]["layer"] == 1
    for left, right in zip(own, moved, strict=True):  # its own model is the other model here
        assert left["explained_variance"] == right["explained_variance"] and left["dead_share"] == right["dead_share"]


def test_faults_are_one_line(sampled):
    for asked, said in (
        ((), "name an SAE and the model"),
        (("tiny:honest/resid_post:9", "--model", "tiny"), "no SAE 'tiny:honest/resid_post:9' comes with cotlab"),
        (("tiny:honest/resid_post:2", "--model", "tiny"), "name runs with --run"),
        (
            ("tiny:honest/resid_post:2",) * 2 + ("--model", "tiny", "--run", str(sampled)),
            "name one for each hook point",
        ),
        (("--demo", "--run", str(sampled)), "--demo samples its own rollouts"),
        (("tiny:honest/resid_post:2", "--model", "tiny", "--out", str(sampled / "run.json")), "is a file"),
        (("tiny:honest/resid_post:2", "--model", "tiny", "--run", str(sampled), "--device", "gpu"), "device is 'gpu'"),
    ):
        code, _, err = cotlab("sae", "transfer", *asked)
        assert code == 2 and said in err, err


def test_a_run_of_another_model_is_told(sampled):
    source = TraceSource((sampled,))
    assert source.foreign("tiny") == []
    assert source.foreign("tiny:watched") == [
        "run run was written by 'tiny': 'tiny:watched' reads another model's reasoning, not its own"
    ]


@pytest.fixture(scope="module")
def shipped():
    return load_sae("tiny:honest/resid_post:2")


def test_what_was_fine_tuned_on_is_not_evaluated(sampled, shipped):
    traces = run_traces([sampled], open_reader("tiny").tokenizer, n=24)
    trained = {trace.problem for trace in traces[:14]}
    evaluated, fit = _unseen(traces, trained, 24, 0)
    assert len(evaluated) == 10 and not trained & {trace.problem for trace in evaluated}
    assert fit and {trace.problem for trace in fit} <= trained
    with pytest.raises(DataError, match="trained on the problems of all"):
        transfer_study([shipped], "tiny", TraceSource((sampled,), n=24), trained={trace.problem for trace in traces})


def test_what_was_not_fine_tuned_on_the_model_is_refused(sampled, shipped):
    inside = open_reader("tiny")
    traces = run_traces([sampled], inside.tokenizer, n=8)
    for model, said in (("some/other-model", "is of the model 'some/other-model'"), ("", "does not say which model")):
        tuned = replace(shipped, card=replace(shipped.card, model=model))
        with pytest.raises(UserError, match=said):
            transfer_test([shipped], inside, inside, traces[:6], traces[6:], tuned=[tuned])


def test_tokens_of_a_template_that_one_model_does_not_have_are_not_measured(sampled, shipped):
    base, other = open_reader("tiny"), open_reader("tiny")
    traces = run_traces([sampled], base.tokenizer, n=8)
    theirs = transfer_test([shipped], base, other, traces[:6], traces[6:])
    hf = base.tokenizer.hf
    (tag,) = hf.encode("</think>", add_special_tokens=False)

    class Renamed:
        eos_ids = base.tokenizer.eos_ids

        class hf:
            @staticmethod
            def convert_ids_to_tokens(token, names=hf):
                return "<|reserved|>" if token == tag else names.convert_ids_to_tokens(token)

    object.__setattr__(base, "tokenizer", Renamed())
    same_tokens(base, other, traces)
    found = transfer_test([shipped], base, other, traces[:6], traces[6:])
    times = sum(trace.ids.count(tag) for trace in traces[:6])
    tokens = [next(row.tokens for row in one.rows if row.part == "all") for one in (theirs, found)]
    assert times and tokens[0] - tokens[1] == times


def test_the_demonstration_does_not_take_another_request_for_its_own(sampled, shipped, tmp_path, monkeypatch):
    monkeypatch.setattr("cotlab.saes.demo.DEMO_TOKENS", 2048)
    inside = open_reader("tiny")
    traces = run_traces([sampled], inside.tokenizer, n=24)
    turned = replace(shipped, W_dec=-shipped.W_dec, W_enc=-shipped.W_enc)
    asked = ((shipped, traces, 0), (turned, traces, 0), (shipped, traces[:16], 0), (shipped, traces, 1))
    for sae, rollouts, seed in asked:
        _tuned(sae, inside, tmp_path, rollouts, "float32", seed, Silent())
    assert len(list((tmp_path / "tuned").iterdir())) == len(asked)
    first = _tuned(shipped, inside, tmp_path, traces, "float32", 0, Silent())
    assert len(list((tmp_path / "tuned").iterdir())) == len(asked) and first.sae.card.model == "tiny"
    code, _, err = cotlab("sae", "transfer", "--demo", "--dtype", "float99", "--out", str(tmp_path / "demo"))
    assert code == 2 and "float99" in err


def test_what_more_active_features_explain_is_no_transfer(sampled, shipped):
    """An autoencoder with lower thresholds explains more; at the L0 of the own model it is what it was."""
    inside = open_reader("tiny")
    traces = run_traces([sampled], inside.tokenizer, n=24)
    loose = replace(shipped, threshold=shipped.threshold * 0.8)
    found = transfer_test([shipped], inside, inside, traces[:16], traces[16:], tuned=[loose])
    rows = {row.condition: row.scores for row in found.rows if row.part == "think"}
    ev, l0 = ({name: row[metric].value for name, row in rows.items()} for metric in ("explained_variance", "l0"))
    assert l0["fine-tuned"] > 1.2 * l0["own"] and ev["fine-tuned"] > ev["own"] + 0.001
    assert l0["fine-tuned, L0 matched"] == pytest.approx(l0["own"], rel=0.02)
    assert ev["fine-tuned, L0 matched"] == pytest.approx(ev["own"], abs=0.0005)
    assert "transferred, L0 matched" not in rows, "it has the own model's L0: it is on the own model"
    its = found.verdicts[0].recoveries["fine-tuned"]
    assert its.ratios["explained_variance"].value == pytest.approx(1, abs=0.0005)
    assert [one.value for one in its.l0] == [l0["own"], l0["fine-tuned, L0 matched"], l0["fine-tuned"]]


def test_without_thoughts_nothing_is_decided(sampled, shipped):
    inside = open_reader("tiny")
    traces = [replace(trace, n_think=0) for trace in run_traces([sampled], inside.tokenizer, n=12)]
    (verdict,) = transfer_test([shipped], inside, inside, traces[:8], traces[8:]).verdicts
    assert (verdict.word, verdict.part) == ("undecided", "all") and "no reasoning tokens" in verdict.line


def test_controls_need_the_tokens_that_decide(sampled, shipped):
    """Found by review: their L0 was that of no token, so that they were told by one number each."""
    inside = open_reader("tiny")
    traces = run_traces([sampled], inside.tokenizer, n=12)
    fit = [replace(trace, n_think=0) for trace in traces[8:]]
    with pytest.raises(DataError, match="none of the 4 rollouts for the controls has a token of the part 'think'"):
        transfer_test([shipped], inside, inside, traces[:8], fit)


def test_runs_with_too_few_problems_are_told_before_anything_is_loaded(sampled, tmp_path, monkeypatch):
    asked = {"problems": "tiny", "n_problems": 3, "positions": "0", "base": ("random",), "engine": "transformers"}
    few = ct.resample(**asked, n=1, run=str(tmp_path / "few")).path
    monkeypatch.setattr("cotlab.saes.open_reader", lambda *_, **__: pytest.fail("the model was loaded"))
    monkeypatch.setattr("cotlab.saes.load_sae", lambda *_, **__: pytest.fail("the SAE was loaded"))
    common = ("--model", "tiny", "--run", str(few), "--out", str(tmp_path / "sae"))
    code, _, err = cotlab("sae", "finetune", "tiny:honest/resid_post:2", *common)
    assert code == 2 and "rollouts of 3 problems, and fine-tuning needs 12" in err and "Sample more" in err
    code, _, err = cotlab("sae", "train", *common, "--hook", "resid_post:1", "--d-sae", "64", "--k", "6")
    assert code == 2 and "rollouts of 3 problems, and training needs 6" in err
    asked_of = ("--model", "tiny", "--run", str(sampled), "--out", str(few))
    code, _, err = cotlab("sae", "finetune", "tiny:honest/resid_post:2", *asked_of)
    assert code == 2 and "is a run: an SAE needs a folder of its own" in err


def test_what_is_read_is_told_with_its_problems(sampled):
    source = TraceSource((sampled,), n=500)
    first, *others = source.lines(source.read(open_reader("tiny"), None), "tiny:watched")
    assert first.startswith("48 rollouts of 24 problems, not 500 as -n asks for: only rollouts from the prompt itself")
    assert len(others) == 1 and "was written by 'tiny'" in others[0]
    some = replace(source, n=24)
    assert some.lines(some.read(open_reader("tiny"), None), "tiny") == ["24 rollouts of 24 problems"]


@pytest.mark.parametrize("kept", [False, True])
def test_an_interrupted_training_says_whether_it_goes_on(sampled, tmp_path, monkeypatch, kept):
    if kept:
        (tmp_path / "checkpoint.safetensors").write_bytes(b"")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cotlab.saes.train_sae", interrupted)
    asked = ("--model", "tiny", "--run", str(sampled), "--hook", "resid_post:1", "--d-sae", "64", "--k", "6")
    code, _, err = cotlab("sae", "train", *asked, "--out", str(tmp_path))
    assert code == 130
    said = "the same command goes on from what is kept there" if kept else "nothing was kept yet"
    assert said in err and ("goes on" in err) == kept
