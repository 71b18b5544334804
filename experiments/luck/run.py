"""How often is a verdict of luck or steadiness wrong? Simulated value curves with a known largest step.

python experiments/luck/run.py [--studies 100]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.score import Outcome
from cotlab.measures import Draws, Progress, progress
from cotlab.measures.progress import SURE
from cotlab.stats import Estimate

HERE = Path(__file__).parent
SIZES = (5, 8, 20, 50)
POSITIONS = 21
"""Twenty steps."""


def rise(share: float, low: float = 0.15, high: float = 0.9, at: int = 10) -> NDArray[np.float64]:
    """A curve one step of which carries `share` of the rise; the others share the rest."""
    steps = np.full(POSITIONS - 1, (1 - share) / (POSITIONS - 2))
    steps[at] = share
    return low + (high - low) * np.concatenate([[0.0], np.cumsum(steps)])


def burst(steps: int, low: float = 0.15, high: float = 0.9) -> NDArray[np.float64]:
    """A curve that rises in some neighbouring steps of equal size and stays elsewhere."""
    first = (POSITIONS - steps) // 2
    return np.asarray(low + (high - low) * np.clip((np.arange(POSITIONS) - first) / steps, 0, 1))


def wander() -> NDArray[np.float64]:
    """A rise of equal steps with swings on top: up 0.12, down 0.12, and again."""
    swing = 0.06 * np.where(np.arange(POSITIONS) // 2 % 2, 1, -1)
    return np.asarray(np.clip(rise(1 / (POSITIONS - 1)) + swing, 0.02, 0.98))


CURVES = {
    "equal steps (share .05)": rise(0.05),
    "largest step .25": rise(0.25),
    "largest step .50": rise(0.5),
    "largest step .75": rise(0.75),
    "one step (share 1)": rise(1.0),
    "two steps side by side": burst(2),
    "three steps in a row": burst(3),
    "five steps in a row": burst(5),
    "equal steps with swings": wander(),
    "flat": np.full(POSITIONS, 0.5),
    "flat, then ends right": np.full(POSITIONS, 0.5),
}


def study(name: str, n: int, seed: int) -> Progress:
    """One measured study."""
    curve = CURVES[name]
    k = _right(name, n, seed)
    right: list[Outcome] = ["correct"]
    wrong: list[Outcome] = ["wrong"]
    draws = [Draws.of(f"p{i}", right * int(c) + wrong * int(n - c)) for i, c in enumerate(k)]
    end = (1.0, len(curve), len(curve)) if name.endswith("ends right") else None
    return progress(draws, positions=range(len(curve)), tokens=range(len(curve)), end=end, seed=seed)


def _right(name: str, n: int, seed: int) -> NDArray[np.int64]:
    """Right ones of n rollouts at each position."""
    return np.random.default_rng([seed, n, list(CURVES).index(name)]).binomial(n, CURVES[name])


def cell(name: str, n: int, studies: int) -> dict[str, Any]:
    """Verdicts, shares and intervals of one curve and size."""
    curve = CURVES[name]
    found = [study(name, n, seed) for seed in range(studies)]
    steps = np.diff(curve)
    net = float(curve[-1] - curve[0])
    true_share = float(steps.max() / net) if net > 0 else None
    shares = [one.share for one in found if one.share.value is not None]
    row: dict[str, Any] = {"curve": name, "n": n, "true_share": true_share}
    for told, words in (("", [one.verdict for one in found]), ("posterior_", [_posterior_alone(one) for one in found])):
        row |= {f"{told}{word}": words.count(word) / studies for word in ("lucky", "steady", "undecided")}
    row["bare_share"] = float(np.mean([f.naive_share.value for f in found if f.naive_share.value is not None]))
    row["share"] = float(np.mean([s.value for s in shares])) if shares and true_share else None
    row["share_covers"] = float(np.mean([_holds(s, true_share) for s in shares])) if shares and true_share else None
    if not name.endswith("ends right"):
        true = float((steps**2).sum())
        row |= {"variation_true": true, "variation": float(np.mean([f.variation.value for f in found]))}
        row["variation_covers"] = float(np.mean([_holds(f.variation, true) for f in found]))
        bare = [float((np.diff(_right(name, n, seed) / n) ** 2).sum()) for seed in range(studies)]
        row["bare_variation"] = float(np.mean(bare))
    return row


def _posterior_alone(one: Progress) -> str:
    """What a verdict would be that needs the posterior and not the interval of the share."""
    if one.half_p is None or 1 - SURE < one.half_p < SURE:
        return "undecided"
    return "lucky" if one.half_p >= SURE else "steady"


def _holds(found: Estimate, true: float) -> bool:
    return found.low is not None and found.high is not None and found.low - 1e-9 <= true <= found.high + 1e-9


def main() -> None:
    """Every curve at every size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--curve", choices=CURVES, help="this one only, printed and not written")
    parser.add_argument("--studies", type=int, default=100)
    asked = parser.parse_args()
    studies = asked.studies
    rows = []
    for name in [asked.curve] if asked.curve else CURVES:
        for n in SIZES:
            rows.append(cell(name, n, studies))
            print({key: round(v, 3) if isinstance(v, float) else v for key, v in rows[-1].items()}, flush=True)
    if not asked.curve:
        (HERE / "results.json").write_text(json.dumps({"studies": studies, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
