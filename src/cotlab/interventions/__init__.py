"""What is changed between two sets of rollouts, as data: frozen, hashable, serialisable.

Activation interventions enter the key of the rollouts; text edits make another prefix (`edits`). Vectors need numpy,
which runs do without: names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cotlab.interventions.base import ActivationChange, Baseline, Intervention
from cotlab.interventions.condition import Condition
from cotlab.interventions.edits import (
    AddToPrompt,
    DeleteStep,
    Edit,
    EditedPrefix,
    ForceAnswer,
    InsertText,
    ReplaceStep,
    ShowImages,
    apply_edits,
    edits_from_json,
)
from cotlab.interventions.hook_points import FAMILIES, HookPoint, ModelShape, ModulePaths
from cotlab.interventions.suppression import AttentionSuppression
from cotlab.interventions.where import Where

if TYPE_CHECKING:
    from cotlab.interventions.autoencoder import SparseAutoencoder
    from cotlab.interventions.feature_change import FeatureChange
    from cotlab.interventions.feature_value import FeatureValue
    from cotlab.interventions.features import FeatureSteering, Reconstruction
    from cotlab.interventions.loading import load_intervention
    from cotlab.interventions.sae_card import SAECard
    from cotlab.interventions.sparse_features import SparseFeatures
    from cotlab.interventions.steering import Steering
    from cotlab.interventions.vector_files import load_vector, save_vector
    from cotlab.interventions.vectors import SteeringVector, VectorCard

__all__ = [
    "FAMILIES",
    "ActivationChange",
    "AddToPrompt",
    "AttentionSuppression",
    "Baseline",
    "Condition",
    "DeleteStep",
    "Edit",
    "EditedPrefix",
    "FeatureChange",
    "FeatureSteering",
    "FeatureValue",
    "ForceAnswer",
    "HookPoint",
    "InsertText",
    "Intervention",
    "ModelShape",
    "ModulePaths",
    "Reconstruction",
    "ReplaceStep",
    "SAECard",
    "ShowImages",
    "SparseAutoencoder",
    "SparseFeatures",
    "Steering",
    "SteeringVector",
    "VectorCard",
    "Where",
    "apply_edits",
    "edits_from_json",
    "load_intervention",
    "load_vector",
    "save_vector",
]

_HOMES = {
    "FeatureChange": "feature_change",
    "FeatureSteering": "features",
    "Reconstruction": "features",
    "FeatureValue": "feature_value",
    "SAECard": "sae_card",
    "SparseAutoencoder": "autoencoder",
    "SparseFeatures": "sparse_features",
    "Steering": "steering",
    "SteeringVector": "vectors",
    "VectorCard": "vectors",
    "load_intervention": "loading",
    "load_vector": "vector_files",
    "save_vector": "vector_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
