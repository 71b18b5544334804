"""Opening by name only what lies under a root."""

from pathlib import Path

import pytest

from cotlab.errors import RunError
from cotlab.runs import Run, RunIdentity, find_run, run_names

IDENTITY = RunIdentity("tiny", "tok", "r1", "<think>", "</think>")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place in ("runs/mine", "runs/.hidden", "elsewhere"):
        Run.create(tmp_path / place, IDENTITY).close()
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "inner").symlink_to(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "outer").symlink_to(tmp_path / "elsewhere")
    half = tmp_path / "runs" / "half"
    half.mkdir()
    (half / "run.json").write_bytes((tmp_path / "elsewhere" / "run.json").read_bytes())
    (half / "run.sqlite").symlink_to(tmp_path / "elsewhere" / "run.sqlite")
    return tmp_path / "runs"


def test_names_are_those_of_runs_that_lie_there(root: Path) -> None:
    assert run_names(root) == ["inner", "mine"]
    assert find_run(root, "mine") == root / "mine" and find_run(root, "inner") == root / "inner"
    assert run_names(root / "nowhere") == []


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../elsewhere", "mine/../../elsewhere", "/etc", ".hidden", "a\0b", "mine/", "x" * 5000, "..\\x"],
)
def test_a_name_that_is_none_is_refused_in_one_line(root: Path, name: str) -> None:
    with pytest.raises(RunError) as caught:
        find_run(root, name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 + len(str(root)) * 2


@pytest.mark.parametrize("name", ["outer", "half"])
def test_links_out_of_the_root_are_refused(root: Path, name: str) -> None:
    with pytest.raises(RunError, match="leads out of"):
        find_run(root, name)
