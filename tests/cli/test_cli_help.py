"""What `--help` says: of every command what it does, whole, and without loading what only commands need."""

import subprocess
import sys

import pytest
from command_line import shown

from cotlab.cli.app import app

HEAVY = {"numpy", "pandas", "rich", "scipy", "torch", "transformers", "vllm"}


def listed(*group: str) -> dict[str, str]:
    """Commands with what is said of each."""
    rows = shown(*group, "--help").partition("\nCommands:\n")[2].splitlines()
    return dict(row.split(maxsplit=1) for row in rows)


def test_what_commands_do_is_not_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    whole, groups = listed(), [str(one.name) for one in app.registered_groups]
    assert {"sae", "runs", "steer", "probe"} <= set(groups) <= set(whole)
    for found in (whole, *map(listed, groups)):
        assert len(found) >= 3
        assert not {name: said for name, said in found.items() if not said.endswith(".") or said.endswith("...")}


@pytest.mark.parametrize("words", [["--help"], ["resample", "--help"], ["sae", "show", "--help"]])
def test_help_loads_nothing_heavy(words):
    code = (
        "import sys; from cotlab.cli import main\n"
        f"sys.argv = ['cotlab', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_options_of_a_study_are_the_same_everywhere():
    """`resample`, `hints` and `watched` take them from one place, with their own number of rollouts."""
    helps = {name: shown(name, "--help") for name in ("resample", "hints", "watched")}
    for text in helps.values():
        for option in ("--problems", "--engine-option", "--run, --out", "--top-p", "--budget"):
            assert option in text
    defaults = {name: text.partition("--rollouts")[2].partition("[default: ")[2] for name, text in helps.items()}
    rollouts = {name: text.partition(";")[0] for name, text in defaults.items()}
    assert rollouts == {"resample": "100", "hints": "2", "watched": "2"}
