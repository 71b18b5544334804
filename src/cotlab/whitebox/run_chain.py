"""A chain of a run as what is looked into: its model, its tokens and the token spans of its steps."""

from __future__ import annotations

from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.sampling import find_chains

__all__ = ["chain_of", "chain_spans", "check_step"]


def chain_of(run: Run, chain_id: str | None = None) -> Chain:
    """The first of the chains that `find_chains` finds; the first of all by default.

    Raises:
        UserError: There is none.
    """
    return find_chains(run, chain_id)[0]


def chain_spans(chain: Chain) -> list[tuple[int, int]]:
    """Token span of every step in the whole sequence, prompt and response."""
    first = len(chain.prompt_ids)
    return [(first + step.start, first + step.end) for step in chain.steps]


def check_step(chain: Chain, step: int) -> None:
    """Say so where a chain does not have a step.

    Raises:
        UserError: It does not.
    """
    if not 0 <= step < len(chain.steps):
        raise UserError(f"there is no step {step}: the chain has {len(chain.steps)} (0..{len(chain.steps) - 1})")
