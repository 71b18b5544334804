"""The lock: clean, and complete but for what is dropped on purpose."""

import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import check_lock, clean_lock, lock_lines

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lock():
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_the_lock_in_the_repository_is_clean(lock):
    assert check_lock(lock) == []
    assert len(lock_lines(lock)) > 100


def test_what_packages_ask_for_is_in_the_lock_or_dropped_on_purpose(lock):
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    dropped = {Requirement(line).name for line in uv["override-dependencies"]}
    # CUDA's compiler; a graphics library that Intel's OpenMP names for Linux only, and runs without.
    dropped |= {"triton", "intel-cmplr-lib-ur"}
    pins = [Requirement(line) for line in lock_lines(lock)]
    locked = {canonicalize_name(pin.name) for pin in pins if pin.marker is None or pin.marker.evaluate()}
    for name in sorted(locked):
        try:
            asked = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue  # left out on a machine without a C compiler
        names = {canonicalize_name(r.name) for r in asked if r.marker is None or r.marker.evaluate({"extra": ""})}
        assert names <= locked | dropped, f"{name} asks for {names - locked - dropped}"


def test_cuda_and_never_lines_go_and_unions_stay():
    compiled = """\
# comment
nvidia-cublas==13.1 ; sys_platform == 'linux'
cuda-toolkit==13.4 ; sys_platform == 'linux'
triton==3.7.1 ; sys_platform == 'linux'
babe==0.0.7 ; sys_platform == 'never'
openai==3.5 ; (platform_machine == 'x86_64' and sys_platform == 'linux') or sys_platform == 'never'
torch==2.13.0
"""
    assert lock_lines(clean_lock(compiled)) == [
        "openai==3.5 ; platform_machine == 'x86_64' and sys_platform == 'linux'",
        "torch==2.13.0",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "torch==2.13.0+cpu",
        "cotlab @ file:///home/somebody/cotlab",
        "--find-links /wheels",
        "nvidia-cublas==13.1",
        "numpy>=2",
        "openai==3.5 ; sys_platform == 'never'",
    ],
)
def test_faults_of_a_lock_are_told(line):
    assert check_lock("numpy==2.3.5\ntorch==2.13.0\n") == []
    assert check_lock(f"numpy==2.3.5\ntorch==2.13.0\n{line}\n")
