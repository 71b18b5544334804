"""What is changed between two sets of rollouts, as data: frozen, hashable, serialisable.

Activation interventions enter the key of the rollouts; text edits make another prefix (`edits`).
"""

from cotlab.interventions.base import Baseline, Intervention
from cotlab.interventions.condition import Condition
from cotlab.interventions.edits import (
    AddToPrompt,
    DeleteStep,
    Edit,
    EditedPrefix,
    ForceAnswer,
    InsertText,
    ReplaceStep,
    apply_edits,
    edits_from_json,
)

__all__ = [
    "AddToPrompt",
    "Baseline",
    "Condition",
    "DeleteStep",
    "Edit",
    "EditedPrefix",
    "ForceAnswer",
    "InsertText",
    "Intervention",
    "ReplaceStep",
    "apply_edits",
    "edits_from_json",
]
