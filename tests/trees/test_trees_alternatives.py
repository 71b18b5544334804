from itertools import pairwise
from random import Random

import pytest
from markov_runs import SCORER, MarkovStudy

from cotlab import tiny
from cotlab.chains.problem import Problem
from cotlab.engines.markov_specs import staircase
from cotlab.errors import UserError
from cotlab.trees import alternatives, by_text, by_tiny_state, chain_draws, value


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = MarkovStudy(tmp_path_factory.mktemp("alternatives") / "run", staircase())
    with study.run:
        yield study


@pytest.fixture(scope="module")
def chain(study):
    chain = study.main_path(*study.problem("Q"))
    study.resample(chain, 200)
    return chain


def test_groups_what_is_said_next(study, chain):
    found = alternatives(study.run, chain, scorer_id=SCORER)
    draws = chain_draws(study.run, chain, scorer_id=SCORER)
    assert len(found) == len(chain.steps)
    for k, groups in enumerate(found):
        exact = study.engine.next_tokens(chain.prefix(k), study.settings)
        assert sum(g.n for g in groups) == len(draws[k])
        assert sum(g.share for g in groups) == pytest.approx(1)
        assert sorted(rollout for g in groups for rollout in g.rollout_ids) == sorted(draws[k].rollout_ids)
        assert [g.n for g in groups] == sorted((g.n for g in groups), reverse=True)
        assert [g.same_as_base for g in groups].count(True) == 1
        for group in groups:
            (token,) = study.engine.tokenizer.encode(group.text)
            assert group.share == pytest.approx(exact[token], abs=0.12)
            assert group.same_as_base == (group.text == chain.steps[k].text)


def test_values_of_alternatives_are_those_after_them(study, chain):
    step, other = alternatives(study.run, chain, 1, scorer_id=SCORER)[0]
    if not step.same_as_base:
        step, other = other, step
    after = chain.prefix(1).extend(tuple(study.engine.tokenizer.encode(other.text)))
    assert other.text == " Other B.\n"
    assert other.value.value == pytest.approx(study.engine.value(after, study.settings), abs=0.1)
    assert step.value.value == pytest.approx(study.engine.value(chain.prefix(2), study.settings), abs=0.1)
    before = value(chain_draws(study.run, chain, scorer_id=SCORER)[1]).estimate
    mixed = step.share * step.value.value + other.share * other.value.value
    assert mixed == pytest.approx(before.value)
    assert sum(other.answers.values()) == other.n and set(other.answers) <= {"7", "3", "5"}


def test_the_tokenizer_makes_no_difference_on_whole_lines(study, chain):
    with_tokens = alternatives(study.run, chain, scorer_id=SCORER, tokenizer=study.engine.tokenizer)
    assert with_tokens == alternatives(study.run, chain, scorer_id=SCORER)


def test_own_grouping(study, chain):
    (group,) = alternatives(study.run, chain, 1, scorer_id=SCORER, group=lambda kept, step: str(len(kept)))[0]
    assert (group.share, group.same_as_base, group.text) == (1.0, True, chain.steps[1].text)
    assert by_text("", " Two \n words.") == by_text("x", "Two words. ")


def test_small_groups_have_no_value(study, chain):
    found = alternatives(study.run, chain, 0, scorer_id=SCORER, min_n=10_000)[0]
    assert all(g.value.value is None and "at least 10000" in g.value.reason and g.n > 0 for g in found)


def test_a_step_beyond_the_chain_is_refused(study, chain):
    with pytest.raises(ValueError, match=f"k is 99, expected 0..{len(chain.steps) - 1}"):
        alternatives(study.run, chain, 99, scorer_id=SCORER)


def test_tiny_states_join_different_words():
    problem = tiny.generate_problems(1, seed=0, family="countdown", split="heldout")[0]
    group = by_tiny_state(Problem(problem.question))
    said = {}
    for seed in range(6):
        written = tiny.write_chain(problem, Random(seed))
        for step in written.steps:
            assert group(written.text[: step.start], step.text + "\n") == step.state
            said.setdefault(step.state, set()).add(step.text)
    assert len(said) > 3
    assert max(len(texts) for texts in said.values()) > 3
    with pytest.raises(UserError, match="no exact states"):
        by_tiny_state(Problem("What is 6 x 7?"))


def test_first_steps_are_those_of_the_whole_however_little_is_cut():
    from cotlab.chains.cutting import get_cutter
    from cotlab.trees.paths import _first

    cutter, rng, asked = get_cutter("sentences"), Random(4), []
    sayings = ["So 3 + 4 = 7.", "Wait.", "Hmm, no.", "\\[ x^2 = 4. \\]", "1. Let k be 2, e.g. even.\n\n", "Is it? Yes!"]

    def cut(part: str) -> list[str]:
        asked.append(len(part))
        return [part[start:end] for start, end in pairwise((0, *cutter.cut_text(part)))]

    for _ in range(60):
        text = " ".join(rng.choices(sayings, k=400))
        whole = cut(text)
        asked.clear()
        assert [_first(text, cut, depth) for depth in (0, 1, 3)] == [[], whole[:1], whole[:3]]
        assert max(asked) < len(text) / 4
