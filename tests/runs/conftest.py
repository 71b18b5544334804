from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_builder import IDENTITY, make

from cotlab.runs import Run


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty and a small filled run, copied where a test needs one: making them waits for the disk."""
    folder = tmp_path_factory.mktemp("templates")
    Run.create(folder / "empty", IDENTITY).close()
    make(folder / "filled")
    return folder


@pytest.fixture
def run(templates: Path, tmp_path: Path) -> Iterator[Run]:
    """An empty run, open for writing."""
    shutil.copytree(templates / "empty", tmp_path / "run")
    with Run.open(tmp_path / "run", writable=True) as run:
        yield run


@pytest.fixture
def filled(templates: Path, tmp_path: Path) -> Path:
    """A small closed run."""
    return Path(shutil.copytree(templates / "filled", tmp_path / "filled"))
