import numpy as np
import pytest
from markov_runs import SCORER, SETTINGS, MarkovStudy

from cotlab.chains.score import Score
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.markov_specs import null, staircase
from cotlab.errors import UserError
from cotlab.trees import ConditionIds, chain_draws, choose_condition, sampled_under, value


@pytest.fixture
def study(tmp_path):
    study = MarkovStudy(tmp_path / "run", staircase())
    with study.run:
        yield study


def test_counts_every_rollout_whose_ids_pass_through(study):
    chain = study.main_path(*study.problem("Q"))
    study.resample(chain, 40)
    draws = chain_draws(study.run, chain, scorer_id=SCORER)
    assert [d.prefix_id for d in draws] == [chain.prefix(k).id for k in range(len(chain.steps) + 1)]
    whole = {}
    for k in range(len(chain.steps)):
        for rollout in study.run.rollouts(prefix_id=chain.prefix(k).id):
            if rollout.settings_id == study.settings.id:
                whole[rollout.id] = (k, chain.prefix(k).kept_ids + rollout.token_ids)
    for k, draw in enumerate(draws):
        kept = chain.prefix(k).kept_ids
        expected = {key for key, (origin, ids) in whole.items() if origin <= k and ids[: len(kept)] == kept}
        assert set(draw.rollout_ids) == expected
        assert all(whole[key][0] == origin for key, origin in zip(draw.rollout_ids, draw.origin, strict=True))
    assert len(draws[1]) > 45
    own = chain_draws(study.run, chain, scorer_id=SCORER, pooled=False)
    assert [len(d) for d in own] == [40] * len(chain.steps) + [0]


def test_values_converge_to_the_exact_ones(study):
    chain = study.main_path(*study.problem("Q"))
    study.resample(chain, 400)
    for k, draw in enumerate(chain_draws(study.run, chain, scorer_id=SCORER)[:-1]):
        exact = study.engine.value(chain.prefix(k), study.settings)
        estimate = value(draw).estimate
        assert abs(estimate.value - exact) <= 4 * np.sqrt(exact * (1 - exact) / estimate.n) + 1e-12
        assert estimate.n >= 400


def test_a_chain_chosen_for_its_outcome_does_not_bias_values(tmp_path):
    """Values of prefixes that chosen chains pass through, from rollouts of the prompt alone, over 250 problems."""
    study = MarkovStudy(tmp_path / "run", null(length=2))
    right, total, naive = np.zeros(3), np.zeros(3), np.zeros(2)
    with study.run:
        for number in range(250):
            problem, prompt = study.problem(f"Q{number}")
            rollouts = study.draw(prompt, range(16))
            chosen = next((r for r in rollouts if study.verdict(r)["outcome"] == "correct"), None)
            if chosen is None:
                continue
            chain = study.chain(problem, prompt, chosen, "first-right")
            draws = chain_draws(study.run, chain, scorer_id=SCORER)
            right += [d.count("correct") for d in draws[:3]]
            total += [len(d) for d in draws[:3]]
            assert len(draws[0]) == 16 and chosen.id in draws[0].rollout_ids
            assert chosen.id not in draws[1].rollout_ids
            first = chain.steps[0].text
            through = [
                study.verdict(r)["outcome"] == "correct"
                for r in rollouts
                if r.text.startswith(first) and r is not chosen
            ]
            naive += [sum(through), len(through)]
    deviation = (right / total - 0.5) / np.sqrt(0.25 / total)
    assert np.abs(deviation).max() < 3.5
    assert total[1] > 1000
    assert (naive[0] / naive[1] - 0.5) / np.sqrt(0.25 / naive[1]) < -3  # leaving out the chosen chain alone would show


