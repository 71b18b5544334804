"""What the pages share: the address, the bytes for the component, and where the app is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.conftest import APP, HOSTILE

from cotlab.cli.workbench import app_folder
from cotlab.runs import Run
from cotlab.trees import conditions_of

KINDS = {"f4": np.float32, "i4": np.int32, "u4": np.uint32, "u1": np.uint8}


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(APP))


def unpack(data: bytes) -> dict[str, Any]:
    """As the component reads them."""
    length = int.from_bytes(data[:4], "little")
    found = json.loads(data[4 : 4 + length])
    at = -(-(4 + length) // 8) * 8
    for name, kind, count in found["arrays"]:
        found[name] = np.frombuffer(data, KINDS[kind], count, at)
        at = -(-(at + found[name].nbytes) // 8) * 8
    return found


def text_of(view: dict[str, Any], node: int) -> str:
    start, end = view["text_ends"][view["text"][node] : view["text"][node] + 2]
    return bytes(view["text_bytes"][start:end]).decode()


def read(path: Path, **changes: Any) -> Any:
    from parts.library import stamp
    from parts.study import study

    with Run.open(path) as run:
        chain = run.chains()[0].id
    return study.__wrapped__(path, stamp(path), chain, "", None, changes.get("depth", 1), changes.get("grown", ""))


def test_the_bytes_hold_the_tree_and_the_numbers_of_the_report(root: Path) -> None:
    from components import pack
    from parts.view import view_of

    studied = read(root / "stairs")
    view = unpack(pack(view_of(studied, "dv", 1, "")))
    n = len(studied.tree)
    assert all(len(view[name]) == n for name in ("x", "y", "parent", "value", "visits", "kept", "spine", "category"))
    assert view["at"] == {"step": 1, "node": -1}
    for node in range(n):
        ident = studied.ids[node]
        above = list(studied.tree.predecessors(ident))
        assert view["parent"][node] == (studied.place[above[0]] if above else -1)
        if above:
            assert text_of(view, node) == " ".join(studied.tree.edges[above[0], ident]["text"].split())
        value = studied.tree.nodes[ident]["value"].value
        assert np.isnan(view["value"][node]) if value is None else view["value"][node] == np.float32(value)
    for told, step in zip(view["steps"], studied.report.steps, strict=True):
        assert (told["metric"]["value"], told["metric"]["low"]) == (step.importance.value, step.importance.low)
        assert sum(a["n"] for a in told["alternatives"]) + told["more_n"] == step.value_before.n
        for one in told["alternatives"]:
            assert one["node"] < 0 or text_of(view, one["node"]) == one["text"]


@pytest.mark.parametrize("metric", ["dv", "after", "otherwise", "unknown"])
def test_every_metric_has_a_number_or_a_reason_for_every_step(root: Path, metric: str) -> None:
    from parts.view import view_of

    for step in view_of(read(root / "stairs"), metric, -1, "").header["steps"]:
        assert (step["metric"]["value"] is None) == (step["metric"]["reason"] is not None)
        assert 0 <= step["strength"] <= 1


def test_a_branch_grows_to_the_end_and_the_rest_of_the_tree_stays(root: Path) -> None:
    from cotlab.sampling import StudyConfig, run_study

    asked = {"question": "Find the way", "answer": "7", "model": "markov:branching", "cutter": "lines", "n": 30}
    path = run_study(StudyConfig.of(**asked, base=("random",), run=root / "wide")).path
    studied = read(path)
    tree = studied.tree
    node = max((n for n in tree if tree.nodes[n]["kind"] == "branch"), key=lambda n: tree.nodes[n]["visits"])
    grown = read(path, grown=node)
    whole = read(path, depth=None)
    assert set(tree) < set(grown.tree) < set(whole.tree)
    deepest = max((n for n in grown.tree if n not in tree), key=lambda n: grown.tree.nodes[n]["depth"])
    kept, texts = grown.way(deepest)
    assert len(texts) > 1 and whole.way(deepest) == (kept, texts)


def test_hostile_text_reaches_the_component_as_data(root: Path, hostile: Callable[[Path], None]) -> None:
    from components import pack
    from parts.view import view_of

    hostile(root / "hostile")
    data = pack(view_of(read(root / "hostile"), "dv", 0, ""))
    view = unpack(data)
    assert view["steps"][0]["text"] == HOSTILE[0] and len(data) < 300_000
    said = "".join(step["text"] for step in view["steps"])
    assert "\0" not in said and "\u202e" not in said and "␀" in said


def test_an_alternative_stands_for_all_that_say_the_same_in_other_words() -> None:
    from parts.library import SAMPLE_FOLDER
    from parts.picked import pick
    from parts.place import Place

    studied = read(SAMPLE_FOLDER)
    checked = 0
    for step, found in enumerate(studied.alternatives):
        children = {studied.tree.edges[e]["text"]: e[1] for e in studied.tree.out_edges(studied.chain.prefix(step).id)}
        for one in found:
            if not one.same_as_base and one.text in children:
                picked = pick(studied, Place(step=step, branch=children[one.text]))
                assert picked is not None and set(picked.draws.rollout_ids) == set(one.rollout_ids)
                assert picked.value.value == one.value.value
                checked += one.n > studied.tree.nodes[children[one.text]]["visits"]
    assert checked


def test_a_large_run_is_shown_before_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import parts.view

    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
    first = parts.view.first_bytes.__wrapped__
    assert first(root / "stairs", (), chain.id) is None
    monkeypatch.setattr(parts.view, "LARGE", 10)
    early = unpack(first(root / "stairs", (), chain.id))
    assert [step["text"] for step in early["steps"]] == [step.text.strip() for step in chain.steps]
    assert list(early["parent"]) == list(range(-1, len(chain.steps)))
    assert all(step["metric"]["reason"] for step in early["steps"])


def test_a_place_survives_its_address_and_nonsense_does_not_hurt() -> None:
    from parts.place import Place

    place = Place(run="a b", chain="c", step=3, branch="n", metric="after", other="x|y|1|")
    assert Place.of(place.to_params()) == place
    assert Place.of({"step": "-1", "run": "r" * 9000, "unknown": "x"}) == Place(run="r" * 500)
    assert Place.of({"step": "٣"}).step in (3, None)


def test_the_sample_is_small_whole_and_has_one_condition() -> None:
    from parts.library import SAMPLE, SAMPLE_FOLDER, run_path

    assert sum(file.stat().st_size for file in SAMPLE_FOLDER.rglob("*")) < 3_000_000
    with Run.open(run_path(SAMPLE)) as run:
        assert run.summary().state == "whole" and run.identity.model == "tiny"
        assert all(len(conditions_of(run, chain)) == 1 for chain in run.chains()) and run.chains()


def test_the_sample_is_copied_under_a_free_name(root: Path) -> None:
    from parts.library import take_sample

    assert [take_sample(), take_sample()] == ["sample", "sample-2"]
    with Run.open(root / "sample-2", writable=True) as run:
        run.add_note("mine")


def test_the_app_is_found_in_the_package_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cotlab

    assert app_folder() == APP
    package = tmp_path / "site-packages" / "cotlab"
    shutil.copytree(APP, package / "_workbench")
    monkeypatch.setattr(cotlab, "__file__", str(package / "__init__.py"))
    assert app_folder() == package / "_workbench"


def test_the_wheel_takes_the_app_along() -> None:
    config = tomllib.loads((APP.parents[1] / "pyproject.toml").read_text())
    included = config["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"apps/workbench": "cotlab/_workbench"}


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cotlab", "app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_what_cannot_be_opened_is_refused_before_the_server_starts(broken: Path) -> None:
    for arguments, line in (
        ([str(broken / "nowhere")], "there is no run"),
        ([str(broken / "leads-out")], "leads out of"),
        (["--root", str(broken / "none")], "there is no folder"),
        ([str(broken / "stairs"), "--root", str(broken.parent)], "does not lie directly under"),
    ):
        found = cli(*arguments, "--no-open")
        assert found.returncode == 2 and line in found.stderr and found.stderr.count("\n") == 1
