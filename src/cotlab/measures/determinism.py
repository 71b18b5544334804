"""Determinism: how much of what follows is fixed once the first K steps are kept.

At every position K, over rollouts begun there:

- answer agreement: chance that two of them give the same answer; and how often it is the chain's own;
- exact-text rate: chance that two of them say the same, token for token;
- cluster entropy of answers, of what is said next (alike sentences are one cluster) and of whole texts, corrected for
  clusters that were not seen, in nats.

The control keeps the model at temperature 0 and asks for the same continuation again and again, once all together in
full batches and once each alone. There any difference is the engine's own (sums in another order, near-ties), and what
it makes of the text bounds what "exact" can mean above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from cotlab.chains.chain import Chain
from cotlab.chains.sample_idx import ALONE
from cotlab.measures.clusters import similar_groups
from cotlab.measures.similarity import ExactText, Similarity, in_place
from cotlab.runs import Run
from cotlab.stats import Estimate, proportion_estimate
from cotlab.stats.agreement import agreement_estimate, entropy_estimate
from cotlab.trees import MIN_ROLLOUTS, ConditionIds, chain_verdict, next_step, resolve_scorer, walk

__all__ = ["Control", "Determinism", "Regenerated", "chain_determinism", "determinism", "greedy_control"]

CONTROL_ALONE = ALONE
"""Smallest sample index of the control's rollouts that were drawn alone; those below were drawn together."""


@dataclass(frozen=True, slots=True)
class Regenerated:
    """One rollout begun at a position, as far as determinism asks."""

    text: Hashable | None
    """Equal for equal continuations: token ids, or the text where they are not known; None: only its beginning is."""
    key: str | None
    """Answer key; None where no answer was read."""
    following: str | None = None
    """Its next step; None where steps are tokens."""


@dataclass(frozen=True, slots=True)
class Determinism:
    """How alike the continuations of one prefix are."""

    position: int
    """Steps kept."""
    n: int
    answered: Estimate
    """Share of rollouts whose answer could be read; the others agree with nothing and are left out below."""
    agreement: Estimate
    """Chance that two rollouts give the same answer."""
    same_as_chain: Estimate
    """Share of answers that are the chain's own."""
    exact_text: Estimate
    """Chance that two rollouts are equal, token for token."""
    answer_entropy: Estimate
    next_entropy: Estimate
    """Of groups of alike next steps; its method names the similarity."""
    text_entropy: Estimate


@dataclass(frozen=True, slots=True)
class Control:
    """The same continuation at temperature 0, asked for again and again."""

    position: int
    together: Estimate
    """Chance that two that were drawn in one batch with others are equal."""
    alone: Estimate
    """Chance that two that were drawn each alone are equal."""
    across: Estimate
    """Chance that one drawn together and one drawn alone are equal: what the batch does."""
    first_difference: int | None
    """Earliest new token at which two of them differ; None where all are equal."""


def determinism(
    found: Sequence[Regenerated],
    *,
    position: int,
    chain_key: str | None,
    similarity: Similarity | None = None,
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
) -> Determinism:
    """How alike the continuations of one prefix are.

    Args:
        found: Rollouts begun there.
        position: Steps kept.
        chain_key: Answer of the chain itself; None where it has none.
        similarity: Tells which next steps are one cluster; default: equal texts.
        level: Nominal coverage of the intervals.
        min_n: Smallest number of rollouts (of answers, where answers are asked about).
    """
    n = len(found)
    answers = Counter(one.key for one in found if one.key is not None)
    texts = Counter(one.text for one in found if one.text is not None)
    read = answers.total()
    if chain_key is None:
        same = Estimate.missing("the chain gives no answer", method="wilson", n=read)
    else:
        same = proportion_estimate(answers[chain_key], read, level=level, min_n=min_n)
    return Determinism(
        position=position,
        n=n,
        answered=proportion_estimate(read, n, level=level, min_n=min_n),
        agreement=agreement_estimate(list(answers.values()), level=level, min_n=min_n),
        same_as_chain=same,
        exact_text=_of_texts(agreement_estimate, texts, n, level, min_n),
        answer_entropy=entropy_estimate(list(answers.values()), level=level, min_n=min_n),
        next_entropy=_next_entropy(found, similarity or ExactText(), level, min_n),
        text_entropy=_of_texts(entropy_estimate, texts, n, level, min_n),
    )


