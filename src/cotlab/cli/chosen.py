"""Which chains and which rollouts of a run a command is about."""

from __future__ import annotations

from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.stats import Estimate
from cotlab.trees import ConditionIds

__all__ = ["chosen_condition", "number", "step_text"]


def chosen_condition(run: Run, text: str | None) -> ConditionIds | None:
    """SETTINGS:ENGINE as ids; None: the only one.

    Raises:
        UserError: The text is not of that form, or fits none or several.
    """
    if text is None:
        return None
    settings, colon, engine = text.partition(":")
    found_settings = [one for one in run.settings() if one.startswith(settings)]
    found_cards = [one for one in run.engine_cards() if one.startswith(engine)]
    if colon and len(found_settings) == 1 and len(found_cards) == 1:
        return ConditionIds(found_settings[0], found_cards[0])
    raise UserError(
        f"condition '{text}' fits {len(found_settings)} settings and {len(found_cards)} engines. Use SETTINGS:ENGINE "
        f"of settings {', '.join(run.settings())} and engines {', '.join(run.engine_cards())}"
    )


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
