"""What `cotlab doctor` says agrees with what is installed."""

import json
import subprocess
import sys
from importlib.metadata import version

from typer.testing import CliRunner

from cotlab.cli import doctor as doctor_module
from cotlab.cli.app import app
from cotlab.cli.doctor import diagnose
from cotlab.engines.choice import engine_choice


def test_installed_versions_and_the_engine_are_told():
    found = diagnose()
    packages = {package.name: package for package in found.packages}
    assert packages["torch"].version == version("torch")
    assert (found.engine, found.engine_why) == (engine_choice().name, engine_choice().why)
    assert found.cpus >= 1 and found.free_disk_gb > 0


def test_what_is_missing_is_told_with_its_extra(monkeypatch):
    monkeypatch.setattr(doctor_module, "_version", lambda name: None if name == "streamlit" else "1.0")
    assert [package.name for package in diagnose().missing] == ["streamlit"]
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert "streamlit is missing, for the workbench app: install cotlab's extra app" in " ".join(shown.stdout.split())


def test_json_is_one_document():
    shown = CliRunner().invoke(app, ["doctor", "--json"])
    assert shown.exit_code == 0
    document = json.loads(shown.stdout)
    assert document["engine"] == engine_choice().name
    assert set(document) >= {"python", "cpus", "gpus", "packages", "missing"}


def test_no_heavy_library_is_imported():
    code = (
        "import sys; from cotlab.cli.doctor import diagnose; diagnose(); "
        "print([m for m in ('torch', 'vllm', 'transformers', 'numpy', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
