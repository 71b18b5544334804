"""Under which settings and on which engine the rollouts of a view were drawn.

A run may hold several such pairs: another temperature, another engine. They are never mixed, and which one is meant is
not guessed (`choose_condition`).
"""

from __future__ import annotations

from collections import Counter
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
    found = run.condition_counts(positions, baseline, without=chosen)
    counts = {ConditionIds(*pair): n for pair, n in found.items()}
    settings = run.settings()
    return {pair: n for pair, n in counts.items() if settings[pair.settings_id].temperature > 0} or counts


def choose_condition(run: Run, chains: Sequence[Chain], asked: str | None = None) -> ConditionIds | None:
    """The condition that a person means.

    Args:
        run: Where the rollouts are.
        chains: Chains that are to be shown.
        asked: `SETTINGS:ENGINE`, either of which may be left out: the start of a settings id, or NAME=VALUE pairs with
            commas (`temperature=0.6`); the start of an engine card's id, or the name of an engine.

    Returns:
        The condition; None where nothing is asked for and no chain has rollouts of several.

    Raises:
        UserError: Nothing that is there fits, or several do; the line lists what there is, as it can be asked for.
    """
    found = [conditions_of(run, chain) for chain in chains]
    if asked is None and all(len(pairs) < 2 for pairs in found):
        return None
    counts: dict[ConditionIds, int] = {}
    for pair, n in (item for pairs in found for item in pairs.items()):
        counts[pair] = counts.pop(pair, 0) + n
    counts = counts or _conditions_of_problems(run, {chain.problem_id for chain in chains})
    settings, _, engine = (asked or "").partition(":")
    fitting = {p: n for p, n in counts.items() if _fits_settings(run, p, settings) and _fits_engine(run, p, engine)}
    if len(fitting) == 1:
        return next(iter(fitting))
    there = "; ".join(_described(run, counts)) or "none"
    if asked is None:
        raise UserError(f"{run.path} has rollouts of {len(counts)} conditions. Choose one with --condition: {there}")
    what = "no rollouts are" if not fitting else f"rollouts of {len(fitting)} conditions are"
    raise UserError(f"{what} under condition '{asked}' in {run.path}. Choose one with --condition: {there}")


def _conditions_of_problems(run: Run, problem_ids: set[str]) -> dict[ConditionIds, int]:
    """Conditions of all baseline rollouts, where none was begun on a chain itself (there may be branches)."""
    rows = (row for one in problem_ids for row in run.rollouts(problem_id=one, bodies=False))
    sampled = (row for row in rows if not row.provenance.startswith("given") and row.intervention_id == Baseline().id)
    return dict(Counter(ConditionIds(row.settings_id, row.engine_card_id) for row in sampled))


def _fits_settings(run: Run, pair: ConditionIds, asked: str) -> bool:
    if pair.settings_id.startswith(asked):
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


def _fits_engine(run: Run, pair: ConditionIds, asked: str) -> bool:
    card = run.engine_cards()[pair.engine_card_id]
    return card.id.startswith(asked) or card.engine == asked


def _described(run: Run, counts: Mapping[ConditionIds, int]) -> list[str]:
    """Each pair as it is asked for, with what differs between the pairs and the number of rollouts."""
    settings = {pair: run.settings()[pair.settings_id].to_json() for pair in counts}
    cards = {pair: run.engine_cards()[pair.engine_card_id].to_json() for pair in counts}
    return [
        f"{pair.settings_id[:SHORT]}:{pair.engine_card_id[:SHORT]} "
        f"({', '.join([*_differing(settings, pair), cards[pair]['engine'], *_differing(cards, pair)])}, {n:,} rollouts)"
        for pair, n in counts.items()
    ]


def _differing(specs: Mapping[ConditionIds, Mapping[str, Any]], pair: ConditionIds) -> list[str]:
    names = [name for name in specs[pair] if name != "engine" and len({str(spec[name]) for spec in specs.values()}) > 1]
    return [f"{name} {specs[pair][name]}" for name in names]


def positions_of(chain: Chain) -> dict[str, int]:
    """Prefix ids with the number of steps kept; where a step has no tokens, the smaller number."""
    found: dict[str, int] = {}
    for n_steps in range(len(chain.steps) + 1):
        found.setdefault(chain.prefix(n_steps).id, n_steps)
    return found
