"""What is read from inside: at the right tokens, on unseen problems, and not where nothing is there."""

import random
from dataclasses import replace

import numpy as np
import pytest

from cotlab import tiny
from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.interventions.hook_points import HookPoint
from cotlab.stats import Estimate
from cotlab.trees import Draws
from cotlab.whitebox import Examples
from cotlab.whitebox.arms import Arm
from experiments import readings
from experiments.backtracking.inside import _openings
from experiments.backtracking.steered import exchanged
from experiments.lucky.inside import agrees_less, lost_at
from experiments.readings import Marked, Place, findings, held_out, open_inside, places_of, rates, told
from experiments.rules import read_off, reads_beyond


@pytest.fixture(scope="module")
def opened():
    found = open_inside("tiny")
    assert not isinstance(found, str) and found.sae is not None and found.layer == 2
    return found


@pytest.fixture(scope="module")
def marked(opened):
    """Chains of the tiny task as its own writer writes them; a step is marked where it says that it goes back."""
    found, rng = [], random.Random(0)
    for idx in range(10):
        task = tiny.draw_problem(rng, "countdown")
        prompt = opened.inside.tokenizer.encode(task.question + "\n")
        ids = tuple(opened.inside.tokenizer.encode(tiny.write_chain(task, rng).text))
        steps = tuple(get_cutter("sentences").cut(ids, opened.inside.tokenizer))
        labels = tuple(None if i == 0 else "Wait" in step.text for i, step in enumerate(steps))
        found.append(Marked(f"q{idx}", Prefix(tuple(prompt) + ids, len(prompt)), steps, labels))
    return found


@pytest.mark.parametrize("before", [0, 2])
def test_steps_are_read_that_many_steps_before_their_end(opened, marked, before):
    place = places_of(opened, marked, before)
    its, at = place.examples, 0
    for one in marked:
        stream = opened.inside.read(one.whole, [HookPoint("resid_post", 2)])[HookPoint("resid_post", 2)]
        for i in range(max(1, before), len(one.steps)):
            end = one.whole.n_prompt + one.steps[i - before].end
            np.testing.assert_allclose(its.x[at], stream[end - 1].numpy(), atol=1e-4)
            assert its.y[at] == ("Wait" in one.steps[i].text)
            assert its.texts[at].endswith(one.steps[i - before].text)
            assert its.problems[at] == one.problem_id
            at += 1
    assert at == len(its)
    assert set(place.readers) == {"place alone", "wording alone", "probe, layer 2", "16 features, layer 2"}


def test_the_lens_weighs_what_the_layer_would_say_and_learns_from_other_examples(opened, marked):
    seen = {}
    last = HookPoint("resid_post", opened.inside.shape.n_layers - 1)

    def of(rows, layer, at_last):
        seen["rows"], seen["last"] = rows, at_last
        return _openings(opened, rows, at_last)

    place = places_of(opened, marked, 1, {"lens": of})
    y, train = place.examples.y, np.ones(len(place.examples), dtype=bool)
    scores = place.readers["lens"](y, train)
    one, at = seen["rows"][0], seen["rows"][0].at[0]
    said = opened.inside.modules.logits(opened.inside.read(one.whole, [last])[last])[at].float().softmax(-1)
    following = np.array([row.ids[i + 1] for row in seen["rows"] for i in row.at])
    rate = {t: (y[following == t].sum() + y.mean()) / ((following == t).sum() + 1) for t in np.unique(following)}
    assert scores[0] == pytest.approx(sum(float(said[t]) * r for t, r in rate.items()), abs=1e-4)
    train[0] = False
    assert place.readers["lens"](~y, ~train).shape == y.shape


def planted(strength, seed=0, problems=16, each=2, steps=12):
    """A direction that tells the label by so much, words that do not; labels come in runs along a rollout."""
    rng = np.random.default_rng(seed)
    n = problems * each * steps
    y = (np.cumsum(rng.random((problems * each, steps)) < 0.4, axis=1) % 2 == 1).ravel()
    x = rng.normal(size=(n, 6))
    x[:, 2] += strength * y
    rollouts = np.repeat(np.arange(problems * each), steps)
    examples = Examples.of(
        x,
        y,
        [f"q{i // each}" for i in rollouts],
        place=np.column_stack([np.tile(np.arange(steps), problems * each)] * 2),
        texts=[("so ", "then ")[int(rng.integers(2))] * 2 for _ in range(n)],
        rollouts=rollouts,
    )
    opened = readings.Opened(None, 3, None, "none")
    return Place(examples, readings._readers(opened, examples), {"features": "none"})


def test_what_is_there_is_read_beyond_the_words_and_what_is_not_is_not():
    found = told(planted(2.0), planted(2.0).examples.y, 0, 200, 200)
    probe = found.alone["probe, layer 3"]
    assert read_off(probe) and probe.value > 0.85 and not read_off(found.alone["wording alone"])
    assert found.beyond["probe, layer 3"].low > 0.1 and set(found.beyond) == {"probe, layer 3"}
    nothing = [told(planted(0.0, seed), planted(0.0, seed).examples.y, seed, 200, 200) for seed in range(8)]
    assert sum(read_off(one.alone["probe, layer 3"]) for one in nothing) <= 2
    assert sum(one.beyond["probe, layer 3"].low > 0 for one in nothing) <= 2


