"""Thresholds of similarities: where they agree best with published decisions, and what they are worth on exact states.

    python experiments/similarity-thresholds/calibrate.py --data FOLDER

FOLDER holds `{model}/{kind}/problem_N/{chunks_labeled,chunks_resampled}.json` (the web copy of math-rollouts).

1. Published: of each sentence S_i and its resampled sentences T_i, `different_trajectories_fraction` says how many of
   them were taken for different (MiniLM, cosine below 0.8). The threshold of an embedder is that whose shares miss
   those least, on average over sentences; judged on traces that were left out.
2. Exact: sentences that the tiny reasoner's writer says in the same place of a chain, by whether they lead to the same
   state; the threshold with the largest Youden's J, and J at the default.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab import tiny
from cotlab.measures import CharNgrams, Embedder, HiddenStates, MiniLM, best_threshold

HERE = Path(__file__).parent
EVERY = 8
"""Of the published sentences, each so manieth is looked at: embedding all takes ten minutes."""
GRID = np.round(np.arange(0.30, 1.0, 0.01), 2)


@dataclass(frozen=True, slots=True)
class Place:
    """A published sentence, what was said in its place, and how much of that was taken for different."""

    trace: str
    sentence: str
    said: tuple[str, ...]
    different: float


def read_places(data: Path) -> list[Place]:
    """Every so manieth sentence of every trace that has resampled ones."""
    places = []
    for path in sorted(data.glob("*/*/problem_*/chunks_resampled.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        chunks = json.loads(path.with_name("chunks_labeled.json").read_text(encoding="utf-8"))
        for chunk in chunks[::EVERY]:
            texts = tuple(said.get(str(chunk["chunk_idx"]), ()))
            if texts:
                name = "/".join(path.parts[-4:-1])
                places.append(Place(name, chunk["chunk"], texts, chunk["different_trajectories_fraction"]))
    return places


def shares(embedder: Embedder, places: Sequence[Place]) -> NDArray[np.float64]:
    """Share taken for different at each threshold of the grid, [places, thresholds]."""
    cosines = [embedder([place.sentence], place.said)[0] for place in places]
    return np.array([[(one < threshold).mean() for threshold in GRID] for one in cosines])


def published(embedder: Embedder, places: Sequence[Place]) -> dict[str, Any]:
    """The threshold that agrees best, and how well one agrees that was found on the other traces."""
    found = shares(embedder, places)
    miss = np.abs(found - np.array([place.different for place in places])[:, None])
    traces = np.array([place.trace for place in places])
    left_out = [miss[traces == trace][:, miss[traces != trace].mean(0).argmin()] for trace in sorted(set(traces))]
    at = int(np.argmin(np.abs(GRID - embedder.threshold)))
    different = np.array([place.different for place in places])
    return {
        "threshold": float(GRID[miss.mean(0).argmin()]),
        "mean miss, traces left out": round(float(np.concatenate(left_out).mean()), 3),
        "mean miss at the default": round(float(miss[:, at].mean()), 3),
        "correlation at the default": round(float(np.corrcoef(found[:, at], different)[0, 1]), 3),
        "sentences": len(places),
    }


def exact_pairs(n: int, seed: int) -> list[tuple[str, str, bool]]:
    """Sentences in the same place of two chains that were equal until then, and whether they lead to one state."""
    rng, pairs = random.Random(seed), []
    for problem in tiny.generate_problems(n, seed=seed, split="heldout"):
        chains = [tiny.write_chain(problem, rng).steps for _ in range(12)]
        for i, left in enumerate(chains):
            for right in chains[:i]:
                for one, two in zip(left, right, strict=False):
                    if one.text != two.text:
                        pairs.append((one.text, two.text, one.state == two.state))
                    if one.state != two.state:
                        break
    return rng.sample(pairs, min(len(pairs), 3_000))


def exact(embedder: Embedder, pairs: Sequence[tuple[str, str, bool]]) -> dict[str, Any]:
    """Youden's J at the best threshold and at the default."""
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    cosines = (embedder.embed(left) * embedder.embed(right)).sum(1)
    same = np.array([pair[2] for pair in pairs])
    threshold, gain = best_threshold(cosines.tolist(), same.tolist())
    alike = cosines >= embedder.threshold
    return {
        "threshold": round(threshold, 3),
        "J": round(gain, 3),
        "J at the default": round(float(alike[same].mean() - alike[~same].mean()), 3),
        "pairs": len(pairs),
        "same": int(same.sum()),
    }


def main() -> None:
    """Calibrate every embedder that is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    args = parser.parse_args()
    started, places, pairs = time.process_time(), read_places(args.data), exact_pairs(60, 0)
    embedders: list[Embedder] = [CharNgrams(), HiddenStates(tiny.model_path())]
    if MiniLM.installed():
        embedders.append(MiniLM())
    results: dict[str, Any] = {}
    for embedder in embedders:
        row: dict[str, Any] = {"exact states": exact(embedder, pairs)}
        if not isinstance(embedder, HiddenStates):  # the tiny model does not know the language of the published traces
            row["published"] = published(embedder, places)
        results[embedder.id] = row
        print(embedder.id, row, flush=True)
    results["cpu_seconds"] = round(time.process_time() - started)
    args.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
