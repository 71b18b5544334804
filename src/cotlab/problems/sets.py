"""Problem sets by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from cotlab.chains.problem import Problem
from cotlab.errors import DataError
from cotlab.problems.benchmarks import BENCHMARKS, load_benchmark
from cotlab.problems.files import SUFFIXES, load_file
from cotlab.problems.gym import gym_problems
from cotlab.problems.pope import load_pope
from cotlab.problems.rows import read_row
from cotlab.problems.scene_sets import count_problems, pair_problems, scene_problems
from cotlab.problems.tasks import LEVELS, TINY_FAMILIES, arithmetic_problems, recognised_task, tiny_problems

__all__ = ["PROBLEM_SETS", "load_problems", "problem_from_text"]

PROBLEM_SETS = {
    "countdown": "reach a number from three others with + - * (tiny reasoner, held-out)",
    "solve": "find x in a * x ± b = c (tiny reasoner, held-out)",
    "tiny": "both, with manner notes (tiny reasoner, held-out)",
    "arithmetic": f"whole-number arithmetic; also arithmetic:{{{','.join(LEVELS)}}}",
    "word-problems": "20 grade-school word problems that ship with cotlab",
    "reasoning-gym:NAME": "a data set of reasoning-gym (extra 'problems')",
    "scenes": "is there such a shape? POPE-style questions on held-out scenes with their pictures (tiny-vlm)",
    "scenes:pairs": "the same where one of two shapes that come together is there: is the other? (tiny-vlm)",
    "scenes:count": "how many of a shape are there? Counted aloud on such scenes (tiny-vlm)",
    "pope:FILE[@IMAGES]": "POPE's own file, or the folder of its three, with the folder of the images",
    "FILE.jsonl|.json|.csv": "your own: question, answer, …",
    "gsm8k:FILE, math:FILE, mmlu:FILE": "a benchmark's own file (JSONL, JSON; MMLU also CSV without a header)",
}
"""Specs that `load_problems` understands, each with what it is."""

MAX_GENERATED = 5000
"""Most problems that are generated at once; the tiny tasks have not many more."""
DEFAULT_N = 20
"""How many problems of a generated set are made where nobody says."""


def load_problems(spec: str, *, n: int | None = None, seed: int = 0) -> list[Problem]:
    """Problems of a set.

    Args:
        spec: A key of `PROBLEM_SETS` or the path of a file.
        n: How many. Generated sets: None makes `DEFAULT_N`. Files: the first n in order; None takes all. Sets of POPE:
            of each kind of negatives.
        seed: Of generated sets. The same spec, n and seed give the same problems on every machine.

    Raises:
        DataError: There is no such set, it has fewer than n problems (generated sets), or a file is bad.
    """
    if n is not None and n < 1:
        raise DataError(f"n is {n}: ask for 1 problem or more")
    name, _, detail = spec.partition(":")
    layout = next((one for one in BENCHMARKS if one == name), None)
    if layout is not None and detail:
        return load_benchmark(layout, Path(detail).expanduser(), n)
    count = n if n is not None else DEFAULT_N
    if count > MAX_GENERATED and not spec.lower().endswith(SUFFIXES):
        raise DataError(f"n is {n}: {spec} gives at most {MAX_GENERATED} problems at once: ask for fewer")
    if name == "pope" and detail:
        file, _, folder = detail.partition("@")
        return load_pope(Path(file).expanduser(), Path(folder).expanduser() if folder else None, n)
    if generated := _generated(spec, count, seed):
        return generated
    if spec == "word-problems":
        with resources.as_file(resources.files("cotlab.problems") / "word-problems.jsonl") as path:
            return load_file(path, n)
    if spec.lower().endswith(SUFFIXES):
        path = Path(spec).expanduser()
        if detail and not path.exists() and name.isalnum() and Path(detail).expanduser().exists():
            raise DataError(
                f"no reader {name!r} for {detail!r}: choose one of {', '.join(BENCHMARKS)}, or give the file alone"
            )
        return load_file(path, n)
    raise DataError(f"unknown problem set {spec!r}: choose one of {', '.join(PROBLEM_SETS)}")


def problem_from_text(question: str, answer: str | None = None, checker: str | None = None) -> Problem:
    """One question, as typed on a command line.

    A question of the tiny reasoner's tasks is recognised as such and checked by the rule of its task, whatever answer
    is given with it: many expressions reach the target of a Countdown.

    Raises:
        DataError: The question is empty or too long, the checker unknown, or the answer to a task is not right.
    """
    task = recognised_task(question, answer, "question") if checker is None else None
    if task is not None:
        return task
    try:
        return read_row({"question": question.strip(), "answer": answer, "checker": checker}, "question")
    except ValueError as error:
        raise DataError(f"question {question[:60]!r}: {error}") from error


def _generated(spec: str, n: int, seed: int) -> list[Problem]:
    """Problems of a generated set; none where the spec names none."""
    name, _, detail = spec.partition(":")
    scenes = {"scenes": scene_problems, "scenes:pairs": pair_problems, "scenes:count": count_problems}
    if spec in scenes:
        return scenes[spec](n, seed)
    if spec in TINY_FAMILIES:
        return tiny_problems(spec, n, seed)
    if name == "arithmetic":
        return _arithmetic(spec, detail, n, seed)
    return gym_problems(detail, n, seed) if name == "reasoning-gym" and detail else []


def _arithmetic(spec: str, detail: str, n: int, seed: int) -> list[Problem]:
    level = next((level for level in LEVELS if level == detail), None)
    if level is None and spec != "arithmetic":
        raise DataError(f"problem set {spec!r} has no level {detail!r}: choose one of {', '.join(LEVELS)}")
    return arithmetic_problems(n, seed, level)
