"""What is changed between two sets of rollouts, as data: frozen, hashable, serialisable."""

from cotlab.interventions.base import Baseline, Intervention
from cotlab.interventions.condition import Condition
from cotlab.interventions.hook_points import FAMILIES, HookPoint, ModelShape, ModulePaths
from cotlab.interventions.steering import Steering
from cotlab.interventions.vector_files import load_vector, save_vector
from cotlab.interventions.vectors import SteeringVector, VectorCard
from cotlab.interventions.where import Where

__all__ = [
    "FAMILIES",
    "Baseline",
    "Condition",
    "HookPoint",
    "Intervention",
    "ModelShape",
    "ModulePaths",
    "Steering",
    "SteeringVector",
    "VectorCard",
    "Where",
    "load_vector",
    "save_vector",
]
