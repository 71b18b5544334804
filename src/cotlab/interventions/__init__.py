"""What is changed between two sets of rollouts, as data: frozen, hashable, serialisable."""

from cotlab.interventions.base import Baseline, Intervention
from cotlab.interventions.condition import Condition

__all__ = ["Baseline", "Condition", "Intervention"]
