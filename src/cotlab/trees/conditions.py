"""Under which settings and on which engine the rollouts of a view were drawn.

A run may hold several such pairs: another temperature, another engine. They are never mixed. A view takes one, by
default the one with most rollouts (`choose_condition`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.interventions.base import Baseline
from cotlab.runs import Run

__all__ = ["ConditionIds", "choose_condition", "conditions_of", "positions_of", "sampled_under"]

SHORT = 6
"""Characters of an id that a person reads and types."""


@dataclass(frozen=True, slots=True)
class ConditionIds:
    """Under which settings and on which engine the rollouts were drawn that a measure takes together."""

    settings_id: str
    engine_card_id: str

    @property
    def baseline(self) -> tuple[str, str, str]:
        """Ids of settings, engine card and intervention of the baseline rollouts."""
        return self.settings_id, self.engine_card_id, Baseline().id


def sampled_under(run: Run, chain: Chain) -> ConditionIds | None:
    """The one pair of settings and engine that baseline rollouts from the chain's prefixes were drawn under.

    None where there are no such rollouts.

    Raises:
        UserError: There are several.
    """
    pairs = conditions_of(run, chain)
    if len(pairs) > 1:
        names = "; ".join(sorted(f"settings {pair.settings_id} on engine {pair.engine_card_id}" for pair in pairs))
        raise UserError(f"chain {chain.id} has rollouts of {len(pairs)} conditions: {names}. Choose one of them")
    return next(iter(pairs), None)


def conditions_of(run: Run, chain: Chain) -> dict[ConditionIds, int]:
    """Pairs of settings and engine that the chain's prefixes were sampled under, with the number of baseline rollouts.

    The pair that was sampled last comes last. Chains, pasted transcripts and, beside others, rollouts at temperature 0
    (they are no draws from a distribution) do not count.
    """
    positions, baseline = positions_of(chain), Baseline().id
    chosen = {other.rollout_id for other in run.chains(chain.problem_id)}
    counts: dict[ConditionIds, int] = {}
    for row in run.rollouts(problem_id=chain.problem_id, intervention_id=baseline, bodies=False):
        if row.prefix_id in positions and row.id not in chosen and not row.provenance.startswith("given"):
            pair = ConditionIds(row.settings_id, row.engine_card_id)
            counts[pair] = counts.pop(pair, 0) + 1
    settings = run.settings()
    return {pair: n for pair, n in counts.items() if settings[pair.settings_id].temperature > 0} or counts


def choose_condition(
    run: Run, chains: Sequence[Chain], *, settings: str | None = None, engine: str | None = None
) -> tuple[ConditionIds | None, str | None]:
    """The condition that a person means.

    Args:
        run: Where the rollouts are.
        chains: Chains that are to be shown.
        settings: Start of a settings id, or NAME=VALUE pairs with commas (`temperature=0.6`).
        engine: Start of an engine card's id, or the name of an engine.

    Returns:
        The condition; of several that fit the one with most rollouts, with a line that says so and names the others.
        None where no chain has rollouts of several, so that there is nothing to choose.

    Raises:
        UserError: Nothing that is there fits.
    """
    found = [conditions_of(run, chain) for chain in chains]
    if settings is None and engine is None and all(len(pairs) < 2 for pairs in found):
        return None, None
    counts: dict[ConditionIds, int] = {}
    for pair, n in (item for pairs in found for item in pairs.items()):
        counts[pair] = counts.pop(pair, 0) + n
    described = _described(run, counts)
    fitting = [pair for pair in counts if _fits_settings(run, pair, settings) and _fits_engine(run, pair, engine)]
    if not fitting:
        there = "; ".join(described.values()) or "none"
        asked = {"settings": settings, "engine card": engine}
        wanted = " and ".join(f"{name} '{value}'" for name, value in asked.items() if value is not None)
        raise UserError(f"no rollouts under {wanted} in {run.path}; there are: {there}")
    chosen = max(reversed(fitting), key=lambda pair: counts[pair])
    if len(fitting) == 1:
        return chosen, None
    others = "; ".join(described[pair] for pair in fitting if pair != chosen)
    return chosen, f"shown: {described[chosen]}; also there: {others} (--settings, --engine-card)"


def _fits_settings(run: Run, pair: ConditionIds, asked: str | None) -> bool:
    if asked is None or pair.settings_id.startswith(asked):
        return True
    values = {name: str(value) for name, value in run.settings()[pair.settings_id].to_json().items()}
    wanted = [part.partition("=") for part in asked.split(",")]
    return all(equals and _same(values.get(name.strip()), value.strip()) for name, equals, value in wanted)


def _same(value: str | None, asked: str) -> bool:
    if value is None or value == asked:
        return value is not None
    try:
        return float(value) == float(asked)
    except ValueError:
        return False


def _fits_engine(run: Run, pair: ConditionIds, asked: str | None) -> bool:
    card = run.engine_cards()[pair.engine_card_id]
    return asked is None or card.id.startswith(asked) or card.engine == asked


def _described(run: Run, counts: Mapping[ConditionIds, int]) -> dict[ConditionIds, str]:
    """Each pair in a few words: short ids, what differs between the pairs, the number of rollouts."""
    settings = {pair: run.settings()[pair.settings_id].to_json() for pair in counts}
    cards = {pair: run.engine_cards()[pair.engine_card_id].to_json() for pair in counts}
    return {
        pair: f"settings {pair.settings_id[:SHORT]}{_differing(settings, pair)}, "
        f"engine card {pair.engine_card_id[:SHORT]} ({cards[pair]['engine']}{_differing(cards, pair, ', ', '')}), "
        f"{n:,} rollouts"
        for pair, n in counts.items()
    }


def _differing(
    specs: Mapping[ConditionIds, Mapping[str, Any]], pair: ConditionIds, before: str = " (", after: str = ")"
) -> str:
    names = [name for name in specs[pair] if name != "engine" and len({str(spec[name]) for spec in specs.values()}) > 1]
    said = ", ".join(f"{name} {specs[pair][name]}" for name in names)
    return f"{before}{said}{after}" if said else ""


def positions_of(chain: Chain) -> dict[str, int]:
    """Prefix ids with the number of steps kept; where a step has no tokens, the smaller number."""
    found: dict[str, int] = {}
    for n_steps in range(len(chain.steps) + 1):
        found.setdefault(chain.prefix(n_steps).id, n_steps)
    return found
