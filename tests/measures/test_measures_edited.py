"""Edits, forced answers and avoided steps on the exact engine: the model that edits make is known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from markov_runs import SCORER, MarkovStudy

from cotlab.chains.score import Score
from cotlab.engines.markov import MarkovEngine
from cotlab.engines.markov_spec import EOS, Edge, MarkovSpec
from cotlab.errors import UserError
from cotlab.interventions import DeleteStep, ForceAnswer, InsertText, ReplaceStep
from cotlab.measures import (
    AvoidedDraws,
    ExactText,
    alike,
    avoiding_effect,
    chain_rollouts,
    edited_prefixes,
    forced_answers,
    forced_importance,
    interaction,
    on_policy_effect,
    resilience,
    rollout_draws,
    step_effect,
    subsets,
)
from cotlab.sampling import (
    Avoidance,
    Avoided,
    Sampler,
    draw_avoiding,
    draw_avoiding_each,
    draw_edited,
    draw_forced,
)
from cotlab.trees import ConditionIds, begun_at

N = 300
P_KEY = 0.3


def two_keys(p_key=P_KEY):
    """Two steps that do the same work: right if either key was found. Each may come up again later."""
    edges, answers = [], [("said 7", "7"), ("said 3", "3")]
    for state, found in (("00", 0), ("10", 1), ("01", 1), ("11", 1)):
        a, b = state
        for turn in range(2):
            name = f"{state}/{turn}"
            following = f"/{turn + 1}"
            edges += [
                Edge(name, " Key A.\n", p_key, f"1{b}{following}"),
                Edge(name, " Key B.\n", p_key, f"{a}1{following}"),
                Edge(name, " Nothing.\n", 1 - 2 * p_key, f"{state}{following}"),
            ]
        edges.append(Edge(f"{state}/2", "</think>\n", 1.0, f"answer{found}"))
    for found in (0, 1):
        edges.append(Edge(f"answer{found}", "\\boxed{7}", 0.9 if found else 0.1, "said 7"))
        edges.append(Edge(f"answer{found}", "\\boxed{3}", 0.1 if found else 0.9, "said 3"))
    edges += [Edge("said 7", EOS, 1.0), Edge("said 3", EOS, 1.0)]
    return MarkovSpec("two-keys", "00/0", tuple(edges), tuple(answers), gold="7")


def without(spec, symbols):
    """The same law with some symbols taken out, the others in their old proportions."""
    kept = [edge for edge in spec.edges if edge.symbol not in symbols]
    mass = {}
    for edge in kept:
        mass[edge.state] = mass.get(edge.state, 0) + edge.p
    return replace(spec, name="without", edges=tuple(replace(edge, p=edge.p / mass[edge.state]) for edge in kept))


def answering(jumps=(0.2, 0.0, 0.3), base=0.2):
    """A chain that can be made to answer at every step: closing the thoughts leads to an answer of known chance."""
    edges, values = [], np.cumsum([base, *jumps])
    for i, value in enumerate(values):
        if i < len(jumps):
            edges.append(Edge(f"at{i}", f" Step {i}.\n", 0.9, f"at{i + 1}"))
        edges.append(Edge(f"at{i}", "</think>\n", 0.1 if i < len(jumps) else 1.0, f"answer{i}"))
        edges.append(Edge(f"answer{i}", "\\boxed{7}", value, "said 7"))
        edges.append(Edge(f"answer{i}", "\\boxed{3}", 1 - value, "said 3"))
    edges += [Edge("said 7", EOS, 1.0), Edge("said 3", EOS, 1.0)]
    return MarkovSpec("answering", "at0", tuple(edges), (("said 7", "7"), ("said 3", "3")), gold="7"), values


def sampler(study):
    return Sampler(study.run, study.engine, study.run.add_study({"kind": "edit"}, 0), seed=0)


def score(study):
    study.run.add_scores(Score("rollout", r.id, SCORER, study.verdict(r)) for r in list(study.run.unscored(SCORER)))


def condition(study):
    return ConditionIds(study.settings.id, study.engine.card.id)


def chain_saying(study, wanted):
    problem, prompt = study.problem("Q")
    rollouts = (study.sample(prompt, [i])[0] for i in range(5_000, 100_000))
    rollout = next(r for r in rollouts if r.text.startswith(wanted))
    study.store([rollout])
    return study.chain(problem, prompt, rollout, "given")


@pytest.fixture
def keys(tmp_path):
    study = MarkovStudy(tmp_path / "run", two_keys())
    with study.run:
        chain = chain_saying(study, " Key A.\n Key B.\n")
        study.resample(chain, N)
        yield study, chain


def avoid(study, chain, steps, n=N, rounds=20, start=None):
    """All trails that never say these steps, as a measure takes them."""
    texts, similar = [chain.steps[i].text for i in steps], ExactText()
    trails = draw_avoiding(
        sampler(study),
        chain,
        Avoidance(chain.id, min(steps) if start is None else start, tuple(steps), rounds),
        lambda said: alike(similar, texts, said).any(axis=0).tolist(),
        n,
        study.settings,
    )
    score(study)
    escaped = [trail for trail in trails if trail.escaped]
    draws = rollout_draws(study.run, [(t.prefix.id, t.rollout.id) for t in escaped], scorer_id=SCORER, name="avoided")
    rounds_ = tuple(trail.rounds for trail in trails)
    return AvoidedDraws(draws, tuple(t.number for t in escaped), rounds_, sum(t.given_up for t in trails))


def test_several_sets_are_avoided_together_as_each_by_itself(keys):
    """One batch a round, and first rounds that are shared are drawn once."""
    study, chain = keys

    def asked(step):
        text, similar = chain.steps[step].text, ExactText()
        judge = lambda said: alike(similar, [text], said)[0].tolist()  # noqa: E731
        return Avoided(chain, Avoidance(chain.id, step, (step,)), judge)

    both = draw_avoiding_each(sampler(study), [asked(0), asked(1), asked(0)], 60, study.settings)
    before = study.run.summary().rollouts
    for step, together in ((0, both[0]), (1, both[1]), (0, both[2])):
        one = asked(step)
        alone = draw_avoiding(sampler(study), chain, one.avoidance, one.is_avoided, 60, study.settings)
        assert [(t.prefix.id, t.rounds, t.rollout.id) for t in alone] == [
            (t.prefix.id, t.rounds, t.rollout.id) for t in together
        ]
    assert study.run.summary().rollouts == before


def test_avoided_steps_have_the_law_of_the_model_without_them(keys):
    study, chain = keys
    for steps, symbols in (((0,), {" Key A.\n"}), ((1,), {" Key B.\n"}), ((0, 1), {" Key A.\n", " Key B.\n"})):
        found = avoid(study, chain, steps)
        exact = MarkovEngine(without(study.engine.spec, symbols)).value(chain.prefix(min(steps)), study.settings)
        estimate = avoiding_effect(found, chain_rollouts(study.run, chain, scorer_id=SCORER).draws(min(steps)))
        truth = study.engine.value(chain.prefix(min(steps)), study.settings) - exact
        assert len(found.draws) == N and found.given_up == 0
        assert estimate.low <= truth <= estimate.high
        assert estimate.value == pytest.approx(truth, abs=0.1)


def test_a_second_call_samples_nothing_and_finds_the_same(keys):
    study, chain = keys
    first = avoid(study, chain, (0,), n=40)
    stored = study.run.summary().rollouts
    again = avoid(study, chain, (0,), n=40)
    assert study.run.summary().rollouts == stored
    assert again.rounds == first.rounds and again.draws.rollout_ids.tolist() == first.draws.rollout_ids.tolist()


def test_resilience_is_the_mean_of_a_geometric_number(keys):
    """At each of two turns the key comes up with chance p; rounds until it does not: p/(1−p) each."""
    study, chain = keys
    found = resilience(avoid(study, chain, (0,)))
    exact = 2 * P_KEY / (1 - P_KEY)
    assert found.low <= exact <= found.high and found.n == N
    assert found.value == pytest.approx(exact, abs=0.2)


def test_steps_that_stand_in_for_each_other_have_a_positive_interaction(keys):
    study, chain = keys
    start = chain_rollouts(study.run, chain, scorer_id=SCORER).draws(0)
    found, exact = {}, {}
    for steps in subsets((0, 1)):
        found[steps] = avoid(study, chain, steps, start=0)
        engine = MarkovEngine(without(study.engine.spec, {chain.steps[i].text for i in steps}))
        there, instead = (one.value(chain.prefix(0), study.settings) for one in (study.engine, engine))
        exact[steps] = there - instead
    truth = exact[0, 1] - exact[0,] - exact[1,]
    estimate = interaction(found, start)
    assert truth > 0.3
    assert estimate.low <= truth <= estimate.high and estimate.low > 0
    with pytest.raises(ValueError, match="every subset"):
        interaction({(0, 1): found[0, 1]}, start)


def test_what_is_always_said_is_given_up_with_a_reason(tmp_path):
    study = MarkovStudy(tmp_path / "run", two_keys(0.499))
    with study.run:
        chain = chain_saying(study, " Key A.\n Key B.\n")
        study.resample(chain, 30)
        found = avoid(study, chain, (0, 1), n=20, rounds=3)
        assert found.given_up > 10
        assert "still say it after 3 rounds" in resilience(found).reason
        draws = chain_rollouts(study.run, chain, scorer_id=SCORER).draws(0)
        assert avoiding_effect(found, draws).reason == resilience(found).reason


def test_forced_answers_converge_to_the_planted_values(tmp_path):
    spec, values = answering()
    study = MarkovStudy(tmp_path / "run", spec)
    with study.run:
        chain = chain_saying(study, " Step 0.\n Step 1.\n Step 2.\n")
        study.resample(chain, 20)
        edited = draw_forced(sampler(study), chain, N, study.settings, text="</think>\n")
        score(study)
        found = forced_answers(study.run, chain, scorer_id=SCORER)
        assert found.positions == (0, 1, 2, 3) and found.text == "</think>\n"
        for one, draws, value in zip(edited, found.draws, values, strict=True):
            assert study.engine.value(one.prefix, study.settings) == pytest.approx(value)
            assert len(draws) == N and draws.count("correct") / N == pytest.approx(value, abs=0.1)
        steps = forced_importance(found)
        assert [e.low <= jump <= e.high for e, jump in zip(steps, (0.2, 0.0, 0.3), strict=True)] == [True] * 3
        assert [e.q < 0.05 for e in steps] == [True, False, True]
        assert forced_importance(found, metric="kl")[2].value > 0.05
        edges = [edge for edge in study.run.edges() if edge.kind == "edit"]
        assert [(edge.parent_id, edge.child_id) for edge in edges] == [(o.base.id, o.prefix.id) for o in edited]
        assert all(edge.spec == [ForceAnswer("</think>\n").to_json()] for edge in edges)
        stored = study.run.summary().rollouts
        draw_forced(sampler(study), chain, N, study.settings, text="</think>\n")
        assert study.run.summary().rollouts == stored


def test_forced_answers_that_are_not_there_are_one_line(keys):
    study, chain = keys
    with pytest.raises(UserError, match="no answers were forced"):
        forced_answers(study.run, chain, scorer_id=SCORER)


def test_edited_prefixes_have_the_value_that_the_edit_leads_to(keys):
    study, chain = keys
    edits = [
        (2, (ReplaceStep(1, " Nothing.\n"),)),
        (2, (DeleteStep(0), DeleteStep(1))),
        (2, (ReplaceStep(0, " Nothing.\n"), ReplaceStep(1, " Nothing.\n"))),
        (1, (InsertText(1, " Nothing.\n"),)),
    ]
    made = draw_edited(sampler(study), chain, edits, N, study.settings)
    score(study)
    assert [(keep, edit) for keep, _, edit in edited_prefixes(study.run, chain)] == [
        (keep, tuple(edit)) for keep, edit in edits
    ]
    for one in made:
        draws = begun_at(study.run, one.prefix.id, scorer_id=SCORER, condition=condition(study))
        exact = study.engine.value(one.prefix, study.settings)
        effect = step_effect(chain_rollouts(study.run, chain, scorer_id=SCORER).draws(0), draws)
        start = study.engine.value(chain.prefix(0), study.settings)
        assert effect.low <= exact - start <= effect.high
        assert study.run.kept_text(one.prefix.id) == one.kept_text


def test_on_policy_edits_converge_to_the_exact_effect(keys):
    study, chain = keys
    data = chain_rollouts(study.run, chain, scorer_id=SCORER)
    found = on_policy_effect(data, 0, " Key B.\n")
    engine, prompt = study.engine, chain.prefix(0)

    def after(symbol):
        return engine.value(prompt.extend((engine.tokenizer.token(symbol),)), study.settings)

    other = (P_KEY * after(" Key A.\n") + (1 - 2 * P_KEY) * after(" Nothing.\n")) / (1 - P_KEY)
    assert found.effect.low <= after(" Key B.\n") - other <= found.effect.high
    assert found.share.low <= P_KEY <= found.share.high
    never = on_policy_effect(data, 0, " Never.\n")
    assert (
        never.share.value == 0
        and never.effect.reason == f"0 of {len(data.draws(0))} rollouts say it, at least 10 are needed"
    )