def test_a_reader_that_tells_problems_apart_alone_is_not_beyond_the_words():
    """Of some problems most steps are labelled; the state says of which, and nothing of when."""
    rng, place = np.random.default_rng(0), planted(0.0)
    its = place.examples
    often = {problem: rng.random() for problem in np.unique(its.problems)}
    y = np.array([rng.random() < 0.1 + 0.8 * (often[problem] > 0.5) for problem in its.problems])
    x = np.array(its.x)
    x[:, 2] += np.array([3 * (often[problem] > 0.5) for problem in its.problems])
    examples = replace(its, x=x, y=y)
    opened = readings.Opened(None, 3, None, "none")
    found = told(Place(examples, readings._readers(opened, examples)), y, 0, 300, 300).beyond["probe, layer 3"]
    assert found.low > 0.1 and found.null_mean == pytest.approx(found.value, abs=0.05)
    assert not reads_beyond(found) and reads_beyond(replace(found, low=found.null_mean + 0.01))


def test_scores_are_of_what_other_problems_taught():
    place, seen = planted(2.0), []

    def spy(y, train):
        seen.append(set(place.examples.problems[train]))
        return np.where(train, 5.0, 1.0)

    scores = held_out(spy, place.examples.y, place.examples.problems, 0)
    assert len(seen) == 5 and (scores == -4.0).all(), "each example less the mean over what it was not part of"
    assert all(len(one) < 16 for one in seen)


def test_rows_say_that_they_are_correlated_and_shuffles_fit_anew():
    place = planted(2.0)
    rows = findings("it is so", {1: place}, 0)
    assert {row.evidence for row in rows} == {"correlated"}
    assert {row.name for row in rows} == {
        "AUC: it is so, read one step before its end",
        "AUC: it is so, read one step before its end: beyond the wording",
    }
    missing = next(row for row in rows if row.group == "features")
    assert missing.value is None and missing.reason == "none"
    alone = [one for one in rates("it is so", place, "now", 20, 0) if "p < .05" in one.analysis]
    assert len(alone) == 3 and all(one.n == 20 and one.found <= 5 for one in alone)
    null = rates("it is so", planted(0.0), "now", 20, 0)
    assert len(null) == 4 and all(one.found <= 4 for one in null)
    few = planted(2.0, problems=4)
    assert rates("it is so", few, "now", 20, 0) == []
    row = findings("it is so", {1: few}, 0)[0]
    assert row.value is None and row.reason == "4 problems have such places and others, at least 5 are needed"


def test_read_off_takes_the_mean_of_the_null_into_account():
    assert read_off(Estimate(0.7, 0.62, 0.8, n=9, p=0.01, null_mean=0.6))
    assert not read_off(Estimate(0.7, 0.58, 0.8, n=9, p=0.01, null_mean=0.6))
    assert not read_off(Estimate(0.7, 0.62, 0.8, n=9, p=0.2, null_mean=0.5))
    assert not read_off(Estimate.missing("few"))


def test_a_loss_is_a_step_behind_which_the_target_is_out_of_reach_and_before_which_it_is_not():
    rng, losses, kept = random.Random(1), 0, 0
    for _ in range(30):
        task = tiny.draw_problem(rng, "countdown")
        cuts = list(tiny.parse_chain(task, tiny.write_chain(task, rng).text))
        reach = [one.reachable if one.committed else None for one in cuts]
        labels = lost_at(cuts)
        for i, label in enumerate(labels):
            was = True if i == 0 else reach[i - 1] is not False
            assert (label is None) == (reach[i] is None or not was)
            losses, kept = losses + (label is True), kept + (label is False)
            assert label is not True or reach[i] is False
    assert losses > 5 and kept > 20


def test_agreement_is_of_the_commonest_answer():
    keys = ["7"] * 18 + ["8"] * 2
    assert agrees_less(Draws.of("p", ["correct"] * 18 + ["wrong"] * 2, keys=keys)) is False
    assert agrees_less(Draws.of("p", ["correct"] * 17 + ["wrong"] * 3, keys=["7"] * 17 + ["8"] * 3)) is True
    assert agrees_less(Draws.of("p", ["wrong"] * 3, keys=[None] * 3)) is None


def test_arms_are_exchanged_by_whole_problems():
    problems = np.repeat([f"q{i}" for i in range(40)], 3)
    ones = {name: np.ones(120) for name in ("rate", "accuracy")}
    high = Arm(None, problems, ones, ones, 1, ())
    low = replace(high, counts={name: np.zeros(120) for name in ones})
    a, b = exchanged(high, low, np.random.default_rng(0))
    for name in ones:
        assert ((a.counts[name] + b.counts[name]) == 1).all()
        by_problem = a.counts[name].reshape(40, 3)
        assert (by_problem == by_problem[:, :1]).all() and 8 < by_problem[:, 0].sum() < 32
