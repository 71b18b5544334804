"""How often is a verdict of luck or steadiness wrong? Simulated value curves with a known largest step.

python experiments/luck/run.py [--studies 100]
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.score import Outcome
from cotlab.measures import Draws, Progress, progress
from cotlab.measures.progress import SURE
from cotlab.stats import Estimate

HERE = Path(__file__).parent
SIZES = (5, 8, 20, 50, 200)
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


def stairs(low: float, *moves: float) -> NDArray[np.float64]:
    """A curve that moves at three of its steps."""
    steps = np.zeros(POSITIONS - 1)
    steps[[4, 9, 15]] = moves
    return low + np.concatenate([[0.0], np.cumsum(steps)])


def at_random(seed: int) -> NDArray[np.float64]:
    """A curve that moves to any value at a quarter of its steps, and changes by .3 or more on the whole."""
    rng = np.random.default_rng([seed, POSITIONS])
    while True:
        moves = np.append(True, rng.random(POSITIONS - 1) < 0.25)
        curve = rng.uniform(0.02, 0.98, POSITIONS)[np.maximum.accumulate(np.where(moves, np.arange(POSITIONS), 0))]
        if abs(curve[-1] - curve[0]) >= 0.3:
            return np.asarray(curve)


def any_sizes(seed: int) -> NDArray[np.float64]:
    """A rise in steps of any size (Dirichlet with all parameters 1)."""
    steps = np.random.default_rng([seed, 1]).dirichlet(np.ones(POSITIONS - 1))
    return np.asarray(0.15 + 0.75 * np.concatenate([[0.0], np.cumsum(steps)]))


DRAWN = {"steps of any size": any_sizes, "at random": at_random}
"""Another curve in each study."""
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
    "up, down and up (share .80)": stairs(0.3, 0.3, -0.2, 0.4),
    "two rises apart (share .53)": stairs(0.15, 0.35, 0.0, 0.4),
    "up and back by a third (share 1)": stairs(0.2, 0.6, -0.2, 0.2),
    "flat": np.full(POSITIONS, 0.5),
    "flat, then ends right": np.full(POSITIONS, 0.5),
}


def study(name: str, n: int, seed: int) -> Progress:
    """One measured study."""
    curve, k = curve_of(name, seed), _right(name, n, seed)
    right: list[Outcome] = ["correct"]
    wrong: list[Outcome] = ["wrong"]
    draws = [Draws.of(f"p{i}", right * int(c) + wrong * int(n - c)) for i, c in enumerate(k)]
    end = (1.0, len(curve), len(curve)) if name.endswith("ends right") else None
    return progress(draws, positions=range(len(curve)), tokens=range(len(curve)), end=end, seed=seed)


def curve_of(name: str, seed: int) -> NDArray[np.float64]:
    """The true curve of a study."""
    return DRAWN[name](seed) if name in DRAWN else CURVES[name]


def largest_share(curve: NDArray[np.float64]) -> float | None:
    """Share of the largest step in the net change, 1 at most; None where there is none."""
    net = float(curve[-1] - curve[0])
    return min(1.0, float((np.sign(net) * np.diff(curve)).max() / abs(net))) if net else None


def _right(name: str, n: int, seed: int) -> NDArray[np.int64]:
    """Right ones of n rollouts at each position."""
    return np.random.default_rng([seed, n, zlib.crc32(name.encode())]).binomial(n, curve_of(name, seed))


def cell(name: str, n: int, studies: int) -> dict[str, Any]:
    """Verdicts, shares and intervals of one curve and size."""
    curves = [curve_of(name, seed) for seed in range(studies)]
    found = [study(name, n, seed) for seed in range(studies)]
    true = [largest_share(curve) for curve in curves]
    told = [(one.share, its) for one, its in zip(found, true, strict=True) if one.share.value is not None and its]
    row: dict[str, Any] = {"curve": name, "n": n, "true_share": true[0] if len(set(true)) == 1 else None}
    verdicts, posterior = [one.verdict for one in found], [_posterior_alone(one) for one in found]
    for which, words in (("", verdicts), ("posterior_", posterior)):
        row |= {f"{which}{word}": words.count(word) / studies for word in ("lucky", "steady", "undecided")}
    row["wrong"] = float(np.mean([_is_wrong(*its) for its in zip(verdicts, true, strict=True)]))
    row["bare_share"] = float(np.mean([f.naive_share.value for f in found if f.naive_share.value is not None]))
    row["share"] = float(np.mean([share.value for share, _ in told])) if told else None
    row["share_error"] = float(np.mean([(share.value or 0.0) - its for share, its in told])) if told else None
    row["share_covers"] = float(np.mean([_holds(share, its) for share, its in told])) if told else None
    if not name.endswith("ends right"):
        squares = [float((np.diff(curve) ** 2).sum()) for curve in curves]
        row |= {"variation_true": float(np.mean(squares))}
        row["variation"] = float(np.mean([f.variation.value for f in found]))
        row["variation_covers"] = float(
            np.mean([_holds(f.variation, its) for f, its in zip(found, squares, strict=True)])
        )
        bare = [float((np.diff(_right(name, n, seed) / n) ** 2).sum()) for seed in range(studies)]
        row["bare_variation"] = float(np.mean(bare))
    return row


def _posterior_alone(one: Progress) -> str:
    """What a verdict would be that needs the posterior and not the interval of the share."""
    if one.half_p is None or 1 - SURE < one.half_p < SURE:
        return "undecided"
    return "lucky" if one.half_p >= SURE else "steady"


def _is_wrong(verdict: str, share: float | None) -> bool:
    """Whether a verdict was given where there is none to give, or the other one is true."""
    if verdict == "undecided":
        return False
    return share is None or (verdict == "lucky") != (share > 0.5)


def _holds(found: Estimate, true: float) -> bool:
    return found.low is not None and found.high is not None and found.low - 1e-9 <= true <= found.high + 1e-9


def main() -> None:
    """Every curve at every size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--curve", choices=[*CURVES, *DRAWN], help="this one only, printed and not written")
    parser.add_argument("--studies", type=int, default=100)
    asked = parser.parse_args()
    studies = asked.studies
    rows = []
    for name in [asked.curve] if asked.curve else [*CURVES, *DRAWN]:
        for n in SIZES:
            rows.append(cell(name, n, studies))
            print({key: round(v, 3) if isinstance(v, float) else v for key, v in rows[-1].items()}, flush=True)
    if not asked.curve:
        (HERE / "results.json").write_text(json.dumps({"studies": studies, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
