"""What is read of a run through the autoencoder that ships, and what dashboards and pages make of it."""

import json

import numpy as np
import pytest
import torch
from firing_examples import made_up

import cotlab as ct
from cotlab.errors import DataError, ModelError
from cotlab.interventions import Baseline, FeatureChange, FeatureSteering, HookPoint, SAECard, SparseAutoencoder, Where
from cotlab.reports.feature_page import render_feature_page, write_feature_page
from cotlab.runs import Run
from cotlab.saes import SHIPPED, find_released, load_sae
from cotlab.saes.dashboard import feature_dashboards, logit_effects, neuronpedia_link
from cotlab.saes.feature_attribution import attribute_step
from cotlab.saes.firings import read_firings
from cotlab.saes.jobs import along_chain
from cotlab.saes.overview import feature_overview
from cotlab.whitebox import Inside


@pytest.fixture(scope="module")
def inside() -> Inside:
    return Inside.open("tiny")


@pytest.fixture(scope="module")
def sae() -> SparseAutoencoder:
    return load_sae(SHIPPED)


@pytest.fixture(scope="module")
def firings(sampled, inside, sae):
    with Run.open(sampled) as run:
        return read_firings(run, inside, sae, n=16)


def test_rows_are_the_sampled_tokens_and_columns_the_features(sampled, firings, inside, sae):
    assert firings.n_tokens == sum(map(len, firings.rollouts)) and firings.d_sae == sae.d_sae
    assert firings.l0 > 3 and len(firings.rollouts) == 16
    with Run.open(sampled) as run:
        for start, one in list(zip(firings.starts, firings.rollouts, strict=False))[:3]:
            stored = run.rollout(one.id)
            assert stored.intervention_id == Baseline().id
            assert one.ids[one.first :] == stored.token_ids
            assert "".join(step.text for step in one.steps) == inside.tokenizer.decode(stored.token_ids)
            assert [step.start for step in one.steps[1:]] == [step.end for step in one.steps[:-1]]
            dense = sae.encode(inside.read(one.ids, [sae.point])[sae.point][one.first :])
            assert firings.active[start : start + len(one)].toarray() == pytest.approx(dense.numpy(), abs=1e-4)


def test_steps_are_means_and_ends_of_their_tokens(firings):
    dense = firings.active.toarray()
    means, ends = firings.by_step().toarray(), firings.by_step("end").toarray()
    for i, (start, step) in enumerate(firings.steps()):
        if i % 17 == 0:
            assert means[i] == pytest.approx(dense[start + step.start : start + step.end].mean(axis=0), abs=1e-5)
            assert ends[i] == pytest.approx(dense[start + step.end - 1], abs=1e-6)


def test_an_autoencoder_of_another_model_is_refused(sampled, inside, sae):
    other = sae.for_model("other")
    with Run.open(sampled) as run, pytest.raises(ModelError, match="is of the model 'other'"):
        read_firings(run, inside, other)
    with pytest.raises(DataError, match="no feature 4096"):
        made_up().column(4096)


