"""Branches of a chain: every likely next token at some positions, and rollouts behind each of them.

The outcome curve of Bigelow et al. (2024) weighs what follows from every likely next token by the token's exact
probability, which takes the noise of that first token out of the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence

from cotlab.chains.chain import Chain
from cotlab.chains.next_tokens import LEAST, MOST, NEXT_TOKENS, NextTokens
from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.sampling.cost import Cost, expected_new_tokens
from cotlab.sampling.draw import Sampler

__all__ = ["branch_cost", "branch_prefixes", "draw_branches"]


def branch_prefixes(
    sampler: Sampler, chain: Chain, positions: Sequence[int], *, least: float = LEAST, most: int = MOST
) -> list[Prefix]:
    """Prefixes of all branches, stored with what the model said of them; what the run knows is not asked again.

    Args:
        sampler: Whose run and engine.
        chain: Whose prefixes branch.
        positions: Steps kept.
        least: Smallest probability of a token that is followed.
        most: Most tokens followed at a position.

    Raises:
        ModelError: The engine does not tell next-token probabilities.
    """
    run, engine = sampler.run, sampler.engine
    known = {score.subject_id: NextTokens.read(score) for score in run.scores("prefix", NEXT_TOKENS)}
    found: list[Prefix] = []
    for k in positions:
        prefix = chain.prefix(k)
        tokens = known.get(prefix.id)
        if tokens is None:
            tokens = NextTokens.kept(prefix.id, engine.next_token_probs(prefix, most), least=least, most=most)
        with run.transaction():
            run.add_scores([tokens.score()])
            for token, p in tokens.tokens:
                if token in engine.tokenizer.eos_ids:
                    continue
                child = prefix.extend((token,))
                text = engine.tokenizer.decode(child.kept_ids)
                run.add_prefix(child, chain.problem_id, parent=prefix, spec={"next_token": token, "p": p}, text=text)
                found.append(child)
    return found


def draw_branches(
    sampler: Sampler, chain: Chain, positions: Sequence[int], n: int, settings: SamplingSettings
) -> list[Prefix]:
    """Draw `n` rollouts behind every likely next token that the run lacks; the prefixes of the branches.

    Raises:
        ModelError: The engine does not tell next-token probabilities.
        EngineError: The engine broke; what it gave is stored.
    """
    prefixes = branch_prefixes(sampler, chain, positions)
    room = [prefix for prefix in prefixes if settings.new_tokens(len(prefix.kept_ids)) > 0]
    sampler.draw(room, n, settings, phase="branches")
    return prefixes


def branch_cost(
    sampler: Sampler, chains: Sequence[tuple[Chain, Sequence[int]]], n: int, settings: SamplingSettings
) -> Cost:
    """What is still to be drawn behind the branches of some chains at some positions; draws nothing.

    Raises:
        ModelError: The engine does not tell next-token probabilities.
    """
    rollouts, tokens = 0, 0.0
    for chain, positions in chains:
        lengths = [len(chain.response_ids)]
        lengths += [row.n_tokens for row in sampler.run.rollouts(prefix_id=chain.prefix(0).id, bodies=False)]
        for prefix, _ in sampler.missing(branch_prefixes(sampler, chain, positions), n, settings):
            rollouts += 1
            kept = len(prefix.kept_ids)
            tokens += expected_new_tokens(kept, lengths, settings.new_tokens(kept))
    rate = sampler.drawn.tokens_per_second
    return Cost(rollouts, tokens, tokens / rate if rate else None)
