"""The value curve: how the chance of a right answer moves along a chain."""

from __future__ import annotations

from collections.abc import Sequence

from cotlab.trees import MIN_ROLLOUTS, Draws, Value, value

__all__ = ["value_curve"]


def value_curve(draws: Sequence[Draws], *, level: float = 0.95, min_n: int = MIN_ROLLOUTS) -> tuple[Value, ...]:
    """Value of each prefix.

    Args:
        draws: Rollouts through prefixes 0 … n of the chain, as `chain_draws` gives them.
        level: Nominal coverage of each interval (not of the curve as a whole).
        min_n: Smallest number of rollouts.
    """
    return tuple(value(one, level=level, min_n=min_n) for one in draws)
