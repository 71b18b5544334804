"""Steering and capture on a GPU, on models of random weights shaped like Qwen2-1.5B and Llama-3-8B; no hub is needed.

Each part runs in a process of its own, with a time limit; one that fails leaves its reason in the table, and the others
go on. Parts: `parity` (float32, two layers: vLLM against transformers), `transformers` and `vllm` for each shape.

- rate: new tokens a second of the same requests unsteered, with one vector in all of them, with eight vectors and the
  baseline mixed, with a rule that looks at tokens, and (vLLM) unsteered with CUDA graphs.
- capture: `Engine.read` of one layer at every token against a plain forward pass with one hook, and
  `Engine.sample_reading` against sampling alone.
- long: rollouts that end at 8,192 tokens, steered, with the memory that they take.

    python -m benchmarks.gpu_steering [--shapes 1.5b 8b] [--out result.json] [--limit 540]

Without a GPU, `--quick --shapes nano` tries the script.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gpu_models import GIB, SHAPES
from benchmarks.gpu_parts import PARTS

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def workplace() -> Iterator[Path]:
    """Memory, where there is enough of it: 8B weights are 16 GB."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 40 * GIB
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        yield Path(folder)


def run_part(part: str, shape: str, quick: bool, limit: float) -> list[dict[str, Any]]:
    """One part in a process of its own; the rows that it gave, and why there are no more."""
    command = [sys.executable, "-m", "benchmarks.gpu_steering", "--part", part, "--shapes", shape]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    environment.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as told:
        command += ["--rows", told.name] + (["--quick"] if quick else [])
        error = ""
        try:
            done = subprocess.run(command, env=environment, timeout=limit, stdout=sys.stderr)
            error = f"ended with {done.returncode}; see its output" if done.returncode else ""
        except subprocess.TimeoutExpired:
            error = f"stopped after {limit:.0f} s"
        rows = [json.loads(line) for line in Path(told.name).read_text().splitlines()]
    rows = [{"engine": part, "shape": shape, **row} for row in rows]
    return rows + ([{"engine": part, "shape": shape, "what": "error", "arm": error}] if error else [])


def run_all(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Every part that was asked for, as far as the time goes."""
    started, table = time.monotonic(), list[dict[str, Any]]()
    todo = [("parity", "nano")] if "parity" in asked.parts else []
    todo += [(part, shape) for shape in asked.shapes for part in asked.parts if part != "parity"]
    for part, shape in todo:
        left = asked.limit - (time.monotonic() - started)
        if left < 20:
            table.append({"engine": part, "shape": shape, "what": "error", "arm": "no time left"})
            continue
        table += run_part(part, shape, asked.quick, left)
        if asked.out:
            asked.out.write_text(json.dumps(table, indent=1) + "\n")
    return table


def main() -> None:
    """Run the parts, print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["1.5b", "8b"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--limit", type=float, default=540, help="seconds for everything")
    parser.add_argument("--quick", action="store_true", help="few and short requests, to try the script")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        with workplace() as root, asked.rows.open("a") as file:
            for row in PARTS[asked.part](asked.shapes[0], root, asked.quick):
                print(json.dumps(row), file=file, flush=True)
                print(json.dumps(row), file=sys.stderr, flush=True)
        return
    print(json.dumps(run_all(asked), indent=1))


if __name__ == "__main__":
    main()
