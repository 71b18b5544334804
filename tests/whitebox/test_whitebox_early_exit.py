"""Early exit: the rule against a count by hand, planted readiness against noise; and curves along a chain."""

import numpy as np
import pytest

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.errors import DataError, ModelError
from cotlab.interventions import HookPoint
from cotlab.whitebox import ExitChain, Inside, Probe, ProbeCard, judge_exits, probe_curve
from cotlab.whitebox.early_exit import _Rule
from cotlab.whitebox.examples import Examples

D = 8


def chains_of(n_problems=30, each=4, steps=10, seed=0):
    """The answer is there from a random step on; forced earlier it is right one time in five."""
    rng, chains = np.random.default_rng(seed), []
    for problem in range(n_problems):
        for _ in range(each):
            at = int(rng.integers(2, steps))
            ready = tuple(float(i >= at or rng.random() < 0.2) for i in range(steps))
            ends = tuple(range(10, 10 * steps + 1, 10))
            chains.append(ExitChain(f"p{problem}", 10 * steps + 6, 1.0, ends, (5,) * steps, ready))
    return chains


def examples_of(chains, signal, seed=1):
    rng = np.random.default_rng(seed)
    y = np.concatenate([chain.ready for chain in chains]) >= 0.5
    x = rng.normal(size=(len(y), D))
    x[:, 0] += signal * y
    place = [(end, i) for chain in chains for i, end in enumerate(chain.ends)]
    problems = [chain.problem_id for chain in chains for _ in chain.ends]
    return Examples.of(x, y, problems, place=place, texts=["same words"] * len(y), label="ready", hook="resid_post:1")


def test_the_rule_by_hand():
    chains = [
        ExitChain("a", 50, 1.0, (10, 20, 30), (5, 5, 5), (0.0, 1.0, 1.0)),
        ExitChain("b", 40, 0.0, (15, 25), (4, 4), (1.0, 0.0)),
        ExitChain("c", 30, 1.0, (12,), (3,), (0.0,)),
    ]
    rule = _Rule(chains, [slice(0, 3), slice(3, 5), slice(5, 6)], 0)
    scores = np.array([0.2, 0.9, 0.1, 0.6, 0.95, 0.3])
    places = rule.leave(scores, 0.6)
    assert places == [1, 0, -1]
    assert rule.used(places).tolist() == [25, 19, 30] and rule.right_at(places).tolist() == [1, 1, 1]
    assert rule.saving(74, scores) == places, "the same saving is reached at the same places"
    assert rule.saving(1e9, scores) == [-1, -1, -1]


def test_a_probe_that_knows_saves_tokens_and_keeps_accuracy_where_controls_lose_it():
    chains = chains_of()
    report = judge_exits(chains, examples_of(chains, 6.0), (0.5, 0.9), n_shuffles=3)
    assert report.accuracy == 1.0 and report.best == 1.0 and report.probe.auc.value > 0.95
    sure = report.rows[1]
    assert sure.left > 0.9 and sure.saved.low > 0.2 and sure.lost.low > -0.1
    assert sure.controls["blind"].high < sure.lost.low, "leaving as early without knowing costs accuracy"
    assert report.best_saved >= sure.saved.value - 0.05
    assert report.rows[0].saved.value >= sure.saved.value


def test_a_probe_that_knows_nothing_is_no_better_than_its_controls():
    chains = chains_of()
    report = judge_exits(chains, examples_of(chains, 0.0), (0.6,), n_shuffles=3)
    (row,) = report.rows
    assert abs(row.lost.value - row.controls["blind"].value) < 0.1
    with pytest.raises(ValueError, match="expected one each"):
        judge_exits(chains[:-1], examples_of(chains, 0.0), (0.6,))


@pytest.fixture(scope="module")
def inside():
    return Inside.open("tiny")


def chain_in(inside):
    prompt = tuple(inside.tokenizer.encode("From 2, 5 and 9 I need 17.\n"))
    response = tuple(inside.tokenizer.encode("Try 2 + 5 = 7, leaving 7 and 9.\nTry 7 + 9 = 16.\nThat is not 17.\n"))
    cutter = get_cutter("sentences")
    return Chain("p0", "r0", prompt, response, cutter.id, tuple(cutter.cut(response, inside.tokenizer)), "given")


def test_a_curve_is_the_probe_at_every_token_and_says_whether_it_flatters(inside):
    chain, rng = chain_in(inside), np.random.default_rng(0)
    probes = [
        Probe(rng.normal(size=256) / 50, 0.1, ProbeCard("correct", hook, "ridge", "tiny", inside.revision, problems=of))
        for hook, of in (("resid_post:1", ("p0", "p1")), ("resid_post:3", ("p1",)))
    ]
    curves = probe_curve(inside, probes, chain)
    ids = chain.prompt_ids + chain.response_ids
    for probe, curve in zip(probes, curves, strict=True):
        point = HookPoint.parse(probe.card.hook)
        read = inside.read(ids, [point])[point].numpy()
        assert curve.tokens == pytest.approx(probe.probabilities(read[len(chain.prompt_ids) :]))
        live = [  # what would have been said with nothing behind the token yet
            float(probe.probabilities(inside.read(ids[: len(chain.prompt_ids) + end + 1], [point])[point].numpy()[-1]))
            for end in curve.ends
        ]
        assert curve.steps == pytest.approx(live, abs=1e-4)
    assert [curve.seen for curve in curves] == [True, False]
    document = curves[0].to_json()
    assert len(document["tokens"]) == len(chain.response_ids) and len(document["steps"]) == len(chain.steps)


def test_probes_that_do_not_fit_are_one_line(inside):
    chain = chain_in(inside)
    with pytest.raises(ModelError, match="fit it on this model"):
        probe_curve(inside, [Probe(np.ones(256), 0.0, ProbeCard("c", "resid_post:1", "ridge", "big", "other"))], chain)
    with pytest.raises(DataError, match="does not say at which hook point"):
        probe_curve(inside, [Probe(np.ones(256), 0.0, ProbeCard("c", "", "ridge"))], chain)
    with pytest.raises(DataError, match="have width 256"):
        probe_curve(inside, [Probe(np.ones(4), 0.0, ProbeCard("c", "resid_post:1", "ridge"))], chain)
