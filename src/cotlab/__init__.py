"""cotlab: investigate the chains of thought of reasoning models.

    import cotlab as ct

    study = ct.resample(problems="countdown", n_problems=2, model="tiny", n=100)   # a folder under runs/
    with ct.Run.open(study.path) as run:
        report = ct.chain_report(run, run.chains()[0], ct.StudyView("answers/1"))  # values, importance, alternatives
        tree = ct.build_tree(run, scorer_id="answers/1")                           # networkx.DiGraph

Names load on first use, so that importing cotlab costs nothing. Which there are, and where from, the stub beside this
file says, to type checkers and to this module alike.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


@cache
def _homes() -> dict[str, str]:
    """The room of every public name."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_homes())
    if name.startswith("_") or name not in _homes():
        raise AttributeError(f"module 'cotlab' has no attribute {name!r}")
    return getattr(import_module(_homes()[name]), name)


def __dir__() -> list[str]:
    return sorted(_homes())
