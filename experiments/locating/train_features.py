"""Train the autoencoders whose features are in features.json."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cotlab as ct
from cotlab.cli.progress import Bar
from cotlab.interventions import HookPoint
from cotlab.models import resolve_model
from cotlab.saes import TrainPlan, train_sae
from cotlab.saes.vision import scene_traces
from cotlab.whitebox.vision import Asking

MODEL, POINT, WIDTH, SCENES = "tiny-vlm:prior", HookPoint("resid_post", 1), 1024, 600
PLAN = TrainPlan("batchtopk", 16, tokens=150_000, batch=1024, lr=1e-3)


def main(out: Path, seeds: int) -> None:
    """Train on questions about scenes: the recipe is one, the seed of weights, tokens and scenes is not."""
    asking = Asking.of(ct.Inside.open(MODEL), resolve_model(MODEL).card)
    for seed in range(seeds):
        with Bar() as bar:
            made = train_sae(
                asking.inside, scene_traces(asking, SCENES, seed=seed), POINT, replace(PLAN, seed=seed), WIDTH,
                out=out / f"seed-{seed}", told="questions on scenes", progress=bar,
            )  # fmt: skip
        check = made.training.checks[-1]
        print(f"seed {seed}: explained variance {check.explained_variance:.3f}, L0 {made.l0_after:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder; each autoencoder gets one in it")
    parser.add_argument("--seeds", type=int, default=3, help="autoencoders of the same recipe")
    asked = parser.parse_args()
    main(asked.out, asked.seeds)
