"""What is read from inside of a sentence's importance: of the right sentences, and nothing where it is exchanged."""

from functools import partial

import numpy as np
import pytest

import cotlab as ct
from cotlab.chains.think import ThinkTags
from cotlab.measures import RatedStep
from cotlab.sampling import FinishedStudy
from cotlab.whitebox import Inside, chain_attention
from cotlab.whitebox.attention import MIN_DISTANCE, received, receiver_heads
from experiments import readings
from experiments.lab import Lab, read_config
from experiments.readings import open_inside, places_of
from experiments.sentences import inside
from experiments.sentences.inside import HIDDEN, RECEIVED, read_inside


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> FinishedStudy:
    asked = {"problems": "countdown", "n_problems": 6, "n": 1, "positions": "0", "base": ("random",)}
    return ct.resample(
        run=tmp_path_factory.mktemp("runs") / "run", model="tiny", engine="transformers", seed=1, **asked
    )


def lab(tmp_path, model="tiny") -> Lab:
    return Lab("sentences", read_config("sentences"), model, "countdown", "small", tmp_path)


def rated(study, rng=None):
    """Every step of every chain; what rollouts say falls along the chain, or is noise."""
    with ct.Run.open(study.path) as run:
        chains = [chain for chain in run.chains() if chain.id in study.chain_ids]
    return [
        RatedStep(chain.problem_id, chain.id, "unknown", step.idx / len(chain.steps),
                  {"resampling KL": 2.0 - step.idx if rng is None else rng.random(), "resampling KL, null floor": 2.0})
        for chain in chains
        for step in chain.steps
    ]  # fmt: skip


def test_each_sentence_gets_what_later_ones_pay_it_and_lose(study, tmp_path):
    steps = rated(study)
    found = read_inside(lab(tmp_path), study, steps, 2)
    assert [(one.chain, one.place) for one in found.steps] == [(one.chain, one.place) for one in steps]
    opened = Inside.open("tiny")
    with ct.Run.open(study.path) as run:
        chains = [chain for chain in run.chains() if chain.id in study.chain_ids]
    read = {chain.id: chain_attention.ChainAttention.read(opened, chain) for chain in chains}
    heads = receiver_heads([one.weights.numpy() for one in read.values()]).top(4)
    for chain in chains:
        mine = [one for one in found.steps if one.chain == chain.id]
        weights, hidden = read[chain.id].weights.numpy(), read[chain.id].suppression.numpy()
        n = len(chain.steps)
        wanted = np.mean([received(weights)[layer, head] for layer, head in heads], axis=0) if n > MIN_DISTANCE else []
        tag = [step.text.strip() == "</think>" for step in chain.steps]
        assert sum(tag) == 1
        paid = [100 * one for one, bare in zip(wanted, tag, strict=False) if not bare]
        assert [one.values[RECEIVED] for one in mine if RECEIVED in one.values] == pytest.approx(paid)
        for i, one in enumerate(mine):
            assert (HIDDEN in one.values) == (i < n - 1 and not tag[i])
            assert HIDDEN not in one.values or one.values[HIDDEN] == pytest.approx(hidden[i, i + 1 :].mean())
            assert one.values["resampling KL less its floor"] == one.values["resampling KL"] - 2.0
    names = {one.name for one in found.estimates}
    assert "rank agreement of loss when hidden and resampling KL less its floor, within thirds of chains" in names
    assert {one.evidence for one in found.estimates} == {"correlated"}


def worded(chains):
    return {chain.id: {step.idx for step in chain.steps if step.text.strip() != "</think>"} for chain in chains}


def test_the_third_that_moves_answers_most_is_marked(study):
    steps = [inside._less_floor(step) for step in rated(study)]
    with ct.Run.open(study.path) as run:
        chains = [chain for chain in run.chains() if chain.id in study.chain_ids]
    for one, chain in zip(inside._marked(steps, chains, worded(chains)), chains, strict=True):
        n = len(chain.steps) - 1
        assert [label is None for label in one.labels] == [step.text.strip() == "</think>" for step in chain.steps]
        assert one.steps == tuple(chain.steps) and one.whole.n_prompt == len(chain.prompt_ids)
        marked = [i for i, label in enumerate(one.labels) if label]
        assert marked == list(range(len(marked))) and abs(len(marked) - n / 3) <= 1


def test_uncertainty_is_the_entropy_of_what_the_model_would_say_next(study, monkeypatch):
    opened = open_inside("tiny")
    with ct.Run.open(study.path) as run:
        chains = [chain for chain in run.chains() if chain.id in study.chain_ids][:2]
    marked = inside._marked([inside._less_floor(step) for step in rated(study)], chains, worded(chains))
    monkeypatch.setattr(readings, "BLOCK", 7)
    place = places_of(opened, marked, 1, {"unsure": partial(inside._unsure, opened)})
    scores = place.readers["unsure"](place.examples.y, place.examples.y)
    wanted = []
    for one, chain in zip(marked, chains, strict=True):
        said = opened.inside.logits(one.whole).float().softmax(-1).double().numpy()
        ends = [
            len(chain.prompt_ids) + chain.steps[i - 1].end - 1
            for i in range(1, len(chain.steps))
            if one.labels[i] is not None
        ]
        wanted += [-(said[end] * np.log(said[end])).sum() for end in ends]
    assert scores == pytest.approx(wanted, abs=1e-4)


def test_exchanged_sentences_stay_in_their_third_and_agree_with_nothing(study):
    steps = rated(study, np.random.default_rng(0))
    mixed = inside._exchanged(steps, "resampling KL", np.random.default_rng(1))
    parts = {}
    for before, after in zip(steps, mixed, strict=True):
        assert (before.chain, before.place) == (after.chain, after.place)
        key = (before.chain, int(before.place * inside.PARTS))
        parts.setdefault(key, ([], []))
        parts[key][0].append(before.values["resampling KL"])
        parts[key][1].append(after.values["resampling KL"])
    assert all(sorted(old) == sorted(new) for old, new in parts.values())
    assert any(old != new for old, new in parts.values())


def test_long_chains_and_models_without_an_inside_are_told(study, tmp_path, monkeypatch):
    monkeypatch.setattr(inside, "LONGEST", 40)
    found = read_inside(lab(tmp_path), study, rated(study), 2)
    assert "chains have more than 40 tokens" in found.warnings[0]
    assert not any(RECEIVED in one.values for one in found.steps)
    missing = read_inside(lab(tmp_path, "markov:lucky"), study, rated(study), 2)
    assert missing.estimates[0].reason and missing.steps == tuple(rated(study)) and not missing.null_rate


def test_a_think_tag_is_no_sentence():
    tags = ThinkTags("<think>", "</think>")
    assert [inside._has_words(text, tags) for text in ("</think>\n\n", "Wait.</think>", " \n", "7")] == [0, 1, 0, 1]
