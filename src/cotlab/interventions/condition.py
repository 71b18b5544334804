"""What n rollouts are drawn under."""

from __future__ import annotations

from dataclasses import dataclass

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import rollout_id
from cotlab.chains.settings import SamplingSettings
from cotlab.interventions.base import Baseline, Intervention

__all__ = ["Condition"]


@dataclass(frozen=True, slots=True)
class Condition:
    """Prefix × intervention × settings; with an engine card it is the key of a set of rollouts."""

    prefix: Prefix
    settings: SamplingSettings
    intervention: Intervention = Baseline()

    def rollout_id(self, engine_card_id: str, sample_idx: int) -> str:
        """Id of the rollout that this condition has at `sample_idx` on that engine."""
        return rollout_id(self.prefix.id, self.intervention.id, self.settings.id, engine_card_id, sample_idx)
