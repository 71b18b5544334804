import subprocess
import sys
from importlib import import_module

import cotlab.chains


def test_every_public_name_is_there_and_its_module_lists_it():
    for name, module in cotlab.chains._HOMES.items():
        assert getattr(cotlab.chains, name) is getattr(import_module(f"cotlab.chains.{module}"), name)
        assert name in import_module(f"cotlab.chains.{module}").__all__
    assert sorted(cotlab.chains._HOMES) == sorted(cotlab.chains.__all__)


def test_the_room_is_light():
    code = (
        "import sys, cotlab.chains, cotlab.models; print({'torch', 'transformers', 'sympy', 'jinja2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