def _of_texts(
    estimate: Callable[..., Estimate], texts: Counter[Hashable], n: int, level: float, min_n: int
) -> Estimate:
    if texts.total() < n:
        return Estimate.missing("of some rollouts only the first sentence is known", n=n)
    return estimate(list(texts.values()), level=level, min_n=min_n)


def _next_entropy(found: Sequence[Regenerated], similarity: Similarity, level: float, min_n: int) -> Estimate:
    texts = [one.following for one in found if one.following is not None]
    method = f"entropy, {similarity.id}"
    if len(texts) < len(found):
        return Estimate.missing("steps are tokens: their text is not known", method=method, n=len(found))
    group = similar_groups(similarity, texts)
    estimate = entropy_estimate(list(Counter(group[text] for text in texts).values()), level=level, min_n=min_n)
    return replace(estimate, method=f"{estimate.method}, {similarity.id}")


def chain_determinism(
    run: Run,
    chain: Chain,
    *,
    scorer_id: str,
    condition: ConditionIds | None = None,
    similarity: Similarity | None = None,
    level: float = 0.95,
) -> tuple[Determinism, ...]:
    """Determinism at every position of a chain at which rollouts were begun.

    Args:
        run: Where they are.
        chain: A chain of the run.
        scorer_id: Whose answers count.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        similarity: Tells which next steps are one cluster; default: equal texts.
        level: Nominal coverage of the intervals.

    Raises:
        UserError: What `cotlab.trees.walk` raises.
    """
    scorer_id = resolve_scorer(run, scorer_id)
    chain_key = chain_verdict(run, chain, scorer_id)["key"]
    begun: dict[int, list[Regenerated]] = {}
    for passage, rollout in walk(run, chain, scorer_id=scorer_id, condition=condition):
        text = hash(rollout.text if rollout.token_ids is None else rollout.token_ids)
        seen = Regenerated(None if rollout.is_fragment else text, passage.key, next_step(chain, passage, rollout))
        begun.setdefault(passage.origin, []).append(seen)
    found = []
    for position, regenerated in sorted(begun.items()):
        alike = in_place(similarity or ExactText(), "".join(step.text for step in chain.steps[:position]))
        found.append(determinism(regenerated, position=position, chain_key=chain_key, similarity=alike, level=level))
    return tuple(found)


def greedy_control(run: Run, chain: Chain, *, settings_id: str, engine_card_id: str) -> tuple[Control, ...]:
    """What the control drew, at every position that has it.

    Args:
        run: Where it is.
        chain: A chain of the run.
        settings_id: The settings at temperature 0.
        engine_card_id: The engine.
    """
    controls = []
    for position in range(len(chain.steps)):
        rollouts = [
            one
            for one in run.rollouts(prefix_id=chain.prefix(position).id)
            if one.settings_id == settings_id and one.engine_card_id == engine_card_id and one.token_ids is not None
        ]
        together = [one.token_ids or () for one in rollouts if one.sample_idx < CONTROL_ALONE]
        alone = [one.token_ids or () for one in rollouts if one.sample_idx >= CONTROL_ALONE]
        if len(together) > 1 and len(alone) > 1:
            controls.append(_control(position, together, alone))
    return tuple(controls)


def _control(position: int, together: list[tuple[int, ...]], alone: list[tuple[int, ...]]) -> Control:
    counts, others = Counter(together), Counter(alone)
    equal = sum(counts[text] * others[text] for text in counts)
    texts = list({*together, *alone})
    return Control(
        position=position,
        together=agreement_estimate(list(counts.values())),
        alone=agreement_estimate(list(others.values())),
        across=_across(equal, len(together), len(alone)),
        first_difference=_first_difference(texts),
    )


def _across(equal: int, n1: int, n2: int) -> Estimate:
    """Share of equal pairs; the interval counts pairs of which no rollout is in two."""
    pairs = min(n1, n2)
    found = proportion_estimate(round(pairs * equal / (n1 * n2)), pairs)
    return replace(found, value=equal / (n1 * n2), n=pairs, n1=n1, n2=n2)


def _first_difference(texts: Sequence[tuple[int, ...]]) -> int | None:
    if len(texts) < 2:
        return None
    for place, tokens in enumerate(zip(*texts, strict=False)):
        if len(set(tokens)) > 1:
            return place
    return min(len(text) for text in texts)
