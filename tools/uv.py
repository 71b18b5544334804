"""uv, the installer: the one on PATH, or one that is brought into the private folder `.uv`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["MINIMUM", "find_uv", "uv_commands"]

MINIMUM = (0, 9)
"""Oldest uv that knows every option that is used here."""


def find_uv(root: Path) -> Path | None:
    """A uv that is new enough: on PATH, else the private one; None where there is neither."""
    on_path = shutil.which("uv")
    for candidate in (Path(on_path) if on_path else None, private_uv(root)):
        if candidate is not None and candidate.is_file() and uv_version(candidate) >= MINIMUM:
            return candidate
    return None


def private_uv(root: Path) -> Path:
    """Where the private uv of a checkout is, or will be."""
    return root / ".uv" / ("Scripts/uv.exe" if os.name == "nt" else "bin/uv")


def uv_commands(root: Path) -> list[list[str]]:
    """Commands that bring a private uv."""
    python = private_uv(root).with_name("python.exe" if os.name == "nt" else "python")
    wanted = f"uv>={MINIMUM[0]}.{MINIMUM[1]},<1"
    return [
        [sys.executable, "-m", "venv", "--clear", str(root / ".uv")],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted],
    ]


def uv_version(uv: Path) -> tuple[int, ...]:
    """Version of a uv executable; () where it does not run (a broken private venv)."""
    try:
        said = subprocess.run([str(uv), "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except OSError:
        return ()
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()
