"""Pretrains the vision tower on what is in each patch: a stand-in for CLIP's pretraining on captions.

    python experiments/tiny-vlm/pretrain.py --minutes 7 --out .train/tower

Heads on the patch states tell the shape and colour of the thing whose pixels the patch has most of, whether the middle
of an object lies in it, which letters it shows a part of, and the background. The heads are thrown away.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from loop import Run, fit
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from cotlab.tiny import scenes as sc

HERE = Path(__file__).parent
SIDE = sc.CANVAS // sc.PATCH
CLASSES = {"shape": len(sc.SHAPES) + 2, "colour": len(sc.COLOURS) + 1, "middle": 2, "first": 11, "second": 11}
"""Heads on patches: 0 is nothing; the last shape is letters."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures with what their patches hold."""

    pixels: Tensor
    """(scenes, 3, 48, 48) in -1 … 1, as the processor gives them."""
    labels: dict[str, Tensor]
    """(scenes, 36) int64 by head; `background` (scenes)."""

    def __len__(self) -> int:
        return len(self.pixels)


def pixel_values(scenes: list[sc.Scene]) -> Tensor:
    """(scenes, 3, 48, 48): what the processor makes of the pictures (`words.py`): (value / 255 - 0.5) / 0.5."""
    stacked = torch.from_numpy(np.stack([sc.render(scene) for scene in scenes]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def label(scene: sc.Scene) -> dict[str, np.ndarray]:
    """(36,) by head."""
    found = {name: np.zeros(SIDE * SIDE, np.int64) for name in CLASSES}
    most = np.zeros(SIDE * SIDE)
    for thing in scene.things:
        filled = sc.mask_of(scene, thing).reshape(SIDE, sc.PATCH, SIDE, sc.PATCH).sum(axis=(1, 3)).ravel()
        mine = filled > most
        most = np.maximum(most, filled)
        if isinstance(thing, sc.Lettering):
            found["shape"][mine], found["colour"][mine] = CLASSES["shape"] - 1, 0
            found["first"][mine] = 1 + sc.LETTERS.index(thing.letters[0])
            found["second"][mine] = 1 + sc.LETTERS.index(thing.letters[1]) if len(thing.letters) > 1 else 0
        else:
            found["shape"][mine] = 1 + sc.SHAPES.index(thing.shape)
            found["colour"][mine] = 1 + list(sc.COLOURS).index(thing.colour)
            middle = (2 * thing.y + thing.size) // (2 * sc.PATCH) * SIDE + (2 * thing.x + thing.size) // (2 * sc.PATCH)
            found["middle"][middle] = 1
    return found


def labelled(scenes: list[sc.Scene]) -> Labelled:
    """A batch."""
    found = [label(scene) for scene in scenes]
    labels = {name: torch.from_numpy(np.stack([one[name] for one in found])) for name in CLASSES}
    grounds = list(sc.BACKGROUNDS)
    labels["background"] = torch.tensor([grounds.index(scene.background) for scene in scenes])
    return Labelled(pixel_values(scenes), labels)


class Tower(nn.Module):
    """The vision tower with the heads of its pretraining."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.vision = CLIPVisionModel(config)
        self.heads = nn.ModuleDict({name: nn.Linear(config.hidden_size, n) for name, n in CLASSES.items()})
        self.background = nn.Linear(config.hidden_size, len(sc.BACKGROUNDS))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Logits by head: (scenes, 36, classes); background (scenes, classes)."""
        states = self.vision(pixels, output_hidden_states=True).hidden_states[-1]
        states = F.layer_norm(states, states.shape[-1:])
        logits = {name: head(states[:, 1:]) for name, head in self.heads.items()}
        return {**logits, "background": self.background(states[:, 1:].mean(1))}

    def loss(self, batch: Labelled) -> Tensor:
        """Sum of the heads' cross entropies."""
        losses = [
            F.cross_entropy(logits.flatten(0, -2).float(), batch.labels[name].flatten())
            for name, logits in self(batch.pixels).items()
        ]
        return torch.stack(losses).sum()


def stream(scenes: int, seed: int) -> Iterator[Labelled]:
    """Endless batches of training scenes."""
    rng = random.Random(seed)
    while True:
        drawn = [sc.draw_scene(rng) for _ in range(scenes)]
        yield labelled([scene for scene in drawn if scene.split == "train"])


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".train/tower"))
    parser.add_argument("--minutes", type=float, default=7, help="CPU time, earlier parts included")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = json.loads((HERE / "config.json").read_text())
    settings = config["pretrain"]
    torch.manual_seed(settings["seed"])
    tower = Tower(CLIPVisionConfig(**config["vision"]))
    held = labelled(sc.draw_scenes(200, 5, split="heldout"))

    def held_out() -> str:
        with torch.no_grad():
            logits = tower(held.pixels)
        found = held.labels["shape"] > 0
        right = {name: logits[name].argmax(-1) == held.labels[name] for name in CLASSES}
        shares = {name: right[name][found].float().mean().item() for name in ("shape", "colour", "first")}
        shares["middle"] = right["middle"].all(-1).float().mean().item()
        return ", ".join(f"{name} {share:.3f}" for name, share in shares.items())

    run = Run(args.out, args.minutes, settings, bf16=args.bf16, save_minutes=1)
    fit(run, tower, tower.loss, lambda step: stream(settings["scenes"], settings["seed"] + 7 * step), held_out)


if __name__ == "__main__":
    main()
