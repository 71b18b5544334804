"""A reader of math-rollouts written from the description of the format alone; it knows nothing of cotlab.

Folder: {model}/temperature_{T}_top_p_{P}/{correct,incorrect}_base_solution[_forced_answer]/problem_N/ with problem.json
(problem, level, type, gt_solution, gt_answer, nickname), base_solution.json (prompt, solution, full_cot, answer,
is_correct), chunks.json (source_text, solution_text, chunks), chunks_labeled.json (a list of chunk, chunk_idx,
function_tags, depends_on, accuracy, importances, …) and chunk_i/solutions.json (a list of chunk_removed,
prefix_without_chunk, chunk_resampled, rollout, full_cot, answer, is_correct, or error).
"""

import json
import re
from pathlib import Path

SOLUTION = {
    "chunk_removed": str,
    "prefix_without_chunk": str,
    "chunk_resampled": str,
    "rollout": str,
    "full_cot": str,
    "answer": str,
    "is_correct": bool,
}


def read(root: Path) -> dict[str, dict]:
    """Every trace under a folder by its relative path."""
    traces = {}
    for base_file in sorted(root.glob("*/*/*_base_solution/problem_*/base_solution.json")):
        folder = base_file.parent
        model, sampling, kind, problem = folder.relative_to(root).parts
        assert re.fullmatch(r"temperature_[\d.]+_top_p_[\d.]+", sampling)
        assert kind in ("correct_base_solution", "incorrect_base_solution") and re.fullmatch(r"problem_\d+", problem)
        trace = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("problem", "base_solution")}
        assert trace["base_solution"]["is_correct"] is (kind == "correct_base_solution")
        assert trace["base_solution"]["full_cot"].startswith(trace["base_solution"]["prompt"])
        chunks = json.loads((folder / "chunks.json").read_text())
        assert set(chunks) == {"source_text", "solution_text", "chunks"}
        labelled = json.loads((folder / "chunks_labeled.json").read_text())
        assert [row["chunk_idx"] for row in labelled] == list(range(len(chunks["chunks"])))
        assert [row["chunk"] for row in labelled] == chunks["chunks"]
        assert all(isinstance(tag, str) for row in labelled for tag in row["function_tags"] + row["depends_on"])
        trace["chunks"], trace["labelled"] = chunks["chunks"], labelled
        trace["solutions"] = solutions(folder, chunks["chunks"])
        forced = folder.parent.with_name(kind + "_forced_answer") / problem
        trace["forced"] = solutions(forced, chunks["chunks"]) if forced.exists() else {}
        traces["/".join((model, sampling, kind, problem))] = trace
    return traces


def solutions(folder: Path, chunks: list[str]) -> dict[int, list[dict]]:
    found = {}
    for file in folder.glob("chunk_*/solutions.json"):
        index = int(file.parent.name.removeprefix("chunk_"))
        found[index] = json.loads(file.read_text())
        for row in found[index]:
            assert set(row) == set(SOLUTION) and all(type(row[name]) is kind for name, kind in SOLUTION.items())
            assert index == len(chunks) or row["chunk_removed"] == chunks[index]
            assert row["full_cot"].endswith(row["rollout"])
            assert row["rollout"].strip().startswith(row["chunk_resampled"])
    return dict(sorted(found.items()))


def accuracy(rows: list[dict]) -> float:
    answered = [row for row in rows if row["answer"]]
    return sum(row["is_correct"] for row in answered) / len(answered)
