"""Train the autoencoder whose features are in features.json: `python experiments/locating/train_features.py OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

import cotlab as ct
from cotlab.cli.progress import Bar
from cotlab.interventions import HookPoint
from cotlab.models import resolve_model
from cotlab.saes import TrainPlan, train_sae
from cotlab.saes.vision import scene_traces
from cotlab.whitebox.vision import Asking

MODEL, POINT, WIDTH, SCENES = "tiny-vlm:prior", HookPoint("resid_post", 1), 1024, 1000
PLAN = TrainPlan("batchtopk", 16, tokens=250_000, batch=1024, lr=1e-3)


def main(out: Path) -> None:
    """Train on questions about scenes."""
    asking = Asking.of(ct.Inside.open(MODEL), resolve_model(MODEL).card)
    with Bar() as bar:
        made = train_sae(
            asking.inside, scene_traces(asking, SCENES), POINT, PLAN, WIDTH, out=out, told="questions on scenes",
            progress=bar,
        )  # fmt: skip
    check = made.training.checks[-1]
    print(f"explained variance {check.explained_variance:.3f}, L0 {made.l0_after:.1f}: {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
