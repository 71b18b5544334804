"""How often is a verdict of luck or steadiness wrong? Simulated value curves with a known largest step.

python experiments/luck/run.py [--studies 30]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.score import Outcome
from cotlab.measures import Draws, progress

HERE = Path(__file__).parent
SIZES = (10, 30, 100)
POSITIONS = 21
"""Twenty steps."""


def rise(share: float, low: float = 0.15, high: float = 0.9, at: int = 10) -> NDArray[np.float64]:
    """A curve one step of which carries `share` of the rise; the others share the rest."""
    steps = np.full(POSITIONS - 1, (1 - share) / (POSITIONS - 2))
    steps[at] = share
    return low + (high - low) * np.concatenate([[0.0], np.cumsum(steps)])


def wander(seed: int) -> NDArray[np.float64]:
    """A rise of equal steps with swings on top: up 0.12, down 0.12, and again."""
    swing = 0.06 * np.where(np.arange(POSITIONS) // 2 % 2, 1, -1)
    return np.asarray(np.clip(rise(1 / (POSITIONS - 1)) + swing, 0.02, 0.98))


CURVES = {
    "equal steps (share .05)": rise(0.05),
    "largest step .25": rise(0.25),
    "largest step .50": rise(0.5),
    "largest step .75": rise(0.75),
    "one step (share 1)": rise(1.0),
    "equal steps with swings": wander(0),
    "flat": np.full(POSITIONS, 0.5),
}


def study(curve: NDArray[np.float64], n: int, seed: int) -> Any:
    """One measured study."""
    k = np.random.default_rng([seed, n]).binomial(n, curve)
    right: list[Outcome] = ["correct"]
    wrong: list[Outcome] = ["wrong"]
    draws = [Draws.of(f"p{i}", right * int(c) + wrong * int(n - c)) for i, c in enumerate(k)]
    return progress(draws, positions=range(len(curve)), tokens=range(len(curve)), seed=seed)


def cell(name: str, curve: NDArray[np.float64], n: int, studies: int) -> dict[str, Any]:
    """Verdicts, shares and intervals of one curve and size."""
    found = [study(curve, n, seed) for seed in range(studies)]
    verdicts = [one.verdict for one in found]
    steps = np.diff(curve)
    net = float(curve[-1] - curve[0])
    true_share = float(steps.max() / net) if net > 0 else None
    true_variation = float((steps**2).sum())
    shares = [one.share for one in found if one.share.value is not None]
    return {
        "curve": name,
        "n": n,
        "true_share": true_share,
        **{word: verdicts.count(word) / studies for word in ("lucky", "steady", "undecided")},
        "share": float(np.mean([s.value for s in shares])) if shares else None,
        "share_covers": float(np.mean([s.low <= min(true_share, 1) <= s.high for s in shares]))
        if shares and true_share
        else None,
        "bare_share": float(np.mean([f.naive_share.value for f in found if f.naive_share.value is not None])),
        "variation_true": true_variation,
        "variation": float(np.mean([f.variation.value for f in found])),
        "variation_covers": float(np.mean([f.variation.low <= true_variation <= f.variation.high for f in found])),
        "bare_variation": float(np.mean([_bare(curve, n, seed) for seed in range(studies)])),
    }


def _bare(curve: NDArray[np.float64], n: int, seed: int) -> float:
    share = np.random.default_rng([seed, n]).binomial(n, curve) / n
    return float((np.diff(share) ** 2).sum())


def main() -> None:
    """Every curve at every size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=30)
    studies = parser.parse_args().studies
    rows = []
    for name, curve in CURVES.items():
        for n in SIZES:
            rows.append(cell(name, curve, n, studies))
            print({key: round(v, 3) if isinstance(v, float) else v for key, v in rows[-1].items()}, flush=True)
    (HERE / "results.json").write_text(json.dumps({"studies": studies, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
