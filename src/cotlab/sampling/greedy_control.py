"""The temperature-0 control of determinism: the same continuation again and again, together and alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cotlab.chains.chain import Chain
from cotlab.chains.sample_idx import ALONE
from cotlab.chains.settings import SamplingSettings
from cotlab.sampling.draw import Sampler
from cotlab.sampling.progress import Silent

__all__ = ["draw_greedy_control", "greedy_settings"]


def greedy_settings(settings: SamplingSettings) -> SamplingSettings:
    """The same at temperature 0, as greedy base chains are drawn."""
    return replace(settings, temperature=0.0, top_p=1.0, top_k=0)


def draw_greedy_control(
    sampler: Sampler, chain: Chain, positions: Sequence[int], repeats: int, settings: SamplingSettings
) -> None:
    """Draw what the control lacks.

    Args:
        sampler: Draws what is missing.
        chain: Whose prefixes.
        positions: Steps kept.
        repeats: Rollouts of each kind at each position: so many in one batch with all others, so many each in a call
            of its own, where nothing shares the batch.
        settings: Those of the study; the temperature becomes 0.

    Raises:
        EngineError: The engine broke; what it gave is stored.
    """
    greedy = greedy_settings(settings)
    prefixes = [chain.prefix(k) for k in positions]
    prefixes = [prefix for prefix in prefixes if greedy.new_tokens(len(prefix.kept_ids)) > 0]
    sampler.draw(prefixes, repeats, greedy, phase="temperature 0, together")
    alone = len(sampler.missing(prefixes, repeats, greedy, first=ALONE))
    if not alone:
        return
    told, sampler.progress = sampler.progress, Silent()
    told.phase("temperature 0, each alone", alone)
    try:
        for prefix in prefixes:
            for idx in range(ALONE, ALONE + repeats):
                before = sampler.drawn.tokens
                sampler.draw([prefix], 1, greedy, phase="", first=idx)
                if sampler.drawn.tokens > before:
                    told.advance(1, sampler.drawn.tokens - before)
    finally:
        sampler.progress = told