def test_only_leading_complete_blocks_count(study):
    problem, prompt = study.problem("Q")
    chain = study.main_path(problem, prompt)
    study.draw(prompt, [0, 1, 2, 4, 5])
    draws = chain_draws(study.run, chain, scorer_id=SCORER)
    assert draws[0].sample_idx.tolist() == [0, 1, 2]
    study.draw(prompt, [3])
    assert len(chain_draws(study.run, chain, scorer_id=SCORER)[0]) == 6
    study.draw(chain.prefix(1), [1, 2])
    assert 0 == (chain_draws(study.run, chain, scorer_id=SCORER)[1].origin == 1).sum()


def test_several_conditions_need_a_choice(study):
    problem, prompt = study.problem("Q")
    chain = study.main_path(problem, prompt)
    assert sampled_under(study.run, chain) is None
    assert all(len(d) == 0 for d in chain_draws(study.run, chain, scorer_id=SCORER))
    study.draw(prompt, range(3))
    study.draw(prompt, range(2), settings=SamplingSettings(temperature=0.0, max_tokens=64))
    assert sampled_under(study.run, chain) == ConditionIds(SETTINGS.id, study.engine.card.id)
    other = SamplingSettings(temperature=0.5, max_tokens=64)
    study.draw(prompt, range(4), settings=other)
    with pytest.raises(UserError, match=f"rollouts of 2 conditions: settings .*{other.id}"):
        chain_draws(study.run, chain, scorer_id=SCORER)
    chosen = ConditionIds(other.id, study.engine.card.id)
    assert len(chain_draws(study.run, chain, scorer_id=SCORER, condition=chosen)[0]) == 4


def test_a_bare_name_is_the_last_version_of_a_scorer(study):
    problem, prompt = study.problem("Q")
    chain = study.main_path(problem, prompt)
    rollouts = study.draw(prompt, range(12))
    turned = {"answer": "0", "key": "0", "outcome": "wrong"}
    for scorer in ("boxed/2", "boxed/10", "boxed/11:last"):
        study.run.add_scores(Score("rollout", r.id, scorer, {**turned, "key": scorer}) for r in rollouts)
    assert chain_draws(study.run, chain, scorer_id="boxed")[0].answers() == {"boxed/10": 12}
    assert chain_draws(study.run, chain, scorer_id="boxed/11:last")[0].answers() == {"boxed/11:last": 12}


def test_an_unknown_scorer_is_named(study):
    chain = study.main_path(*study.problem("Q"))
    with pytest.raises(UserError, match=r"'math/9' has given no verdict in this run \(there are: boxed/1\)"):
        chain_draws(study.run, chain, scorer_id="math/9")


def test_a_condition_is_chosen_by_a_short_name(study):
    problem, prompt = study.problem("Q")
    chain = study.main_path(problem, prompt)
    assert choose_condition(study.run, [chain]) is None
    study.draw(prompt, range(3))
    assert choose_condition(study.run, [chain]) is None
    other = SamplingSettings(temperature=0.5, max_tokens=64)
    study.draw(prompt, range(4), settings=other)
    card_id = study.engine.card.id
    here, there = (f"{one.id[:6]}:{card_id[:6]}" for one in (SETTINGS, other))
    with pytest.raises(UserError, match="rollouts of 2 conditions. Choose one with --condition: ") as caught:
        choose_condition(study.run, [chain])
    assert f"{here} (temperature 1.0, top_p 1.0, markov, 3 rollouts)" in str(caught.value)
    assert f"{there} (temperature 0.5, top_p 0.95, markov, 4 rollouts)" in str(caught.value)
    for name in (SETTINGS.id[:4], here, "temperature=1", "temperature=1.0,top_p=1", "top_p=1:markov"):
        assert choose_condition(study.run, [chain], name) == ConditionIds(SETTINGS.id, card_id)
    assert choose_condition(study.run, [chain], there) == ConditionIds(other.id, card_id)
    for asked in ("temperature=0.7", "zzz", ":vllm", "colour=1"):
        with pytest.raises(UserError, match=f"no rollouts are under condition '{asked}' .*{here}") as caught:
            choose_condition(study.run, [chain], asked)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="rollouts of 2 conditions are under condition ':markov'"):
        choose_condition(study.run, [chain], ":markov")
