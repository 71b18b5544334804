"""Models: cards of known reasoning models, and from a name to a folder on this machine."""

from __future__ import annotations

from cotlab.models.card import ModelCard, SystemPolicy
from cotlab.models.engine_card import EngineCard
from cotlab.models.finding import find_card
from cotlab.models.folder import check_folder, weight_files, weights_hash
from cotlab.models.hub import hub_in_reach
from cotlab.models.known import KNOWN_CARDS, TINY_CARD, TINY_VLM_CARD
from cotlab.models.resolving import ResolvedModel, resolve_model

__all__ = [
    "KNOWN_CARDS",
    "TINY_CARD",
    "TINY_VLM_CARD",
    "EngineCard",
    "ModelCard",
    "ResolvedModel",
    "SystemPolicy",
    "check_folder",
    "find_card",
    "hub_in_reach",
    "resolve_model",
    "weight_files",
    "weights_hash",
]
