"""A chain of a run as what is looked into: its model, its tokens and the token spans of its steps."""

from __future__ import annotations

from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.runs import Run

__all__ = ["chain_of", "chain_spans", "check_step"]


def chain_of(run: Run, chain_id: str | None = None) -> Chain:
    """The chain whose id starts so; the first one by default.

    Raises:
        UserError: There is none.
    """
    found = [chain for chain in run.chains() if chain.id.startswith(chain_id or "")]
    if found:
        return found[0]
    known = ", ".join(chain.id for chain in run.chains()[:5]) or "none"
    raise UserError(f"no chain '{chain_id or ''}' in {run.path}; there are: {known}")


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
