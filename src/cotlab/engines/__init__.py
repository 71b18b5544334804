"""Engines: what samples rollouts from prefixes and gives log probabilities, behind one contract (`Engine`).

vllm and transformers run real models, markov an exact toy one. Libraries are imported when an engine is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cotlab.engines.base import Capabilities, Engine, EngineStats, Failure, Request
from cotlab.engines.choice import EngineChoice, engine_choice

if TYPE_CHECKING:
    from cotlab.engines.gguf import convert_gguf
    from cotlab.engines.hf import TransformersEngine
    from cotlab.engines.hf_options import TransformersOptions
    from cotlab.engines.keeping import keeping_engine
    from cotlab.engines.load import ENGINES, MarkovOptions, OpenedEngine, check_model, engine_for, open_engine
    from cotlab.engines.markov import MarkovEngine
    from cotlab.engines.markov_spec import Edge, MarkovSpec
    from cotlab.engines.markov_specs import MARKOV_SPECS, branching, lucky, markov_spec, null, staircase
    from cotlab.engines.vllm import VllmEngine
    from cotlab.engines.vllm_settings import VllmOptions

__all__ = [
    "ENGINES",
    "MARKOV_SPECS",
    "Capabilities",
    "Edge",
    "Engine",
    "EngineChoice",
    "EngineStats",
    "Failure",
    "MarkovEngine",
    "MarkovOptions",
    "MarkovSpec",
    "OpenedEngine",
    "Request",
    "TransformersEngine",
    "TransformersOptions",
    "VllmEngine",
    "VllmOptions",
    "branching",
    "check_model",
    "convert_gguf",
    "engine_choice",
    "engine_for",
    "keeping_engine",
    "lucky",
    "markov_spec",
    "null",
    "open_engine",
    "staircase",
]

_HOME = {
    "convert_gguf": "gguf",
    "TransformersEngine": "hf",
    "TransformersOptions": "hf_options",
    **dict.fromkeys(("ENGINES", "MarkovOptions", "OpenedEngine", "check_model", "engine_for", "open_engine"), "load"),
    "keeping_engine": "keeping",
    "MarkovEngine": "markov",
    **dict.fromkeys(("Edge", "MarkovSpec"), "markov_spec"),
    **dict.fromkeys(("MARKOV_SPECS", "branching", "lucky", "markov_spec", "null", "staircase"), "markov_specs"),
    "VllmEngine": "vllm",
    "VllmOptions": "vllm_settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
