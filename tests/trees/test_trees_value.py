import pytest

from cotlab.trees import Draws, value


def test_truncated_rollouts_leave_bounds():
    found = value(Draws.of("p", ["correct"] * 6 + ["wrong"] * 2 + ["unparsable"] * 2 + ["truncated"] * 10))
    assert (found.estimate.value, found.estimate.n) == (0.3, 20)
    assert found.truncated_share == 0.5
    assert found.bounds == pytest.approx((0.3, 0.8))


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([], "no rollouts"),
        (["correct"] * 9, "9 rollouts, at least 10"),
        (["unjudged"] * 20, "answers of its rollouts are not known"),
        (["truncated"] * 20, "all 20 rollouts were truncated"),
    ],
)
def test_too_little_is_a_reason(outcomes, reason):
    found = value(Draws.of("p", outcomes))
    assert found.estimate.value is None and reason in found.estimate.reason
    assert found.bounds is None
    assert found.estimate.n == len(outcomes)


def test_draws_count_answers_and_outcomes():
    draws = Draws.of("p", ["correct", "wrong", "wrong", "unparsable"], keys=["7", "3", "3", None])
    assert draws.answers() == {"3": 2, "7": 1}
    assert draws.outcome_counts()["wrong"] == 2 and sum(draws.outcome_counts().values()) == 4
    kept = draws.select([0, 3])
    assert (len(kept), kept.rollout_ids.tolist(), kept.keys.tolist()) == (2, ["p/0", "p/3"], ["7", None])


def test_an_unknown_outcome_is_refused():
    with pytest.raises(ValueError, match="outcome 'right' is unknown"):
        Draws.of("p", ["right"])
