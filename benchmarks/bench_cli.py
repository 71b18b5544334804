"""How long `cotlab --help` takes, beside the interpreter alone.

    python benchmarks/bench_cli.py [--repeats 15] [--json]

The two commands take turns, so that a busy machine slows both; the goal is a median under 0.5 s.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

GOAL_SECONDS = 0.5
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "cotlab --help": [sys.executable, "-c", "from cotlab.cli import main; main()", "--help"],
}


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall and CPU time of one call; on a busy machine only the second says what the command costs."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Medians over so many calls of each command, after one that warms the file cache."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for repeat in range(repeats + 1):
        for name, command in COMMANDS.items():
            taken = seconds(command)
            if repeat:
                times[name].append(taken)
    return {
        name: {"wall": statistics.median(w for w, _ in taken), "cpu": statistics.median(c for _, c in taken)}
        for name, taken in times.items()
    }


def markdown(found: dict[str, dict[str, float]]) -> str:
    """The figures as a section of docs/benchmarks.md."""
    base, wall = found["python -c pass"], found["cotlab --help"]["wall"]
    verdict = "met" if wall < GOAL_SECONDS else "missed"
    lines = ["## Start of the command line", "", "| command | wall s | CPU s | wall, times the interpreter |"]
    lines.append("|---|---:|---:|---:|")
    for name, taken in found.items():
        lines.append(f"| `{name}` | {taken['wall']:.3f} | {taken['cpu']:.3f} | {taken['wall'] / base['wall']:.1f} |")
    return "\n".join([*lines, "", f"Medians. Goal: `cotlab --help` in under {GOAL_SECONDS} s of wall time: {verdict}."])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time `cotlab --help`.")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    arguments = parser.parse_args()
    found = measure(arguments.repeats)
    print(json.dumps(found) if arguments.json else markdown(found))


if __name__ == "__main__":
    main()
