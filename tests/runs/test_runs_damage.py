"""Damaged runs: one line that says what to do, never a traceback, never a change to what is there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs_builder import BASELINE, PROMPT, SETTINGS, rollout

from cotlab.errors import RunError
from cotlab.runs import Run, export_run, list_runs, merge_runs, verify_run
from cotlab.runs.migrations import FORMAT


def overwrite(path: Path, start: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(size))


def head(path: Path) -> None:
    overwrite(path, 0, 4096)


def whole(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def cut(path: Path) -> None:
    os.truncate(path, 3 * 8192)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def middle(path: Path) -> None:
    overwrite(path, 8192, path.stat().st_size - 8192)


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t(x)")
    other.close()


@pytest.mark.parametrize("damage", [head, whole, cut, emptied, foreign])
def test_a_damaged_file_is_one_line(filled: Path, damage: Callable[[Path], None]) -> None:
    damage(filled / "run.sqlite")
    before = (filled / "run.sqlite").read_bytes()
    for writable in (False, True):
        with pytest.raises(RunError, match=r"run.sqlite of .* is damaged .*: .*restore it from a copy") as caught:
            Run.open(filled, writable=writable)
        assert "\n" not in str(caught.value)
    assert (filled / "run.sqlite").read_bytes() == before
    assert not (filled / "run.lock").exists()
    assert len(verify_run(filled)) == 1
    (summary,) = list_runs(filled.parent)
    assert summary.state.startswith("damaged: run.sqlite of") and summary.model == "tiny"


def test_damage_inside_is_found_when_it_is_read(filled: Path) -> None:
    middle(filled / "run.sqlite")
    with pytest.raises(RunError, match="is damaged .*`cotlab runs verify"):
        with Run.open(filled) as run:
            list(run.rollouts())
    assert any("damaged" in line or "run.sqlite" in line for line in verify_run(filled))
    with pytest.raises(RunError, match=f"run.sqlite of {filled} is damaged"):
        merge_runs([filled], filled.parent / "out")
    assert not (filled.parent / "out").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe garbage", "is damaged"),
        (b"", "is damaged"),
        (b"[]", "expected an object, got list"),
        (b"{}", "model is None, expected str"),
        (b'{"format": "1"}', "is damaged"),
    ],
)
def test_a_damaged_run_json(filled: Path, content: bytes, said: str) -> None:
    (filled / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run.json is damaged .*restore it from a copy") as caught:
        Run.open(filled)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert len(verify_run(filled)) == 1


def test_missing_files(filled: Path) -> None:
    (filled / "run.json").rename(filled / "kept.json")
    with pytest.raises(RunError, match="run.json of .* is missing: restore it"):
        Run.open(filled)
    (filled / "kept.json").rename(filled / "run.json")
    (filled / "run.sqlite").unlink()
    for writable in (True, False):
        with pytest.raises(RunError, match="run.sqlite of .* is missing: restore it"):
            Run.open(filled, writable=writable)


def test_a_newer_run_file(filled: Path) -> None:
    with sqlite3.connect(filled / "run.sqlite") as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    for writable in (True, False):
        with pytest.raises(RunError, match=f"has format 9, this cotlab reads up to {FORMAT}: update cotlab"):
            Run.open(filled, writable=writable)


CHANGES = {
    "UPDATE rollout SET n_tokens = 3 WHERE sample_idx = 1": "says 3 tokens, its body has 7",
    "UPDATE rollout SET sample_idx = 77 WHERE sample_idx = 1": f"rollout {rollout(sample_idx=1).id} has the condition",
    "DELETE FROM rollout_body WHERE rollout = 2": f"rollout {rollout(sample_idx=1).id} has no body",
    "UPDATE rollout_body SET logprobs = x'00000000'": "7 tokens and 1 log probabilities",
    "UPDATE prefix SET ids = x'010000000200000003000000' WHERE key = 1": f"prefix {PROMPT.id} has other tokens",
    "UPDATE prefix SET n_tokens = 1 WHERE key = 1": f"prefix {PROMPT.id} says 1 tokens",
    "UPDATE problem SET answer = '43'": "has the content of",
    "UPDATE settings SET spec = replace(spec, '1.0', '0.5')": "settings .* has the content of",
    "UPDATE step SET start = 1 WHERE idx = 1": "step 1 of chain .* starts at token 1, expected 2",
    "DELETE FROM step WHERE idx = 2": "cover 5 of 7 tokens",
    "UPDATE chain SET cutter_id = 'other/1'": "chain .* has the content of",
    "UPDATE score SET subject = 99 WHERE subject_kind = 'prefix'": "a score of value/1 is about prefix 99",
    "UPDATE score SET value = 'oops' WHERE subject_kind = 'prefix'": "a score holds 'oops', which is not JSON",
    "UPDATE settings SET spec = '{'": "a value cannot be read",
    "UPDATE rollout_body SET text = CAST(x'ff' AS TEXT) WHERE rollout = 3": "is damaged",
    "UPDATE rollout SET finish_reason = 'tired' WHERE sample_idx = 1": "finished with 'tired'",
    "DELETE FROM study": "row 1 of rollout points to a study that is not there",
    "INSERT INTO rollout_body VALUES (99, '', NULL, NULL)": "body 99 belongs to no rollout",
}


@pytest.mark.parametrize("change", CHANGES)
def test_verify_finds(filled: Path, change: str) -> None:
    assert verify_run(filled) == []
    with sqlite3.connect(filled / "run.sqlite") as db:
        assert db.execute(change).rowcount > 0
    db.close()
    found = verify_run(filled)
    assert any(re.search(CHANGES[change], line) for line in found), found


def test_verify_does_not_flood(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.runs.verify._SHOWN", 2)
    with sqlite3.connect(filled / "run.sqlite") as db:
        db.execute("UPDATE rollout SET n_tokens = 3")
    db.close()
    assert verify_run(filled)[-1] == "… and 2 more like this"


def test_verify_of_nothing(tmp_path: Path) -> None:
    (line,) = verify_run(tmp_path / "nothing")
    assert line.startswith("there is no run")


def test_json_of_a_summary_is_json(filled: Path) -> None:
    (summary,) = list_runs(filled)
    found = json.loads(json.dumps(summary.to_json()))
    assert found["rollouts"] == 4 and found["accuracy"] == {"math/1": 0.75}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE score SET value = '{'",
        "UPDATE engine_card SET spec = '{'",
        "UPDATE rollout SET n_tokens = 9223372036854775807",
    ],
)
def test_a_damaged_run_is_one_row_of_the_list(filled: Path, change: str) -> None:
    whole = Path(shutil.copytree(filled, filled.with_name("whole")))
    with sqlite3.connect(filled / "run.sqlite") as db:
        assert db.execute(change).rowcount > 0
    db.close()
    damaged, good = list_runs(filled.parent)
    assert re.fullmatch(r"damaged: run.sqlite of .* is damaged .*", damaged.state) and damaged.model == "tiny"
    assert (good.path, good.state, good.rollouts) == (str(whole), "whole", 4)
    command = [sys.executable, "-m", "cotlab", "runs", "list", "."]
    shown = subprocess.run(command, cwd=filled.parent, capture_output=True, text=True, timeout=120, check=True).stdout
    assert re.search(r"^filled .*damaged: ", shown, re.M) and re.search(r"^whole .* whole *$", shown, re.M)


def test_a_cycle_of_prefixes_ends(filled: Path) -> None:
    with sqlite3.connect(filled / "run.sqlite") as db:
        db.execute("UPDATE prefix SET parent = 2 WHERE key = 1")
    db.close()
    assert any(f"prefix {PROMPT.id} has other tokens" in line for line in verify_run(filled))


def test_random_damage_is_told_in_one_line(filled: Path, tmp_path: Path) -> None:
    data, rng = (filled / "run.sqlite").read_bytes(), random.Random(5)
    for _ in range(60):
        spoilt = bytearray(data)
        for _ in range(rng.choice([1, 3, 30, 300])):
            spoilt[rng.randrange(100, len(spoilt))] = rng.randrange(256)
        (filled / "run.sqlite").write_bytes(spoilt)
        assert len(list_runs(filled)) == 1
        assert not any("\n" in line for line in verify_run(filled))
        try:
            with Run.open(filled) as run:
                _ = run.problems(), list(run.rollouts()), list(run.scores("rollout")), run.chains()
        except RunError as error:
            assert "\n" not in str(error)


def test_export_of_a_damaged_value_is_one_line(filled: Path, tmp_path: Path) -> None:
    with sqlite3.connect(filled / "run.sqlite") as db:
        db.execute("UPDATE rollout_body SET token_ids = x'010203' WHERE rollout = 2")
    db.close()
    with Run.open(filled) as run, pytest.raises(RunError, match=r"a value cannot be read as list<int32>.*damaged"):
        export_run(run, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def read_everything(folder: Path) -> None:
    with Run.open(folder) as run:
        for read in (run.problems, run.settings, run.engine_cards, run.interventions, run.studies, run.captures):
            read()
        _ = run.intervention(BASELINE.id), list(run.edges()), run.chains(), list(run.rollouts())
        _ = [row.value["outcome"] for row in run.outcome_rows("math/1")]
        _ = [score.value["category"] for score in run.scores("step")]


def without_each_key(value: object) -> Iterator[object]:
    """The value with one key left out, for every key at every depth."""
    if isinstance(value, dict):
        for place, below in value.items():
            yield {key: kept for key, kept in value.items() if key != place}
            yield from ({**value, place: changed} for changed in without_each_key(below))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from ([*value[:i], changed, *value[i + 1 :]] for changed in without_each_key(below))


@pytest.mark.parametrize("table", ["settings", "engine_card", "intervention", "study", "capture"])
def test_a_spec_that_lacks_a_key_is_one_line(filled: Path, table: str) -> None:
    """All of them are named by the hash of what they hold: nothing is taken for a default."""
    with Run.open(filled, writable=True) as run:
        run.add_capture({"hooks": ["resid_post:1"], "places": {"at": "step-ends", "cutter": "sentences/1"}})
        run.add_study({"kind": "suppression", "hidden": [1], "settings": SETTINGS.to_json()}, seed=0)
    read_everything(filled)
    tried = 0
    with contextlib.closing(sqlite3.connect(filled / "run.sqlite")) as db:
        for public_id, stored in db.execute(f"SELECT id, spec FROM {table}").fetchall():
            for changed in without_each_key(json.loads(stored)):
                change = f"UPDATE {table} SET spec = ? WHERE id = ?"
                db.execute(change, (json.dumps(changed), public_id))
                db.commit()
                with pytest.raises(RunError, match=f"{public_id} has the content of .* damaged") as told:
                    read_everything(filled)
                assert "\n" not in str(told.value)
                assert any(public_id in line for line in verify_run(filled))
                db.execute(change, (stored, public_id))
                tried += 1
    assert tried


@pytest.mark.parametrize(("scorer", "key"), [("math/1", "outcome"), ("tiny-oracle/1", "category")])
def test_a_verdict_that_lacks_a_key_is_one_line(filled: Path, scorer: str, key: str) -> None:
    with contextlib.closing(sqlite3.connect(filled / "run.sqlite")) as db:
        change = "UPDATE score SET value = json_remove(value, ?) WHERE scorer = (SELECT key FROM scorer WHERE id = ?)"
        db.execute(change, (f"$.{key}", scorer))
        db.commit()
    with pytest.raises(RunError, match=f"a stored value has no '{key}': the run is damaged"):
        read_everything(filled)


def test_a_problem_of_other_values_is_one_line(filled: Path) -> None:
    with contextlib.closing(sqlite3.connect(filled / "run.sqlite")) as db:
        db.execute("UPDATE problem SET choices = '7'")
        db.commit()
    with pytest.raises(RunError, match="cannot be read as problem"):
        read_everything(filled)
