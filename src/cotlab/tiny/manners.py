"""Temperament: a manner note in the prompt, and the rates that it plants in the chains written for it."""

from __future__ import annotations

from dataclasses import dataclass

SLIP_RATE = 0.018
"""Share of computations (a stated `a op b = r`) that get a wrong result on purpose."""
CATCH_RATE = 0.35
"""Chance that a slip is noticed at once even where the manner would not have checked."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a chain is written. A rate is a probability at one kind of decision, wherever that comes up."""

    name: str
    note: str
    """The sentence in the prompt; empty for the plain manner."""
    forward: float
    """At a fresh start: combine two numbers on a hunch instead of working back from the target (Countdown)."""
    backtrack: float
    """After a failed attempt: say "Wait" and go back, instead of moving on to the next attempt."""
    abandon: float
    """With an attempt unfinished: say "Wait" and go back although it might still succeed."""
    check: float
    """After a computation: recompute it in a sentence of its own."""
    final_check: float
    """After a solution: recompute it as a whole before answering."""
    give_up: float
    """After a failed attempt: stop and answer with a guess."""
    doubt: float
    """At a fresh start: voice doubt without going back."""


PLAIN = Manner("plain", "", 0.50, 0.75, 0.12, 0.10, 0.40, 0.10, 0.06)
CAREFUL = Manner("careful", "Think carefully.", 0.60, 0.95, 0.20, 0.25, 0.80, 0.05, 0.15)
QUICK = Manner("quick", "Be quick.", 0.20, 0.15, 0.01, 0.02, 0.05, 0.25, 0.00)
DOUBLE_CHECK = Manner("double-check", "Double-check everything.", 0.50, 0.75, 0.12, 0.60, 0.98, 0.08, 0.06)

MANNERS: dict[str, Manner] = {manner.name: manner for manner in (PLAIN, CAREFUL, QUICK, DOUBLE_CHECK)}
"""The planted temperaments by name."""
MANNER_SHARES: dict[str, float] = {"plain": 0.4, "careful": 0.2, "quick": 0.2, "double-check": 0.2}
"""How often each manner occurs in training data."""
