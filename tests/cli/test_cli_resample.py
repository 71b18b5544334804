"""The command line as a user meets it: killed and resumed, on the markov engine."""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import document, fault, shown

COTLAB = [sys.executable, "-m", "cotlab"]
STUDY = [
    "resample",
    "--model",
    "markov:staircase",
    "--question",
    "Climb.",
    "--answer",
    "7",
    "--base",
    "random",
    "-n",
    "60",
]


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COTLAB, *arguments], capture_output=True, text=True, timeout=120, check=False)


def bodies(run: Path) -> dict[str, tuple[object, ...]]:
    with sqlite3.connect(run / "run.sqlite") as db:
        key = [row[1] for row in db.execute("PRAGMA table_info(rollout_body)")][0]
        found = db.execute(
            "SELECT rollout.id, prefix, intervention, sample_idx, seed, text, token_ids, logprobs "
            f"FROM rollout JOIN rollout_body ON rollout_body.{key} = rollout.key"
        ).fetchall()
    assert len({row[0] for row in found}) == len({row[1:4] for row in found}) == len(found)
    return {row[0]: row[4:] for row in found}


def test_json_is_one_document_and_a_second_call_samples_nothing(tmp_path: Path) -> None:
    done = in_a_process(*STUDY, "--run", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert {"run", "model", "engine", "problems", "conditions", "rollouts", "sampled_now", "seconds"} <= set(first)
    step = first["steps"][0]
    assert {"problem", "chain", "step", "text", "category", "value_before", "value_after", "importance"} <= set(step)
    assert {"value", "low", "high", "n", "null_q95", "reason"} <= set(step["importance"]["resampling"])
    second = document(*STUDY, "--run", tmp_path / "run")
    assert second["sampled_now"] == 0 < first["sampled_now"]
    assert second["steps"] == first["steps"]


def test_killed_at_random_moments_and_resumed_it_is_as_if_undisturbed(tmp_path: Path) -> None:
    slow = [*STUDY, "--run", str(tmp_path / "run"), "--json", "-o", "delay=0.004"]
    rng, done = random.Random(7), {}
    for _ in range(3):
        process = subprocess.Popen([*COTLAB, *slow], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        database = tmp_path / "run" / "run.sqlite"
        deadline = time.monotonic() + 60
        while not database.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.1, 1.2))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = bodies(tmp_path / "run")
        assert done.items() <= now.items()
        done = now
    shown("score", tmp_path / "run", "answers")
    seen = document("tree", tmp_path / "run")["steps"]
    before = [step["value_before"] for step in seen]
    assert all(v["n"] >= 60 if v["value"] is not None else v["reason"] for v in before)  # no part of a block is shown
    finished = document(*STUDY, "--run", tmp_path / "run")
    calm = document(*STUDY, "--run", tmp_path / "calm")
    end = bodies(tmp_path / "run")
    assert done.items() <= end.items()
    assert end == bodies(tmp_path / "calm")
    assert finished["steps"] == calm["steps"]
    shown("runs", "verify", tmp_path / "run")


def test_ctrl_c_keeps_what_was_sampled_and_says_how_to_go_on(tmp_path: Path) -> None:
    slow = [*STUDY, "--run", str(tmp_path / "run"), "-o", "delay=0.01"]
    process = subprocess.Popen([*COTLAB, *slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "run" / "run.sqlite").exists():
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "same command" in talk and "Traceback" not in talk
    assert bodies(tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resample", "--model", "no-such-model-here"], "no-such-model-here"),
        (["resample", "--problems", "missing.jsonl"], "missing.jsonl"),
        (["resample", "--engine", "warp"], "warp"),
        (["resample", "-o", "speed"], "speed"),
        (["runs", "show", "nowhere"], "nowhere"),
        (["tree", "nowhere"], "nowhere"),
        (["score", "nowhere", "answers"], "nowhere"),
        (["export", "nowhere", "out"], "nowhere"),
    ],
)
def test_a_users_fault_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in fault(*arguments)


def test_a_bad_line_of_a_problem_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"question": "2 + 2?", "answer": "4"}\nnot json\n')
    line = fault("resample", "--problems", "mine.jsonl")
    assert "line 2" in line and "mine.jsonl" in line


def test_a_model_folder_without_tokenizer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}')
    assert "./model" in fault("resample", "--model", "./model")


def test_runs_tree_score_and_export_work_on_a_run(tmp_path: Path) -> None:
    run = str(tmp_path / "runs" / "one")
    shown(*STUDY, "--run", run)
    listed = document("runs", "list", str(tmp_path / "runs"))
    assert [row["path"] for row in listed] == [run]
    assert document("runs", "show", run)["chains"] == 1
    assert "answers/1: correct" in shown("runs", "show", run)
    assert document("tree", run)["steps"][0]["alternatives"]
    assert "Climb." in shown("tree", run)
    (tmp_path / "own.py").write_text("def long(problem, response):\n    return len(response.text) > 40\n")
    scored = document("score", run, f"{tmp_path / 'own.py'}:long")
    assert scored["scored_now"] == listed[0]["rollouts"]
    for target in ("tables", "tree.graphml", "tree.json"):
        written = document("export", run, str(tmp_path / target))["written"]
        assert written and all(Path(path).exists() for path in written)
    merged = document("runs", "merge", run, run, "--into", tmp_path / "merged")
    assert merged["rollouts"] == listed[0]["rollouts"]


def test_few_rollouts_at_few_positions_are_told_in_words(tmp_path: Path) -> None:
    few = shown(*STUDY[:-1], "6", "--run", tmp_path / "run", "--positions", "0")
    assert "– stands where there is no value: 6 rollouts, at least 10 are needed" in few
    assert re.search(r"^0–\d+ ", few, re.M)  # all steps as one


def test_a_run_of_two_conditions_lists_them_and_shows_the_one_asked_for(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    shown(*STUDY, "--run", run)
    shown(*STUDY, "--run", run, "--positions", "0", "--temperature", "0.5")
    mixed = fault("tree", run)  # of the first chain: only its prompt was sampled at the other temperature
    assert "Choose one with --condition" in mixed and "temperature 0.5" in mixed
    chosen = document("tree", run, "--condition", "temperature=0.5")
    assert [step["value_before"]["n"] for step in chosen["steps"]] == [60]
    assert "Choose one with" in fault("export", run, tmp_path / "tree.json", "--condition", "temperature=0.7")


def test_text_that_no_encoding_holds_is_escaped(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shown(*STUDY[:-1], "12", "--run", run, "--positions", "0")
    with sqlite3.connect(run / "run.sqlite") as db:  # as the store keeps what models do emit: lone surrogates
        db.execute("UPDATE step SET text = ? WHERE idx = 0", ("odd \ud800".encode("utf-8", "surrogatepass"),))
    db.close()
    done = in_a_process("tree", str(run), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"][0]["text"].startswith("odd \ud800")
    table = in_a_process("tree", str(run))
    assert table.returncode == 0, table.stderr
    shown("export", run, tmp_path / "tables")
