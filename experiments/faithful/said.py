"""The sentence that decides: never said, said of the model's own accord, and changed by somebody else.

Along chains of the hinted prompt, at their first sentence S_i that speaks of a hint, else the first that states a false
sum or product, else the one halfway. What is counted is the chain's own answer.

- Counterfactual++ (Macar et al. 2025, "Thought Branches", §2.1): rollouts that keep S_i against those of the prefix
  before it in which nothing like S_i is ever said; resilience is how many rounds of resampling that takes.
- On-policy: rollouts from that prefix that say the like of S_i next against those that say something else.
- Its off-policy twin: S_i as it was against S_i with another number in it, put there by us.

Like S_i are, where it speaks of a hint, all sentences that do; where it is false, all false ones; else equal texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.chain import Chain
from cotlab.measures import (
    AvoidedDraws,
    ChainRollouts,
    ExactKey,
    Similarity,
    alike,
    avoided_draws,
    avoiding_effect,
    chain_rollouts,
    edited_prefixes,
)
from cotlab.measures.monitors import is_false
from cotlab.problems import HINT_KINDS, Arm, asked_of
from cotlab.sampling import (
    Avoidance,
    Avoided,
    Gathering,
    Revisit,
    draw_avoiding_each,
    draw_edited,
    first_chains,
)
from cotlab.sampling.edited import thinking_steps
from cotlab.sampling.faithfulness import mistaken_step
from cotlab.stats import Estimate, NullRate, cluster_mean, null_rate, share_difference
from cotlab.trees import ConditionIds, Draws, begun_at, chain_verdict
from experiments.lab import Lab

__all__ = ["KINDS", "Looked", "Said", "look", "said", "shuffled"]

KINDS = {
    "mention": "the sentence that speaks of a hint",
    "false": "the false sum or product",
    "halfway": "a sentence halfway",
}
"""What S_i is, in the order in which it is looked for."""
ARM = Arm("friend")
MOST_GIVEN_UP = 0.1
"""Of trails that never got away; those that did are then too special a part."""
FEWEST = 5
"""Problems below which nothing is told of a kind."""
CONTRASTS = ("never", "accord", "twin")


@dataclass(frozen=True, slots=True)
class Looked:
    """One chain: whether each rollout gives the chain's own answer, [rollouts] in each set."""

    problem: str
    kind: str
    kept: NDArray[np.bool_]
    """S_i is kept."""
    never: NDArray[np.bool_]
    """Nothing like it is ever said."""
    says: NDArray[np.bool_]
    """The like of it is said next, of the model's own accord."""
    otherwise: NDArray[np.bool_]
    """Something else is said next."""
    twin: NDArray[np.bool_]
    """Another number was put into it; empty where it has none."""
    rounds: tuple[int, ...]
    given_up: int
    kl: Estimate
    """KL[p(A | nothing like it is said) ‖ p(A | S_i)] in nats."""

    def pair(self, contrast: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Without S_i and with it, as one of `CONTRASTS` compares them."""
        without = {"never": self.never, "accord": self.otherwise, "twin": self.twin}[contrast]
        return without, self.says if contrast == "accord" else self.kept


@dataclass(frozen=True, slots=True)
class Said:
    """The chains of one model whose S_i is of one kind."""

    kind: str
    never: Estimate
    """Counterfactual++: own answers with S_i − where nothing like it is ever said."""
    kl: Estimate
    resilience: Estimate
    accord: Estimate
    """Own answers where the like of it is said of the model's own accord − where something else is, which may only put
    it off."""
    share: Estimate
    """How often that is said there."""
    twin: Estimate
    """Own answers with S_i − with another number put into it."""

    def named(self) -> list[tuple[str, Estimate]]:
        """Each with what it says."""
        what = KINDS[self.kind]
        return [
            (f"{what}: counterfactual++ of the own answer (kept − never said)", self.never),
            (f"{what}: counterfactual++ as KL, nats", self.kl),
            (f"{what}: resilience, rounds until nothing like it is said", self.resilience),
            (f"{what}: how often the like of it is said there", self.share),
            (f"{what}: on-policy, own answer (says it − says something else)", self.accord),
            (f"{what}: off-policy twin, own answer (as it was − another number put in)", self.twin),
        ]


def look(lab: Lab, again: Revisit) -> list[Looked]:
    """Draw along the first chains of the hinted prompt that have thoughts, and read what came of it."""
    n, wanted = lab.number("said"), lab.number("said_chains")
    gathering = Gathering(again.sampler({"kind": "said", "n": n, "chains": wanted}))
    asked = [problem for problem in again.run.problems().values() if asked_of(problem).arm == ARM]
    chains = first_chains(gathering, asked, again.settings)
    close = again.run.identity.think_close
    found = [(one, *_deciding(one, thinking)) for one in chains if (thinking := thinking_steps(one, close))]
    found = found[:wanted]
    for chain, step, _ in found:
        gathering.draw([chain.prefix(step), chain.prefix(step + 1)], n, again.settings, phase="with and before it")
        made = mistaken_step(chain, step)
        draw_edited(gathering, chain, [(step + 1, (made,))] if made else [], n, again.settings)
    gathering.draw_all("around the sentence that decides")
    judges = [Avoided(one, Avoidance(one.id, step, (step,)), _Judge(one, step, kind)) for one, step, kind in found]
    trails = draw_avoiding_each(again.sampler({"kind": "never said", "n": n}), judges, n, again.settings)
    again.score()
    read = []
    for (chain, step, kind), mine in zip(found, trails, strict=True):
        own = chain_verdict(again.run, chain, again.scorer.id)["key"]
        avoided = avoided_draws(again.run, mine, scorer_id=again.scorer.id)
        if own is not None and not avoided.missing:
            read.append(_looked(again, chain, step, kind, str(own), avoided))
    return read


def said(looked: Sequence[Looked], *, level: float = 0.95, seed: int = 0) -> list[Said]:
    """The chains of each kind together, each problem counting once; kinds of too few problems are left out."""
    found = []
    for kind in KINDS:
        mine = [one for one in looked if one.kind == kind]
        if len({one.problem for one in mine}) < FEWEST:
            continue
        mine, bound = _with_given_up(mine)
        never, accord, twin = (_apart(mine, contrast, level, seed) for contrast in CONTRASTS)
        never = replace(never, method=f"{never.method}{bound}")
        rounds = [(number, one.problem) for one in mine for number in one.rounds]
        shares = [(len(one.says) / max(1, len(one.says) + len(one.otherwise)), one.problem) for one in mine]
        nats = [(one.kl, one.problem) for one in mine if one.kl.value is not None]
        floor = float(np.mean([one.null_mean for one, _ in nats if one.null_mean is not None])) if nats else None
        kl = replace(_mean([(one.value or 0.0, problem) for one, problem in nats], level), null_mean=floor)
        found.append(Said(kind, never, kl, _mean(rounds, level), accord, _mean(shares, level), twin))
    return found


def shuffled(looked: Sequence[Looked], name: str, shuffles: int, seed: int) -> NullRate | None:
    """The same contrasts where answers were exchanged between both sets of each chain; None without chains enough."""
    told = {(one.kind, contrast) for one in said(looked) for contrast in CONTRASTS}
    if not told:
        return None

    def finds(rng: np.random.Generator) -> bool:
        tests = []
        for kind, contrast in sorted(told):
            mine, _ = _with_given_up([one for one in looked if one.kind == kind])
            tests.append(_apart(mine, contrast, 0.95, int(rng.integers(2**31)), rng).p)
        return any(p is not None and p < 0.05 / len(told) for p in tests)

    what = (
        f"{name}: answers exchanged within chains between the rollouts that are compared; 'counterfactual++', "
        f"'on-policy' and 'off-policy twin', any of these {len(told)} rows below 5% (Bonferroni)"
    )
    return null_rate(finds, analysis=what, shuffles=shuffles, seed=seed)


def _with_given_up(looked: Sequence[Looked]) -> tuple[list[Looked], str]:
    """Where many trails never got away they count as own answers: the effect is then at least what is told.

    Returns:
        The chains, and what the method says of it; nothing where those that got away stand for all.
    """
    trails, given_up = sum(len(one.rounds) for one in looked), sum(one.given_up for one in looked)
    if given_up <= MOST_GIVEN_UP * trails:
        return list(looked), ""
    filled = [replace(one, never=np.append(one.never, np.ones(one.given_up, dtype=bool))) for one in looked]
    return filled, f"; a lower bound, {given_up} of {trails} trails never got away and count as own answers"


class _Judge:
    """Which sentences are like the step."""

    def __init__(self, chain: Chain, step: int, kind: str) -> None:
        self.text, self.similarity = chain.steps[step].text, _similarity(kind)

    def __call__(self, sentences: Sequence[str]) -> list[bool]:
        return [bool(one) for one in alike(self.similarity, [self.text], sentences)[0]] if sentences else []


def _similarity(kind: str) -> Similarity:
    like = {"mention": _mentions, "false": is_false}.get(kind)

    def key(sentence: str) -> str:
        return f"<{kind}>" if like is not None and like(sentence) else " ".join(sentence.split())

    return ExactKey(f"{kind}-or-text/1", key)


def _mentions(sentence: str) -> bool:
    return any(kind.mentioned(sentence) for kind in HINT_KINDS.values())


def _deciding(chain: Chain, thinking: int) -> tuple[int, str]:
    """S_i and its kind, of a chain that has thoughts."""
    for kind, like in (("mention", _mentions), ("false", is_false)):
        for step in range(thinking):
            if like(chain.steps[step].text):
                return step, kind
    return thinking // 2, "halfway"


def _looked(again: Revisit, chain: Chain, step: int, kind: str, own: str, avoided: AvoidedDraws) -> Looked:
    ids, scorer = ConditionIds(again.settings.id, again.engine.card.id), again.scorer.id
    data: ChainRollouts = chain_rollouts(again.run, chain, scorer_id=scorer, condition=ids)
    before, kept = data.draws(step), data.draws(step + 1)
    says = alike(_similarity(kind), [chain.steps[step].text], data.said(step))[0]
    made, twin = mistaken_step(chain, step), np.zeros(0, dtype=bool)
    for keep, prefix_id, edits in edited_prefixes(again.run, chain):
        if made is not None and keep == step + 1 and edits == (made,):
            twin = _own(begun_at(again.run, prefix_id, scorer_id=scorer, condition=ids), own)
    return Looked(
        asked_of(again.run.problems()[chain.problem_id]).of,
        kind,
        _own(kept, own),
        _own(avoided.draws, own),
        _own(before.select(says), own),
        _own(before.select(~says), own),
        twin,
        avoided.rounds,
        avoided.given_up,
        avoiding_effect(avoided, kept, "kl"),
    )


def _own(draws: Draws, own: str) -> NDArray[np.bool_]:
    return np.array([key == own for key in draws.keys.tolist()], dtype=bool)


def _apart(
    looked: Sequence[Looked], contrast: str, level: float, seed: int, rng: np.random.Generator | None = None
) -> Estimate:
    """Share of own answers with S_i less that without it; `rng` exchanges answers within each chain first."""
    rows = []
    for one in looked:
        without, kept = one.pair(contrast)
        if not len(without) or not len(kept):
            continue
        if rng is not None:
            both = rng.permutation(np.concatenate([without, kept]))
            without, kept = both[: len(without)], both[len(without) :]
        rows.append((float(without.mean()), float(kept.mean()), one.problem))
    first, second, problems = zip(*rows, strict=True) if rows else ((), (), ())
    return share_difference(first, second, problems, level=level, seed=seed)


def _mean(pairs: Sequence[tuple[float, str]], level: float) -> Estimate:
    return cluster_mean([value for value, _ in pairs], [problem for _, problem in pairs], level=level)
