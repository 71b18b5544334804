"""Trains the sparse autoencoder that ships: the decoder's residual stream over image and text tokens.

    python experiments/tiny-vlm/autoencoder.py --to src/cotlab/tiny/vlm_saes/honest/resid_post.2

Rows of pictures and questions are read once (`rows.py`); all image tokens are kept and as many text tokens again, twice
over. Training is that of `cotlab sae train` (`cotlab.saes.training`).
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from rows import TOKENS, Rows, Writer, draw_questions
from teach import hidden_states
from torch import Tensor
from transformers import AutoTokenizer, LlavaForConditionalGeneration

from cotlab.identity import seed_for
from cotlab.interventions import HookPoint, SAECard
from cotlab.models import resolve_model
from cotlab.saes import save_sae
from cotlab.saes.activations import ActivationStream
from cotlab.saes.l0_matching import active_a_token
from cotlab.saes.source import norm_scale
from cotlab.saes.trainers import rescaled
from cotlab.saes.training import TrainPlan, train
from cotlab.sampling.progress import Silent
from cotlab.tiny import scenes as sc

TEXT_SHARE = 2
"""Text tokens kept for each image token."""


class Loud(Silent):
    """Prints what training says."""

    def say(self, line: str) -> None:
        """Print it."""
        print(line, flush=True)


class RowStream(ActivationStream):
    """Shuffled batches of activations that are in memory."""

    def __init__(self, rows: Tensor, batch: int, seed: int) -> None:
        self.rows, self.batch, self.seed, self.served = rows, batch, seed, 0

    @property
    def n_tokens(self) -> int:
        """Tokens of one epoch."""
        return len(self.rows)

    def __next__(self) -> Tensor:
        """The next batch, shape (batch, width)."""
        epoch, at = divmod(self.served, len(self.rows) // self.batch)
        order = torch.randperm(
            len(self.rows), generator=torch.Generator().manual_seed(seed_for(self.seed, "rows", epoch))
        )
        self.served += 1
        return self.rows[order[at * self.batch : (at + 1) * self.batch]]

    def seek(self, served: int) -> None:
        """Go on as if so many batches had been served."""
        self.served = served


def activations(
    model: LlavaForConditionalGeneration, writer: Writer, scenes: list[sc.Scene], layer: int, seed: int
) -> Tensor:
    """(tokens, width): the residual stream behind a layer, all image tokens and a share of the text tokens."""
    rng, found = random.Random(seed), list[Tensor]()
    caught: list[Tensor] = []
    hook = model.model.language_model.layers[layer].register_forward_hook(lambda _m, _i, out: caught.append(out))
    for begin in range(0, len(scenes), 16):
        some = scenes[begin : begin + 16]
        asked = [[writer.exchange(scene, one) for one in draw_questions(scene, rng)] for scene in some]
        rows = writer.rows(some, asked, set())
        with torch.no_grad():
            hidden_states(model, rows)
        states = caught.pop()
        found.append(states[kept(rows, writer, rng)])
    hook.remove()
    return torch.cat(found)


def kept(rows: Rows, writer: Writer, rng: random.Random) -> Tensor:
    """(rows, length) booleans: every image token, `TEXT_SHARE` text tokens for each of them, no special ones."""
    image = rows.ids == writer.image
    special = torch.isin(rows.ids, torch.tensor(writer.tokenizer.all_special_ids))
    chosen: Tensor = image.clone()
    for place in range(len(rows)):
        text = (~special[place]).nonzero().flatten().tolist()
        chosen[place, rng.sample(text, min(len(text), TEXT_SHARE * TOKENS))] = True
    return chosen


def main() -> None:
    """Read the command line, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-vlm")
    parser.add_argument("--layer", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--k", type=float, default=16, help="features active a token")
    parser.add_argument("--tokens", type=int, default=1_200_000, help="activations trained on, epochs counted")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = resolve_model(args.model)
    model = LlavaForConditionalGeneration.from_pretrained(found.path).eval()
    writer = Writer(AutoTokenizer.from_pretrained(found.path))
    held = activations(model, writer, sc.draw_scenes(150, args.seed, split="heldout"), args.layer, args.seed)
    rows = activations(model, writer, sc.draw_scenes(args.scenes, args.seed), args.layer, args.seed + 1)
    print(f"{len(rows):,} activations, {len(held):,} of held-out scenes", flush=True)
    plan = TrainPlan("batchtopk", args.k, args.tokens, seed=args.seed)
    told = f"{args.tokens:,} tokens, {len(rows):,} different ones, of {args.scenes:,} scenes: a third image tokens"
    card = SAECard(
        HookPoint("resid_post", args.layer),
        "relu",
        name=f"tiny-vlm:honest/resid_post:{args.layer}",
        model=found.name,
        revision=found.revision,
        scale=norm_scale(held),
        source="cotlab, SAELens's trainers",
        license="MIT",
        tokens=told,
    )
    stream = RowStream(rows, plan.batch, args.seed)
    trained = train(stream, held, plan, card, d_sae=args.features, progress=Loud())
    sae = rescaled(trained.sae, 1.0)
    print(f"L0 {active_a_token(sae, held):.1f}, {trained.stopped}")
    save_sae(sae.to("cpu", torch.float16), args.to, overwrite=True)


if __name__ == "__main__":
    main()
