"""`cotlab steer` and `cotlab capture`: what cannot be is one line and exit code 2, before a model is loaded."""

import pytest
from command_line import cotlab


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
def test_faults_are_one_line(words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = cotlab(*words.split())
    assert code == 2 and told in error and len(error.strip().splitlines()) == 1
