"""Which chains of a run a command is about, and how it writes numbers and steps."""

from __future__ import annotations

from cotlab.chains.chain import Chain
from cotlab.stats import Estimate

__all__ = ["number", "step_text"]


def number(found: Estimate, digits: int = 2) -> str:
    """`0.52 (0.42, 0.61)`; a dash where there is no value."""
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}, {found.high:.{digits}f})"


def step_text(chain: Chain, position: int) -> str:
    """What the chain says next at a position."""
    return chain.steps[position].text if position < len(chain.steps) else "(end)"
