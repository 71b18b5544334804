"""The public API: `import cotlab as ct` costs nothing, and every name of its stub is there."""

import subprocess
import sys
from importlib import import_module

import pytest

import cotlab as ct


def test_every_name_is_that_of_its_room():
    assert {"Run", "resample", "chain_report", "open_engine"} <= set(ct.__all__) == set(dir(ct))
    for name in ct.__all__:
        room = import_module(ct._homes()[name])
        assert getattr(ct, name) is getattr(room, name) and name in room.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing_such'"):
        _ = ct.nothing_such


def test_importing_it_is_light():
    code = "import sys, cotlab; print(sorted(name for name in sys.modules if name.startswith('cotlab')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['cotlab']"


def test_a_star_takes_all_of_it():
    taken: dict[str, object] = {}
    exec("from cotlab import *", taken)
    assert taken["Run"] is ct.Run
