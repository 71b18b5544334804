"""Layer choice: attribution against the exact divergence, and the sweep against what its arms say."""

import json

import numpy as np
import pytest
import torch

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.engines import open_engine
from cotlab.engines.base import Passage, Request
from cotlab.errors import UserError
from cotlab.interventions import Condition, HookPoint, Steering, SteeringVector, VectorCard
from cotlab.problems import load_problems
from cotlab.whitebox import Inside, StudyPlan, divergence, kl_attribution, steer_layers
from cotlab.whitebox.layer_study import LayerPlan, best_layer

pytestmark = pytest.mark.timeout(900)


def noise(*layers):
    directions = np.random.default_rng(1).standard_normal((len(layers), 256)).astype(np.float32)
    points = tuple(HookPoint("resid_post", layer) for layer in layers)
    return SteeringVector(points, directions, VectorCard(name="noise", mean_norms=(200.0,) * len(layers)))


@pytest.fixture(scope="module")
def sampled():
    opened = open_engine("tiny", "transformers")
    with opened.engine as engine:
        requests = []
        for problem in load_problems("countdown", n=8, seed=3):
            ids = tuple(opened.template.encode(problem, engine.tokenizer))
            condition = Condition(Prefix(ids, len(ids)), SamplingSettings(1.0, 1.0, 0, 200))
            requests += [Request(condition, i, 7 + i) for i in range(4)]
        prefixes = {request.condition.prefix.id: request.condition.prefix for request in requests}
        rollouts = list(engine.sample(requests))
        yield engine, [Passage(prefixes[one.prefix_id], one.token_ids) for one in rollouts]


def exact_divergence(inside, passages, steering):
    """KL over the full vocabulary, mean over new tokens."""
    (point,), delta, total, n = steering.points, torch.from_numpy(steering.delta()[0]), 0.0, 0
    for passage in passages:
        first = len(passage.prefix.token_ids) - 1
        plain = inside.logits(passage.token_ids).log_softmax(-1)[first:-1]
        moved = inside.logits(passage.token_ids, {point: lambda h: h + delta}).log_softmax(-1)[first:-1]
        total += float((plain.exp() * (plain - moved)).sum())
        n += len(passage.new_ids)
    return total / n


@pytest.mark.parametrize("layer", [0, 2])
def test_attribution_is_the_divergence_of_small_doses(sampled, layer):
    engine, passages = sampled
    inside, vector, dose = Inside.open("tiny"), noise(layer), 0.05
    exact = exact_divergence(inside, passages, Steering.of(vector, dose))
    found = kl_attribution(engine, passages, vector) * dose**2
    assert 0.6 < found / exact < 1.7, "an estimate over sampled tokens of what is exact over the vocabulary"
    assert divergence(engine, passages, Steering.of(vector, dose)) == pytest.approx(exact, rel=0.4)
    assert kl_attribution(engine, passages, vector) == pytest.approx(
        kl_attribution(engine, passages, SteeringVector(vector.points, -3 * vector.directions, vector.card)), rel=1e-2
    ), "the dose is relative: sign and norm of the vector do not matter"


@pytest.mark.slow
def test_each_layer_is_tried_and_asked_again_nothing_is_sampled(tmp_path, capsys):
    plan = StudyPlan(doses=(0.1, 0.2), n_problems=6, n=2)
    asked = {"engine": "transformers", "vector": noise(0, 2), "max_tokens": 150}
    report = steer_layers(plan, tmp_path, **asked)
    document = json.loads((tmp_path / "layers.json").read_text())
    assert document == json.loads(json.dumps(report.to_json()))
    assert [row["hook"] for row in document["layers"]] == ["resid_post:0", "resid_post:2"]
    for row in report.rows:
        small, large = row.doses
        assert large.attributed == pytest.approx(4 * small.attributed) and row.specific > 0
        assert large.shift.n == 12 and large.accuracy.low <= large.accuracy.value <= large.accuracy.high
    assert best_layer(report.rows) == report.chosen and document["chosen"]["hook"] == report.chosen.hook
    from cotlab.runs import Run

    with Run.open(tmp_path / "run") as run:
        before = run.summary().rollouts
    assert before == 6 * 2 * (1 + 2 * 2 * 2)
    steer_layers(plan, tmp_path, **asked)
    with Run.open(tmp_path / "run") as run:
        assert run.summary().rollouts == before
    with pytest.raises(UserError, match="has no direction at resid_post:1"):
        steer_layers(plan, tmp_path, **asked, hooks=("resid_post:1",))


def test_plans_are_checked():
    from cotlab.interventions import Where

    with pytest.raises(UserError, match="give numbers above 0"):
        LayerPlan((0.1, -0.1), Where())
