"""`cotlab steer` and `cotlab capture`: what cannot be is one line and exit code 2, before a model is loaded."""

import sys

import pytest

from cotlab.cli import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("steer report --dose 0", "give numbers above 0"),
        ("steer report --dose high", "doses 'high' not understood"),
        ("steer report --where last:x", "where 'last:x' not understood"),
        ("steer report --where middle", "part is 'middle'"),
        ("steer report --behaviour joy", "unknown behaviour 'joy'"),
        ("steer report --vector nowhere.safetensors", "there is no vector nowhere.safetensors"),
        ("steer layers --dose 0", "give numbers above 0"),
        ("steer layers --hook here", "not understood"),
        ("steer layers --vector nowhere.safetensors", "there is no vector nowhere.safetensors"),
        ("steer nowhere --vector v.safetensors --from-step 1", "there is no vector v.safetensors"),
        ("capture nowhere --hook resid_post:1", "there is no run nowhere"),
        ("resample --capture resid_post:1 --capture-at middle", "at 'middle' not understood"),
        ("capture nowhere --hook resid_post:1 --at middle", "at 'middle' not understood"),
    ],
)
def test_faults_are_one_line(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cotlab", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip()
    assert told in error and len(error.splitlines()) == 1
