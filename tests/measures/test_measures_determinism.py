import numpy as np
import pytest
from markov_runs import SCORER, SETTINGS, MarkovStudy

from cotlab.engines.markov_specs import staircase
from cotlab.measures import chain_determinism, greedy_control
from cotlab.measures.determinism import Regenerated, determinism
from cotlab.sampling import Sampler, draw_greedy_control, greedy_settings


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = MarkovStudy(tmp_path_factory.mktemp("determinism") / "run", staircase())
    with made.run:
        chain = made.main_path(*made.problem("Q"))
        made.resample(chain, 400)
        yield made, chain


def test_agreement_and_entropy_converge_to_what_the_engine_knows(study):
    made, chain = study
    for found in chain_determinism(made.run, chain, scorer_id=SCORER):
        law = np.array(list(made.engine.answer_distribution(chain.prefix(found.position), SETTINGS).values()))
        assert found.n == 400 and found.answered.value == 1
        assert found.agreement.low - 0.03 <= (law**2).sum() <= found.agreement.high + 0.03
        assert found.answer_entropy.value == pytest.approx(-(law * np.log(law)).sum(), abs=0.08)
        key = "7" if "7" in chain.steps[-1].text else chain.steps[-1].text[-2]
        exact = made.engine.value(chain.prefix(found.position), SETTINGS, key)
        assert found.same_as_chain.value == pytest.approx(exact, abs=0.09)


def test_texts_are_told_apart_token_for_token(study):
    """Of the last position the only text left is the answer itself; of the first one many lead to one answer."""
    made, chain = study
    found = chain_determinism(made.run, chain, scorer_id=SCORER)
    assert found[-1].exact_text == found[-1].agreement
    assert found[0].exact_text.value < found[0].agreement.value / 2
    assert found[0].text_entropy.value > found[0].answer_entropy.value


def test_the_control_of_an_engine_without_noise_of_its_own_is_all_equal(study):
    made, chain = study
    sampler = Sampler(made.run, made.engine, made.study_id, seed=0)
    draw_greedy_control(sampler, chain, [0, 3], 12, SETTINGS)
    drawn = sampler.drawn.rollouts
    draw_greedy_control(sampler, chain, [0, 3], 12, SETTINGS)
    assert drawn == 48 == sampler.drawn.rollouts
    greedy = greedy_settings(SETTINGS)
    made.run.add_settings(greedy)
    controls = greedy_control(made.run, chain, settings_id=greedy.id, engine_card_id=made.engine.card.id)
    assert [c.position for c in controls] == [0, 3]
    for control in controls:
        assert control.together.value == control.alone.value == control.across.value == 1
        assert control.together.n == 12 and control.first_difference is None


def test_a_difference_between_batches_shows():
    from cotlab.measures.determinism import _control

    found = _control(2, [(1, 2, 3)] * 8, [(1, 2, 4)] * 6 + [(1, 2, 3)] * 2)
    assert found.together.value == 1 and found.alone.value == pytest.approx((30 + 2) / 56)
    assert found.across.value == pytest.approx(2 / 8) and found.across.low < 0.25 < found.across.high
    assert found.first_difference == 2


def regenerated(keys):
    return [Regenerated(i, key) for i, key in enumerate(keys)]


def test_what_cannot_be_measured_says_why():
    one = determinism(regenerated(["7"]), position=0, chain_key="7")
    assert one.agreement.reason == "1 rollouts, at least 10 are needed" == one.exact_text.reason
    unread = determinism(regenerated([None] * 20), position=0, chain_key="7")
    assert unread.answered.value == 0 and unread.agreement.reason == "0 rollouts, at least 10 are needed"
    alike = determinism(regenerated(["7"] * 20), position=0, chain_key=None)
    assert alike.agreement.value == 1 and alike.agreement.low < 1 and alike.answer_entropy.value == 0
    assert alike.same_as_chain.reason == "the chain gives no answer"
    assert "all 20 rollouts differ" in alike.text_entropy.reason
