"""The category model against exact sums, exact labels and its own committed figures."""

import importlib.util
import itertools
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cotlab import tiny
from cotlab.categories import CategoryModel, backtracks, sentence_features
from cotlab.categories.model import marginals

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "thought-anchors-labels"
EXPERIMENT = ROOT / "experiments" / "sentence-categories"


@pytest.fixture(scope="module")
def model():
    return CategoryModel.load()


@pytest.fixture(scope="module")
def heldout():
    rng = random.Random(3)
    problems = tiny.generate_problems(60, seed=11, split="heldout")
    return [(problem, tiny.write_chain(problem, rng).steps) for problem in problems]


@pytest.fixture(scope="module")
def experiment():
    names = ("fit", "sentence_categories_classify")
    sys.path.insert(0, str(EXPERIMENT))
    spec = importlib.util.spec_from_file_location(names[1], EXPERIMENT / "classify.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[names[1]] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(EXPERIMENT))
    for name in names:
        sys.modules.pop(name, None)


def test_marginals_are_those_of_every_path_counted():
    rng = np.random.default_rng(0)
    scores, transitions, start = rng.normal(size=(4, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
    exact = np.zeros((4, 3))
    for path in itertools.product(range(3), repeat=4):
        weight = start[path[0]] + sum(scores[t, label] for t, label in enumerate(path))
        weight += sum(transitions[a, b] for a, b in itertools.pairwise(path))
        exact[range(4), path] += np.exp(weight)
    exact /= exact.sum(1, keepdims=True)
    assert marginals(scores, transitions, start) == pytest.approx(exact, abs=1e-12)
    assert marginals(np.zeros((0, 3)), transitions, start).shape == (0, 3)


def test_sentences_of_the_tiny_reasoner_are_told_exactly_enough(model, heldout):
    said, truth = [], []
    for problem, steps in heldout:
        said += [v.category for v in model.classify([step.text for step in steps], problem.question)]
        truth += [step.category for step in steps]
    assert len(truth) > 400
    assert cohen_kappa_score(truth, said) > 0.95


def test_backtracks_agree_with_the_exact_labels(heldout):
    pairs = [(step.backtracks, backtracks(step.text)) for _, steps in heldout for step in steps]
    assert sum(true for true, _ in pairs) > 20
    assert [true for true, _ in pairs] == [said for _, said in pairs]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Hmm, this approach isn't working, let me try another way.", True),
        ("Wait, that's a dead end.", True),
        ("Let me start over.", True),
        ("Going back to the equation, I get x = 3.", True),
        ("Wait, is t given?", False),
        ("So the method works for every n.", False),
        ("Let me check the other factor.", False),
        ("", False),
    ],
)
def test_backtracks_on_sentences_of_other_models(sentence, expected):
    assert backtracks(sentence) is expected


def test_verdicts_are_whole(model):
    verdicts = model.classify(["Wait, is that right?", "So 2 + 2 = 4.", "The answer is \\boxed{4}."], "What is 2 + 2?")
    assert [verdict.category for verdict in verdicts][-1] == "final_answer_emission"
    for verdict in verdicts:
        assert sum(verdict.probabilities.values()) == pytest.approx(1)
        assert verdict.probability == verdict.probabilities[verdict.category]
        assert set(verdict.to_json()) == {"category", "backtracks", "probability", "probabilities"}
    assert model.classify([]) == []


@pytest.mark.parametrize("text", ["", " ", "\x00\ud800", "。。。", "=" * 5_000, "1," * 3_000, "\\boxed{" * 400, "🙂"])
def test_any_text_gets_a_verdict(model, text):
    assert len(model.classify([text, "So x = 2.", text])) == 3


def test_place_and_neighbours_are_seen(model):
    alone = model.probabilities(["5 * 8 = 40."])
    checking = model.probabilities(["5 * 8 = 40.", "Let me double-check that.", "5 * 8 = 40.", "Yes, that's correct."])
    at = model.categories.index("self_checking")
    assert checking[2, at] > alone[0, at] + 0.1


def test_numbers_said_before_are_told_from_new_ones():
    first, again = sentence_features(["So 12 + 5 is 12 + 5 = 17."] * 2, "Add 12.")
    assert first["again:new"] == 1 and "again:new" not in again
    assert first["again:question"] == pytest.approx(1 / 3)
    assert again["again:result seen"] == again["again:most"] == again["again:restates"] == 1


def test_what_is_saved_is_what_is_read(model, tmp_path):
    model.save(tmp_path)
    again = CategoryModel.load(tmp_path)
    sentences = ["First, find x.", "x = 4.", "Wait, no."]
    assert again.probabilities(sentences) == pytest.approx(model.probabilities(sentences))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4_000_000


def test_gradient_of_the_fit_is_that_of_its_loss(experiment):
    fit = sys.modules["fit"]
    chains, _ = experiment.tiny_chains(3, 1, "train")
    names = {name: i for i, name in enumerate(sorted({n for c in chains for row in c.features for n in row})[:40])}
    field = fit._Field(chains, experiment.JUDGED, fit._table(chains, names))
    k = len(experiment.JUDGED)
    rng = np.random.default_rng(0)
    x = rng.normal(size=len(names) * k + k + k * k + k)
    _, gradient = field.loss(x)
    for at in rng.choice(len(x), 30, replace=False):
        step = np.zeros(len(x))
        step[at] = 1e-5
        slope = (field.loss(x + step)[0] - field.loss(x - step)[0]) / 2e-5
        assert gradient[at] == pytest.approx(slope, abs=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the published Thought Anchors traces are not here")
def test_a_problem_left_out_is_told_as_well_as_committed(experiment):
    committed = json.loads((EXPERIMENT / "results.json").read_text(encoding="utf-8"))["left out"]
    traces = experiment.read_traces(DATA)
    extra, _ = experiment.tiny_chains(experiment.TINY_TRAIN, 0, "train")
    problem = "problem_2189"
    model = experiment.fit([*(t for t in traces if t.problem != problem), *extra], experiment.JUDGED)
    held = [trace for trace in traces if trace.problem == problem]
    said = [label for trace in held for label in experiment._say(model, trace)]
    found = cohen_kappa_score([label for trace in held for label in trace.labels], said)
    assert found == pytest.approx(committed["by problem"][problem], abs=0.02)