def test_a_dashboard_says_what_the_activations_say(inside):
    firings = made_up()
    torch.manual_seed(0)
    parts = (torch.randn(256, 12), torch.zeros(12), torch.randn(12, 256), torch.zeros(256))
    sae = SparseAutoencoder(SAECard(HookPoint("resid_post", 2), "relu", neuronpedia="some-model/2-res"), *parts)
    made = feature_dashboards(firings, inside, sae, [0, 1, 5], most=4)
    dense = firings.active.toarray()
    for one in made.features:
        column = dense[:, one.feature]
        on = column > 0
        assert one.n_active == on.sum() == sum(one.counts) and one.rate.value == pytest.approx(on.mean())
        assert one.mean_active == pytest.approx(column[on].mean()) and one.largest == column.max()
        others = [j for j in range(12) if j != one.feature]
        phi = {j: np.corrcoef(on, dense[:, j] > 0)[0, 1] for j in others}
        best = max(phi, key=phi.get)
        if phi[best] > 0:
            assert one.coactive[0][0] == best and one.coactive[0][1] == pytest.approx(phi[best], abs=1e-9)
        tenths = np.tile(np.arange(60) * 10 // 60, 24)
        assert one.along == pytest.approx([on[tenths == i].mean() for i in range(10)])
        assert sum(row.n_active for row in one.categories) == one.n_active
        assert one.link == f"https://www.neuronpedia.org/some-model/2-res/{one.feature}"
    rows = {row.category: row for row in made.features[0].categories}
    assert rows["active_computation"].n_active == 0 and rows["self_checking"].n_active == made.features[0].n_active
    assert neuronpedia_link(SAECard(HookPoint("resid_post", 2), "relu"), 3) == ""


def test_released_autoencoders_know_their_pages():
    released = find_released("llama_scope_lxr_8x/l15r_8x")
    card = SAECard(HookPoint("resid_post", 15), "jumprelu", neuronpedia=released.neuronpedia)
    assert neuronpedia_link(card, 7) == "https://www.neuronpedia.org/llama3.1-8b/15-llamascope-res-32k/7"


def test_logit_effects_are_the_decoder_row_through_norm_and_unembedding(inside, sae):
    raises, lowers = logit_effects(inside, sae, 7, 3)
    weights = inside.model.state_dict()
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    effect = head @ (weights["model.norm.weight"] * sae.W_dec[7])
    order = effect.argsort(descending=True)
    assert [text for text, _ in raises] == [inside.tokenizer.pieces([int(i)])[0] for i in order[:3]]
    assert [value for _, value in lowers] == pytest.approx(effect[order.flip(0)[:3]].tolist(), abs=1e-4)


def test_the_overview_ranks_features_and_says_what_kind_of_step_they_are_of(firings, inside, sae):
    found = feature_overview(firings, sae, inside.tokenizer, top=6)
    assert len(found.rows) == 6 and "wait" in found.words and not found.reason_missing
    scores = [row.reason.value for row in found.rows]
    assert scores == sorted(scores, reverse=True) and found.rows[0].reason.value > found.rows[0].reason.null_mean
    assert found.rows[0].category and found.rows[0].auc > 0.8 and found.rows[0].q < 0.05
    plain = feature_overview(firings, sae, inside.tokenizer, top=4, words={"zebra": ("zebra zebra",)})
    assert len(plain.rows) == 4 and "none of the words zebra occurs" in plain.reason_missing
    json.dumps([found.to_json(), plain.to_json()], allow_nan=False)


def test_a_page_holds_the_dashboards_and_runs_no_text_of_a_model(firings, inside, sae, tmp_path):
    feature = int(np.argmax(firings.rates))
    document = json.loads(json.dumps(feature_dashboards(firings, inside, sae, [feature], most=3).to_json()))
    hostile = "</span><script>window.hacked=1</script><img src=x onerror=hacked>"
    document["features"][0]["contexts"][0]["tokens"][0] = hostile
    document["features"][0]["label"]["text"] = hostile
    document["features"][0]["raises"][0] = (hostile, 1.0)
    page = write_feature_page(document, tmp_path / "deep" / "features.html").read_text("utf-8")
    assert "<script" not in page and "<img" not in page and page.count("&lt;script&gt;") == 3
    assert "src=" not in page.replace("src=x", "") and "@import" not in page
    assert page.count('class="t') > 5 and "<svg" in page
    json.dumps(document, allow_nan=False)
    quiet = made_up()
    silent = quiet.active.tolil()
    silent[:, 3] = 0
    quiet = type(quiet)(quiet.card, "", quiet.rollouts, silent.tocsr())
    parts = (torch.randn(256, 12), torch.zeros(12), torch.randn(12, 256), torch.zeros(256))
    other = SparseAutoencoder(SAECard(HookPoint("resid_post", 2), "relu"), *parts)
    assert "never active here" in render_feature_page(feature_dashboards(quiet, inside, other, [3]).to_json())


def test_what_is_active_along_a_chain_is_what_the_encoder_says(sampled, inside, sae):
    with Run.open(sampled) as run:
        chain = run.chains()[0]
    found = along_chain(inside, sae, chain)
    ids = (*chain.prompt_ids, *chain.response_ids)
    dense = sae.encode(inside.read(ids, [sae.point])[sae.point])[len(chain.prompt_ids) :]
    assert "".join(found["tokens"]) == "".join(step.text for step in chain.steps)
    assert found["ends"] == [step.end for step in chain.steps]
    assert sum(map(len, found["active"].values())) == int((dense > 0).sum())
    for feature, pairs in list(found["active"].items())[:5]:
        for token, value in pairs:
            assert value == pytest.approx(float(dense[token, int(feature)]), abs=1e-3)


def test_attribution_agrees_with_ablation_and_ablation_with_the_engine(sampled, inside, sae):
    with Run.open(sampled) as run:
        chain = run.chains()[0]
    found = attribute_step(inside, sae, chain, 3, n_exact=24)
    assert found.agreement.n == 24 and found.agreement.value > 0.8 and found.agreement.p < 0.05
    assert [abs(e.attribution) for e in found.effects] == sorted(
        (abs(e.attribution) for e in found.effects), reverse=True
    )
    strongest = found.effects[0]
    kept, step, target = chain.prefix(3), chain.steps[3], chain.steps[4]
    assert step.start == len(kept.kept_ids)
    opened = ct.open_engine("tiny", "transformers")
    with opened.engine as engine:
        its = FeatureSteering.of(
            sae, [FeatureChange(strongest.feature, "ablate")], Where("last", n=step.end - step.start)
        )
        prefix, tail = chain.prefix(4), chain.response_ids[target.start : target.end]
        passages = [ct.engines.base.Passage(prefix, tail, one) for one in (Baseline(), its)]
        plain, ablated = (np.mean(row[-len(tail) :]) for row in engine.logprobs(passages))
    assert plain == pytest.approx(found.metric, abs=1e-4)
    assert ablated - plain == pytest.approx(strongest.ablation, abs=1e-4)


def test_attribution_is_exact_where_the_metric_is_linear(sampled, inside, sae):
    """A very small change: to first order ablation is what the gradient says."""
    with Run.open(sampled) as run:
        chain = run.chains()[0]
    found = attribute_step(inside, sae, chain, 2, target=4, n_exact=40)
    small = [e for e in found.effects if e.ablation is not None and 1e-5 < abs(e.attribution) < 2e-3]
    assert len(small) > 3
    assert np.median([abs(e.ablation - e.attribution) / abs(e.attribution) for e in small]) < 0.3
