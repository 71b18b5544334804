"""Vectors from chains of the tiny reasoner: each method against its definition written out by hand."""

import numpy as np
import pytest

from cotlab import tiny
from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.engines import open_engine
from cotlab.engines.base import Passage
from cotlab.errors import UserError
from cotlab.interventions import HookPoint, Steering
from cotlab.problems.tasks import tiny_problem
from cotlab.whitebox import behaviour, behaviour_vector, divergence, label_rollout, measure_norms, text_vector

POINTS = [HookPoint("resid_post", 1), HookPoint("resid_post", 2)]


@pytest.fixture(scope="module")
def opened():
    opened = open_engine("tiny", "transformers")
    with opened.engine:
        yield opened


@pytest.fixture(scope="module")
def rollouts(opened):
    """Chains written by the generator, so that labels are planted and not sampled."""
    import random

    tokenizer, its, labelled = opened.engine.tokenizer, behaviour("backtracking"), []
    for i, task in enumerate(tiny.generate_problems(24, seed=3, family="countdown", manner="plain")):
        problem = tiny_problem(task, str(i))
        ids = opened.template.encode(problem, tokenizer)
        text = tiny.write_chain(task, random.Random(i)).text
        new = tuple(tokenizer.encode(text))
        rollout = Rollout("p", "i", "s", "e", 0, 0, text, "stop", new)
        labelled.append(label_rollout(its, problem, Prefix(ids, len(ids)), rollout, tokenizer))
    return labelled


def activations(opened, passage):
    (read,) = opened.engine.read([passage], POINTS)
    return np.stack([read[point] for point in POINTS], axis=1).astype(np.float64)


def test_sentences_are_where_their_tokens_are(opened, rollouts):
    seen = 0
    for rollout in rollouts:
        for sentence in rollout.sentences:
            said = opened.engine.tokenizer.decode(rollout.passage.token_ids[sentence.start : sentence.end])
            assert sentence.text in said and len(said) - len(sentence.text) <= 2
            assert sentence.holds == sentence.text.startswith(("Wait, that", "Wait, this", "Hmm, no luck")) or (
                sentence.holds and "back" in sentence.text
            )
            seen += sentence.holds
    assert seen > 20


def test_the_published_recipe_by_hand(opened, rollouts):
    spans, overall = [], []
    for rollout in rollouts:
        tokens = activations(opened, rollout.passage)
        overall.append(tokens[rollout.sentences[0].start : rollout.sentences[-1].end].mean(0))
        for sentence in rollout.sentences:
            if sentence.holds:
                spans.append(tokens[sentence.start - 1 : min(sentence.end - 1, sentence.start + 10)].mean(0))
    mean = np.mean(overall, axis=0)
    raw = np.mean(spans, axis=0) - mean
    its = behaviour("backtracking")
    vector = behaviour_vector(opened.engine, its, rollouts, POINTS, method="steering-thinking-llms")
    for i in range(len(POINTS)):
        assert vector.norms[i] == pytest.approx(np.linalg.norm(mean[i]), rel=1e-4)
        wanted = raw[i] * np.linalg.norm(mean[i]) / np.linalg.norm(raw[i])
        assert vector.directions[i] == pytest.approx(wanted, abs=1e-3 * np.abs(wanted).max())


def test_the_matched_contrast_by_hand_and_its_card(opened, rollouts):
    sides: dict = {}
    norms = []
    for rollout in rollouts:
        tokens = activations(opened, rollout.passage)
        norms.append(np.linalg.norm(tokens[rollout.sentences[0].start : rollout.sentences[-1].end], axis=-1))
        for before, sentence in zip(rollout.sentences, rollout.sentences[1:], strict=False):
            sides.setdefault(before.context, ([], []))[sentence.holds].append(tokens[sentence.start - 1])
    both = {key: pair for key, pair in sides.items() if pair[0] and pair[1]}
    weights = {key: len(a) * len(b) / (len(a) + len(b)) for key, (a, b) in both.items()}
    wanted = sum(w * (np.mean(both[k][1], 0) - np.mean(both[k][0], 0)) for k, w in weights.items())
    wanted /= sum(weights.values())
    vector = behaviour_vector(opened.engine, behaviour("backtracking"), rollouts, POINTS)
    assert vector.directions == pytest.approx(wanted, abs=1e-3 * np.abs(wanted).max())
    assert vector.card.mean_norms == pytest.approx(np.concatenate(norms).mean(0), rel=1e-4)
    assert (
        vector.card.model == "tiny" and vector.card.n[0] > 20 and -1 <= vector.card.stability["split_half_cosine"] <= 1
    )
    measured = measure_norms(opened.engine, [rollouts[0].passage], vector)
    first = len(rollouts[0].passage.prefix.token_ids)
    one = np.linalg.norm(activations(opened, rollouts[0].passage)[first:], axis=-1).mean(0)
    assert measured.card.mean_norms == pytest.approx(one, rel=1e-4)


def test_texts_on_two_sides(opened):
    texts = [
        Passage(Prefix(tuple(opened.engine.tokenizer.encode(text)), 1)) for text in ("So x = 3 works.", "Wait, no.")
    ]
    last = text_vector(opened.engine, texts[:1], texts[1:], POINTS, name="t")
    mean = text_vector(opened.engine, texts[:1], texts[1:], POINTS, name="t", at="mean")
    a, b = (activations(opened, text) for text in texts)
    assert last.directions == pytest.approx(a[-1] - b[-1], abs=1e-3)
    assert mean.directions == pytest.approx(a.mean(0) - b.mean(0), abs=1e-3)
    with pytest.raises(UserError, match="there are 1 and 0"):
        text_vector(opened.engine, texts[:1], [], POINTS, name="t")


def test_too_little_and_unknown_are_one_line(opened, rollouts):
    its = behaviour("backtracking")
    with pytest.raises(UserError, match="a vector takes 10 of each"):
        behaviour_vector(opened.engine, its, rollouts[:1], POINTS)
    with pytest.raises(UserError, match="unknown method 'magic'; there are: matched"):
        behaviour_vector(opened.engine, its, rollouts, POINTS, method="magic")
    with pytest.raises(UserError, match="unknown behaviour 'joy'; there are: backtracking"):
        behaviour("joy")


def test_the_divergence_grows_with_the_dose(opened, rollouts):
    vector = behaviour_vector(opened.engine, behaviour("backtracking"), rollouts, POINTS[1:])
    passages = [rollout.passage for rollout in rollouts[:6]]
    small, large = (divergence(opened.engine, passages, Steering.of(vector, dose)) for dose in (0.05, 1.0))
    assert abs(small) < large
