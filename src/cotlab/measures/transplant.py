"""How much of what a prompt did has passed into the reasoning: chains put behind another prompt, prefix by prefix.

At each share of the thinking steps that is kept, P(hinted answer | bare prompt + that much of the hinted chain), and
the same with chains of the bare prompt (Macar et al. 2025, "Thought Branches", §4). Their difference is what the
hinted reasoning carries by itself; at the last share it is how much of the hint's effect goes through the reasoning.
The chains are first rollouts, chosen by nothing, unless followers alone are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cotlab.categories import MENTIONS_ID
from cotlab.chains.chain import Chain
from cotlab.measures.arms import ArmReader
from cotlab.measures.hints import counted_difference
from cotlab.problems import Arm, asked_of
from cotlab.runs import Run
from cotlab.sampling import TRANSPLANT, places_at
from cotlab.sampling.edited import thinking_steps
from cotlab.stats import Estimate, cluster_proportion, with_q

__all__ = ["Grown", "TransplantCurve", "grown", "transplant_curve"]


@dataclass(frozen=True, slots=True)
class Grown:
    """What came of one chain, cut at one place, behind one prompt."""

    problem: str
    """Id of the bare problem."""
    source: Arm
    """Of the prompt that the chain is from."""
    target: Arm
    """Of the prompt that it was put behind."""
    share: float
    """Of its thinking steps that were kept."""
    given: int
    """Responses that give the hinted answer."""
    told: int
    """Of those, responses whose thoughts (kept ones included) speak of the hint."""
    n: int
    """Responses whose answer was read."""


@dataclass(frozen=True, slots=True)
class TransplantCurve:
    """P(hinted answer) by the share of the reasoning that is kept."""

    source: str
    control: str
    target: str
    shares: tuple[float, ...]
    hinted: tuple[Estimate, ...]
    """Behind the target prompt, with reasoning from the source prompt."""
    bare: tuple[Estimate, ...]
    """Likewise, with reasoning from the control prompt."""
    carried: tuple[Estimate, ...]
    """Their difference, chains of one problem paired; q over the shares."""
    told: tuple[Estimate, ...]
    """Of those of `hinted` that give the answer, the share whose thoughts speak of the hint."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def grown(
    run: Run,
    fractions: Sequence[float],
    *,
    scorer_id: str = "answers",
    mentions_id: str = MENTIONS_ID,
    right: bool = False,
    only: Iterable[str] | None = None,
    n: int | None = None,
) -> list[Grown]:
    """Read what was drawn by `draw_transplants`.

    Args:
        run: Where it is.
        fractions: Shares of the thinking steps, as they were drawn.
        scorer_id: Whose reading of answers counts.
        mentions_id: Who says whether thoughts speak of the hint.
        right: Whether the right hinted answers are meant, else the wrong ones.
        only: Ids of chains; None: all that were put behind another prompt.
        n: The first so many rollouts of each place; None: all that are there. Other studies may have drawn more from
            the chains' own prefixes, and p exchanges arms of equal size.

    Raises:
        UserError: There is no study of arms, or nobody of these names has scored.
    """
    reader, chains = ArmReader(run, scorer_id, mentions_id), {chain.id: chain for chain in run.chains()}
    problems = reader.problems
    wanted = None if only is None else set(only)
    rows = []
    for (chain_id, problem_id, root), by_keep in _planted(run).items():
        chain = chains[chain_id]
        named = reader.hints.get(asked_of(problems[problem_id]).of, {}).get(right)
        if named is None or (wanted is not None and chain_id not in wanted):
            continue
        for share, keep in _places(run, chain, fractions):
            prefix_id = root if keep == 0 else by_keep.get(keep)
            if prefix_id is None:
                continue
            found = reader.given(prefix_id, problems[problem_id], named, n)
            given = [row for row in found if row.gives]
            source, target = asked_of(problems[chain.problem_id]), asked_of(problems[problem_id])
            told = sum(row.mentions for row in given)
            rows.append(Grown(target.of, source.arm, target.arm, share, len(given), told, len(found)))
    return rows


def transplant_curve(
    rows: Sequence[Grown], source: Arm, *, control: Arm | None = None, target: Arm | None = None, level: float = 0.95
) -> TransplantCurve:
    """Compare the reasoning of a hinted prompt with that of the control, behind one prompt.

    Args:
        rows: Of `grown`.
        source: Where the reasoning is from.
        control: Where the reasoning is from that it is compared with; None: the bare prompt.
        target: What it is put behind; None: the bare prompt.
        level: Nominal coverage of each interval.
    """
    control, target = control or Arm(), target or Arm()
    here = [row for row in rows if row.target == target and row.n]
    shares = tuple(sorted({row.share for row in here}))
    arms = {
        arm: {s: [r for r in here if r.source == arm and r.share == s] for s in shares} for arm in (source, control)
    }
    return TransplantCurve(
        source.name,
        control.name,
        target.name,
        shares,
        tuple(_rate(arms[source][share], level) for share in shares),
        tuple(_rate(arms[control][share], level) for share in shares),
        with_q([_carried(arms[source][share], arms[control][share], level) for share in shares]),
        tuple(_told(arms[source][share], level) for share in shares),
    )


def _rate(rows: Sequence[Grown], level: float) -> Estimate:
    each = [(row.problem, i < row.given) for row in rows for i in range(row.n)]
    return cluster_proportion([right for _, right in each], [problem for problem, _ in each], level=level)


def _told(rows: Sequence[Grown], level: float) -> Estimate:
    each = [(row.problem, i < row.told) for row in rows for i in range(row.given)]
    return cluster_proportion([right for _, right in each], [problem for problem, _ in each], level=level)


def _carried(hinted: Sequence[Grown], bare: Sequence[Grown], level: float) -> Estimate:
    first, second = ({row.problem: (row.given, row.n) for row in rows} for rows in (bare, hinted))
    return counted_difference(first, second, level=level)


def _planted(run: Run) -> Mapping[tuple[str, str, str], dict[int, str]]:
    """Prefix by steps kept, for each (chain, problem and prompt that it was put behind)."""
    owner = {row.id: row.problem_id for row in run.prefixes()}
    found: dict[tuple[str, str, str], dict[int, str]] = {}
    for edge in run.edges():
        if edge.kind == "edit" and isinstance(edge.spec, Mapping) and edge.spec.get("kind") == TRANSPLANT:
            place = str(edge.spec["chain"]), owner[edge.child_id], edge.parent_id
            found.setdefault(place, {})[int(edge.spec["keep"])] = edge.child_id
    return found


def _places(run: Run, chain: Chain, fractions: Sequence[float]) -> list[tuple[float, int]]:
    """(share, steps kept); shares that fall on one place each have it."""
    thinking = thinking_steps(chain, run.identity.think_close)
    return [(share, places_at(thinking, [share])[0]) for share in fractions]
