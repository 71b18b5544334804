from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest
from runs_builder import CARD, PROBLEM, PROMPT, chain, rollout

from cotlab.chains.score import Score
from cotlab.errors import RunError
from cotlab.runs import Run, RunSummary, export_run, list_runs
from cotlab.runs.datasets import DATASETS, DatasetName


def test_frames(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.runs.datasets._PAGE", 3)
    with Run.open(filled) as run:
        frames = {data.name: run.frame(data.name) for data in DATASETS}
        with pytest.raises(RunError, match="there is no dataset 'rollout': choose one of problems, prefixes, rollouts"):
            run.frame("rollout")  # type: ignore[arg-type]
    assert frames.keys() == set(get_args(DatasetName))
    rollouts = frames["rollouts"]
    assert list(rollouts["id"]) == [rollout(sample_idx=idx).id for idx in range(4)]
    assert set(rollouts["problem_id"]) == {PROBLEM.id} and rollouts["n_tokens"].sum() == 28
    assert "text" not in rollouts
    scores = frames["scores"]
    assert list(scores[scores.subject_kind == "rollout"]["outcome"]) == ["wrong", "correct", "correct", "correct"]
    assert list(scores[scores.subject_kind == "step"]["subject_id"]) == [f"{chain(rollout()).id}/1"]
    assert list(scores["category"].dropna()) == ["active_computation"]
    assert list(frames["steps"]["text"]) == ["Six ", "times ", "seven."]
    prefixes = frames["prefixes"]
    assert list(prefixes["kind"]) == ["root", "continue", "continue", "continue"]
    assert prefixes["parent_id"].isna().sum() == 1 and prefixes["parent_id"][1] == PROMPT.id


def test_frames_of_an_empty_run(run: Run) -> None:
    frame = run.frame("rollouts")
    assert len(frame) == 0 and "n_tokens" in frame
    assert run.frame("scores").columns[0] == "scorer_id"


def test_parquet_holds_everything(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        files = export_run(run, tmp_path / "out" / "tables")
        assert [file.name for file in files] == [*(f"{data.name}.parquet" for data in DATASETS), "run.json"]
        table = pq.read_table(tmp_path / "out" / "tables" / "rollouts.parquet")
        for row, stored in zip(table.to_pylist(), run.rollouts(), strict=True):
            assert (row["id"], row["text"], row["seed"]) == (stored.id, stored.text, stored.seed)
            assert tuple(row["token_ids"]) == stored.token_ids and tuple(row["logprobs"]) == stored.logprobs
        for data in DATASETS:
            found = pq.read_table(tmp_path / "out" / "tables" / f"{data.name}.parquet")
            assert found.column_names == [column.name for column in data.columns]
            assert found.schema.field(0).metadata == {b"doc": data.columns[0].doc.encode()}
        with pytest.raises(RunError, match="already holds something"):
            export_run(run, tmp_path / "out" / "tables")
        with pytest.raises(RunError, match="no export format 'csv'"):
            export_run(run, tmp_path / "csv", formats=["csv"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tables"]


def test_what_arrow_cannot_hold(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled, writable=True) as run:
        odd = replace(rollout(sample_idx=8), text="a\0b\ud800c", token_ids=None, logprobs=None)
        run.add_rollouts([odd], study_id=run.studies()[0].id)
        run.add_scores([Score("rollout", odd.id, "math/1", {"outcome": "wrong", "answer": "\ud800", "key": "k\udfff"})])
        export_run(run, tmp_path / "tables")
        assert len(run.frame("rollouts")) == 5
    last = pq.read_table(tmp_path / "tables" / "rollouts.parquet").to_pylist()[-1]
    assert (last["text"], last["token_ids"]) == ("a\0b\ufffdc", None)
    scores = pq.read_table(tmp_path / "tables" / "scores.parquet").to_pylist()
    assert "\ufffd" in [row["answer"] for row in scores]


def test_a_failed_export_leaves_nothing(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cotlab.runs.export.shutil.copyfile", full)
    with Run.open(filled) as run, pytest.raises(RunError, match="cannot write .*tables: No space left on device; free"):
        export_run(run, tmp_path / "tables")
    assert [path.name for path in tmp_path.iterdir()] == ["filled"]


def test_summary(filled: Path) -> None:
    with Run.open(filled) as run:
        found = run.summary()
    assert found == RunSummary(
        path=str(filled),
        title="test",
        model="tiny",
        created=found.created,
        state="whole",
        problems=1,
        chains=1,
        prefixes=4,
        rollouts=4,
        tokens=28,
        failed_attempts=0,
        studies=1,
        engines=(CARD.engine,),
        outcomes={"math/1": {"correct": 3, "wrong": 1}},
        size_bytes=found.size_bytes,
    )
    assert found.size_bytes == sum(file.stat().st_size for file in filled.iterdir())
    assert found.accuracy == {"math/1": 0.75}


def test_list_runs(templates: Path, tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        shutil.copytree(templates / "filled", tmp_path / name)
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "run.json").write_text("{")
    found = list_runs(tmp_path)
    assert [(Path(s.path).name, s.rollouts, s.state.split(":")[0]) for s in found] == [
        ("a", 4, "whole"),
        ("b", 4, "whole"),
        ("c", 0, "damaged"),
    ]
    assert list_runs(tmp_path / "nowhere") == []
