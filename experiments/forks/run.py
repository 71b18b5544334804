"""How often are forks declared where there are none, and how often are they found?

python experiments/forks/run.py FOLDER      # the stored questions, as in experiments/curve-smoothing
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "curve-smoothing"))
from curves import load

from cotlab.measures import OutcomeCurve, outcome_curve

HERE = Path(__file__).parent
STUDIES = 60
SIZES = (10, 30, 100)
A, B = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.05, 0.15, 0.3, 0.5])


def mixed(share: float) -> NDArray[np.float64]:
    """`A` with so much of `B`, whose distance to `A` is 0.6."""
    return np.asarray((1 - share) * A + share * B)


def jump(size: float, length: int = 60) -> NDArray[np.float64]:
    """A curve with one jump of that total variation in the middle."""
    return np.repeat([A, mixed(size / 0.6)], length // 2, axis=0)


CURVES = {
    "flat, mixed answers": (np.repeat([A], 60, axis=0), ()),
    "flat, one answer mostly": (np.repeat([[0.94, 0.02, 0.02, 0.02]], 60, axis=0), ()),
    "flat, 200 positions": (np.repeat([A], 200, axis=0), ()),
    "jump of .05 (below the threshold)": (jump(0.05), ()),
    "slow drift of .08": (np.array([mixed(s) for s in np.linspace(0, 0.08 / 0.6, 60)]), ()),
    "jump of .15": (jump(0.15), (29,)),
    "jump of .30": (jump(0.30), (29,)),
    "jump of .60": (jump(0.60), (29,)),
}


def measured(truth: NDArray[np.float64], n: int, seed: int) -> OutcomeCurve:
    """Forks of one simulated study."""
    rng = np.random.default_rng([seed, n])
    return outcome_curve([rng.multinomial(n, p) for p in truth], n, categories=tuple("ABCD"), seed=seed)


def cell(name: str, n: int) -> dict[str, Any]:
    """Rates of one curve and size; a fork counts as found within 2 positions."""
    truth, places = CURVES[name]
    found = [[fork.place for fork in measured(truth, n, seed).forks] for seed in range(STUDIES)]
    true = [[p for p in one if any(abs(p - place) <= 2 for place in places)] for one in found]
    false = [len(one) - len(hit) for one, hit in zip(found, true, strict=True)]
    return {
        "curve": name,
        "n": n,
        "studies_with_false": float(np.mean(np.array(false) > 0)),
        "false_discovery_proportion": float(np.mean([f / max(1, len(o)) for f, o in zip(false, found, strict=True)])),
        "found": float(np.mean([bool(hit) for hit in true])) if places else None,
    }


def stored(folder: Path) -> list[dict[str, Any]]:
    """Forks from S draws a position, against the curve of 100 other draws a branch: is the change there too?"""
    rows = []
    for s in (10, 30):
        declared = false = 0
        for question in load(folder):
            draws, truth = question.split(s, 0)
            curve = outcome_curve(draws.sum(axis=0), s * question.gain, categories=tuple("ABCDE"))
            bounds = {end - 1: i for i, (_, end) in enumerate(curve.segments)}
            for fork in curve.forks:
                i = bounds[fork.place]
                before, after = (truth[slice(*curve.segments[j])].mean(axis=0) for j in (i, i + 1))
                declared += 1
                false += 0.5 * np.abs(before - after).sum() <= 0.1
        rows.append({"S": s, "declared": declared, "below_threshold_in_other_draws": int(false)})
    return rows


def main(folder: str) -> None:
    """Simulated rates, then the stored questions."""
    rows = []
    for name in CURVES:
        for n in SIZES:
            rows.append(cell(name, n))
            print(rows[-1], flush=True)
    document = {"studies": STUDIES, "rows": rows, "stored": stored(Path(folder))}
    print(document["stored"])
    (HERE / "results.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
