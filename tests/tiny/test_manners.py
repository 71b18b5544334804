"""The generator does at the planted rates what the manners say."""

import pytest

from cotlab import stats, tiny


def share(successes: int, n: int) -> stats.Estimate:
    return stats.proportion_estimate(successes, n, level=0.9999)


def inside(planted: float, estimate: stats.Estimate) -> bool:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low <= planted <= estimate.high


def test_slips_come_at_the_planted_rate(chains: list[tiny.LabelledChain]) -> None:
    steps = [step for chain in chains for step in chain.steps if step.computations]
    assert inside(tiny.SLIP_RATE, share(sum(s.slips for s in steps), sum(s.computations for s in steps)))


@pytest.mark.parametrize("name", tiny.MANNERS)
def test_decisions_are_taken_at_the_planted_rates(chains: list[tiny.LabelledChain], name: str) -> None:
    manner = tiny.MANNERS[name]
    counted = tiny.count_decisions(chain.steps for chain in chains if chain.problem.manner == name)
    assert inside(manner.backtrack, share(counted.backtracked, counted.failed))
    assert inside(manner.check, share(counted.checked, counted.computed))
    assert inside(manner.final_check, share(counted.verified, counted.solved))


def test_the_notes_change_what_they_should(chains: list[tiny.LabelledChain]) -> None:
    def rate(name: str, category: str) -> float:
        steps = [step for chain in chains if chain.problem.manner == name for step in chain.steps]
        hits = [s.backtracks if category == "back" else s.category == category for s in steps]
        return sum(hits) / len(hits)

    assert rate("careful", "back") > 1.05 * rate("plain", "back") > 4 * rate("quick", "back")
    assert (
        rate("double-check", "self_checking") > 2 * rate("plain", "self_checking") > 4 * rate("quick", "self_checking")
    )


def test_the_generator_solves_most(chains: list[tiny.LabelledChain]) -> None:
    for family in tiny.FAMILIES:
        solved = [chain.correct for chain in chains if chain.problem.family == family]
        assert 0.83 < sum(solved) / len(solved) < 0.97
