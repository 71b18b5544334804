"""Does more thinking help? Accuracy of answers that are forced after a part of the thoughts, over many chains.

Early answers of one chain say when that chain knows (`cotlab.measures.forced`, `early_answers`); over chains that were
chosen at random the same answers say what stopping there would cost the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cotlab.chains.chain import Chain
from cotlab.measures.accuracy import cut_off_reason
from cotlab.measures.forced import ForcedAnswers, forced_answers
from cotlab.runs import Run
from cotlab.stats import Estimate, cluster_mean, cluster_proportion
from cotlab.trees import ConditionIds, chain_verdict, resolve_scorer

__all__ = ["StoppedChain", "accuracy_at_stops", "gain_of_thinking", "left_out", "stopped_chain"]

EITHER_WAY = "truncated as wrong and as right"
"""In the method where the two ends of an interval count truncated answers differently."""
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class StoppedChain:
    """Forced answers along one chain, as shares of right ones."""

    problem: str
    positions: tuple[int, ...]
    """Steps kept, ascending; the last is the end of the thoughts."""
    right: tuple[int, ...]
    n: tuple[int, ...]
    lacking: str | None = None
    """Why the answers say nothing, where they do not."""
    cut: tuple[int, ...] = ()
    """Answers that ran into the token limit, at each position; empty where none did."""

    def at(self, share: float, *, cut_right: bool = False) -> float:
        """Share of right answers after that part of the thoughts: at the last position that was sampled by then.

        Args:
            share: Part of the thoughts.
            cut_right: Whether truncated answers count as right, else as not right.
        """
        until = share * self.positions[-1] + 1e-9
        place = max((i for i, position in enumerate(self.positions) if position <= until), default=0)
        more = self.cut[place] if cut_right and self.cut else 0
        return (self.right[place] + more) / self.n[place]


def stopped_chain(
    run: Run, chain: Chain, *, scorer_id: str, condition: ConditionIds | None = None, text: str | None = None
) -> StoppedChain:
    """The forced answers of a chain of a run (`draw_forced`).

    Args:
        run: Where they are.
        chain: A chain of the run.
        scorer_id: Whose verdicts count.
        condition: See `forced_answers`.
        text: See `forced_answers`.

    Raises:
        UserError: No answers were forced along it.
    """
    found: ForcedAnswers = forced_answers(run, chain, scorer_id=scorer_id, condition=condition, text=text)
    names = [name for draws in found.draws for name in draws.outcome_names()]
    lacking = cut_off_reason(names) or ("the problem has no gold answer" if "unjudged" in names else None)
    if chain_verdict(run, chain, resolve_scorer(run, scorer_id))["outcome"] == "truncated":
        lacking = "the chain ran into the token limit: where its thoughts end is not known"
    return StoppedChain(
        chain.problem_id,
        found.positions,
        tuple(draws.count("correct") for draws in found.draws),
        tuple(len(draws) for draws in found.draws),
        lacking,
        tuple(draws.count("truncated") for draws in found.draws),
    )


def accuracy_at_stops(
    chains: Sequence[StoppedChain], shares: Sequence[float] = QUARTERS, *, level: float = 0.95
) -> tuple[Estimate, ...]:
    """Mean accuracy over chains when an answer is forced after each of these parts of the thoughts.

    Intervals are clustered by problem. Chains must be chosen without looking at how they end; those that ran
    into the token limit are left out all the same (where their thoughts end is not known), which is such a choice:
    `left_out` tells how many. Answers that ran into the limit themselves count as not right in value and lower end, as
    right in the upper end.
    """
    usable = [chain for chain in chains if chain.lacking is None and chain.positions]
    if chains and not usable:
        return tuple(_none(chains) for _ in shares)
    return tuple(_accuracy(usable, share, level) for share in shares)


def _accuracy(usable: Sequence[StoppedChain], share: float, level: float) -> Estimate:
    problems = [chain.problem for chain in usable]
    found = cluster_proportion([chain.at(share) for chain in usable], problems, level=level)
    best = cluster_proportion([chain.at(share, cut_right=True) for chain in usable], problems, level=level)
    return found if best == found else replace(found, high=best.high, method=f"{found.method}, {EITHER_WAY}")


def left_out(chains: Sequence[StoppedChain]) -> str | None:
    """A warning where chains say nothing, and so were left out by how they end; None where all of them count."""
    lost = [chain.lacking for chain in chains if chain.lacking is not None]
    if not lost:
        return None
    why, share = Counter(lost).most_common(1)[0][0], len(lost) / len(chains)
    return (
        f"{len(lost)} of {len(chains)} chains are left out of what more thinking adds ({why}): "
        f"accuracy over all chains may differ by up to {share:.0%}"
    )


def gain_of_thinking(
    chains: Sequence[StoppedChain], first: float = 0.0, last: float = 1.0, *, level: float = 0.95
) -> Estimate:
    """Accuracy after the part `last` of the thoughts less that after the part `first`, within chains.

    Truncated answers count as not right in the value; the ends of the interval count them as it takes them farthest.
    Where all problems gain the same (nothing, say), the interval is that of scores (`cluster_mean`), and has a width.
    """
    usable = [chain for chain in chains if chain.lacking is None and chain.positions]
    if chains and not usable:
        return _none(chains)
    problems = [chain.problem for chain in usable]
    found, least, most = (
        cluster_mean(
            [chain.at(last, cut_right=up) - chain.at(first, cut_right=down) for chain in usable],
            problems,
            level=level,
            within=(-1, 1),
        )
        for down, up in ((False, False), (True, False), (False, True))
    )
    if least == most:
        return found
    return replace(found, low=least.low, high=most.high, method=f"{found.method}, {EITHER_WAY}")


def _none(chains: Sequence[StoppedChain]) -> Estimate:
    """Why no chain tells anything."""
    reason, n = Counter(chain.lacking or "no answers were forced" for chain in chains).most_common(1)[0]
    return Estimate.missing(f"in {n} of {len(chains)} chains: {reason}", method="cluster-bootstrap", n=0)
