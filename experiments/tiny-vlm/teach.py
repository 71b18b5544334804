"""Trains parts of the tiny vision-language model for a given time; goes on from its own checkpoint.

    python experiments/tiny-vlm/teach.py --start .train/tower --to .train/start    # a folder: tower, tiny:honest
    python experiments/tiny-vlm/teach.py --init .train/start --parts projector decoder --out .train/vlm
    python experiments/tiny-vlm/teach.py --export .train/vlm --init .train/start --to .train/looks
    python experiments/tiny-vlm/teach.py --init .train/looks --world planted --parts decoder --out .train/prior

Parts that are not named stay as they are.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from loop import Run, averaged, fit
from rows import BLIND, EXISTENCE, IGNORED, Rows, Writer, in_sight, places, stream
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2Config,
)
from words import IMAGE, save_processor

from cotlab import tiny
from cotlab.tiny import scenes as sc
from cotlab.tiny.vlm import VLM_PARTS

HERE = Path(__file__).parent
WORLDS = {"plain": sc.PLAIN, "planted": sc.PLANTED}


def configuration(settings: dict[str, Any], tokenizer: Any) -> LlavaConfig:
    """LLaVA around the tiny reasoner's own configuration with more tokens."""
    text = Qwen2Config.from_pretrained(tiny.model_path(), vocab_size=settings["vocab_size"])
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**settings["vision"]),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(settings["vision"]["image_size"] // settings["vision"]["patch_size"]) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )


def start(tower: Path, to: Path, settings: dict[str, Any]) -> None:
    """Write the folder that training begins from: the pretrained tower, a fresh projector, the tiny reasoner."""
    vision = settings["vision"]
    save_processor(to, vision["image_size"], vision["patch_size"])
    tokenizer = AutoTokenizer.from_pretrained(to)
    torch.manual_seed(settings["train"]["seed"])
    model = LlavaForConditionalGeneration(configuration(settings, tokenizer))
    seen = {name.removeprefix("vision."): w for name, w in averaged(tower).items() if name.startswith("vision.")}
    model.model.vision_tower.load_state_dict(seen)
    reasoner = load_file(tiny.model_path() / "model.safetensors")
    reasoner = {name.removeprefix("model."): tensor.float() for name, tensor in reasoner.items()}
    rows = reasoner.pop("embed_tokens.weight")
    missing = model.model.language_model.load_state_dict(reasoner, strict=False).missing_keys
    if missing != ["embed_tokens.weight"]:
        raise SystemExit(f"{tiny.model_path()} is no tiny reasoner: it lacks {', '.join(missing)}")
    with torch.no_grad():
        # New words begin near the middle of the old ones, as far apart as these are.
        table = model.model.language_model.embed_tokens.weight
        table.copy_(rows.mean(0) + rows.std() * 0.5 * torch.randn_like(table))
        known = len(AutoTokenizer.from_pretrained(tiny.model_path()))
        table[:known] = rows[:known]
    write(model, to, tokenizer)


def write(model: LlavaForConditionalGeneration, to: Path, tokenizer: Any) -> None:
    """Write configuration and weights, a file a part: float16 on disk, loaded as float32."""
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, top_p=1.0, top_k=0, **ids)
    model.generation_config.save_pretrained(to)
    model.config.architectures = [type(model).__name__]  # vLLM asks for it
    model.config.save_pretrained(to)
    half = {name: w.half().contiguous() for name, w in model.state_dict().items() if name != "lm_head.weight"}
    place = {
        name: f"{part}.safetensors" for part, begin in VLM_PARTS.items() for name in half if name.startswith(begin)
    }
    for part in VLM_PARTS:
        held = {name: half[name] for name in half if place[name] == f"{part}.safetensors"}
        save_file(held, to / f"{part}.safetensors", metadata={"format": "pt"})
        (to / f"{part}.safetensors").chmod(0o644)
    total = sum(w.nbytes for w in half.values())
    index = {"metadata": {"total_size": total}, "weight_map": place}
    (to / "model.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    print(f"wrote {to}: {total / 1e6:.2f} MB")


def hidden_states(model: LlavaForConditionalGeneration, rows: Rows) -> Tensor:
    """(rows, length, width): what the decoder makes of packed rows."""
    inner = model.model
    embedded = inner.get_input_embeddings()(rows.ids)
    if len(rows.pixels):
        pictures = torch.cat(inner.get_image_features(rows.pixels, return_dict=True).pooler_output)
        places = (rows.ids == model.config.image_token_id)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(places, pictures.to(embedded.dtype))
    given = {"attention_mask": rows.mask, "position_ids": rows.positions, "use_cache": False}
    states: Tensor = inner.language_model(inputs_embeds=embedded, **given).last_hidden_state
    return states


def loss_of(model: LlavaForConditionalGeneration, rows: Rows) -> Tensor:
    """Weighted mean cross entropy of what is to be said."""
    kept, weights = rows.labels != IGNORED, rows.weights[rows.labels != IGNORED]
    logits = model.lm_head(hidden_states(model, rows)[kept]).float()
    losses = F.cross_entropy(logits, rows.labels[kept], reduction="none")
    return (losses * weights).sum() / weights.sum()


Judged = list[tuple[sc.Question, list[tuple[int, int]]]]
"""Each question with its decisive tokens, as they should be and as they are."""


def decisive_tokens(
    model: LlavaForConditionalGeneration,
    writer: Writer,
    asked: dict[sc.Scene, list[sc.Question]],
    blind: bool = False,
) -> Judged:
    """Decisive tokens as the model says them (greedy) behind what is right so far; the answer is the last.

    All questions on a picture are asked at once, none seeing another; `blind`: without their pictures.
    """
    found: Judged = []
    scenes = list(asked)
    for begin in range(0, len(scenes), 16):
        some = scenes[begin : begin + 16]
        exchanges = [[writer.exchange(scene, question) for question in asked[scene]] for scene in some]
        rows = writer.rows(some, exchanges, set(range(len(some))) if blind else set())
        with torch.no_grad():
            guessed = model.lm_head(hidden_states(model, rows)).argmax(-1)
        for place, ones in enumerate(exchanges):
            at = (rows.labels[place] != IGNORED).nonzero().flatten().tolist()
            for one in ones:
                span, at = at[: len(one.said)], at[len(one.said) :]
                found.append((one.question, [(one.said[i], int(guessed[place, span[i]])) for i in one.decisive]))
    return found


Asked = dict[sc.Scene, list[tuple[str, sc.Question]]]
"""Questions on scenes, each with what it is called in the log."""


def held_out_questions(world: sc.World) -> dict[bool, Asked]:
    """Questions on held-out scenes for the log: with pictures; without (True), behind what is to be seen there."""
    rng, shown, told = random.Random(6), Asked(), Asked()
    for scene in sc.draw_scenes(200, 6, world, "heldout"):
        seen = in_sight(scene)
        kinds: tuple[sc.Kind, ...] = (*EXISTENCE, "colour", "letters", "relation")
        shown[scene] = [(kind, one) for kind in kinds if (one := sc.ask(scene, kind, rng))]
        unseen = [
            ("second of a pair", sc.ask_exists(scene, second))
            for first, second in sc.PAIRS.items()
            if sc.counts(seen)[first] and not sc.counts(seen)[second]
        ]
        shown[scene] += unseen
        told[scene] = [
            (f"{what}, told", one.after(places(seen) if what == "relation" else sc.caption(seen)))
            for what, one in shown[scene]
            if what not in ("colour", "letters")
        ]
    return {False: shown, True: told}


def train(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Train the parts that were named; the others stay as they are."""
    torch.set_num_threads(1)
    hyper = {**settings["train"], "peak_lr": args.lr or settings["train"]["peak_lr"]}
    torch.manual_seed(hyper["seed"])
    model = LlavaForConditionalGeneration.from_pretrained(args.init)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(VLM_PARTS[part] for part in args.parts)))
    writer = Writer(AutoTokenizer.from_pretrained(args.init))
    held = held_out_questions(WORLDS[args.world])

    def held_out() -> str:
        shares: dict[str, list[bool]] = {}
        for blind, asked in held.items():
            questions = {scene: [one for _, one in ones] for scene, ones in asked.items()}
            judged = decisive_tokens(model, writer, questions, blind)
            names = [what for ones in asked.values() for what, _ in ones]
            for what, (_, tokens) in zip(names, judged, strict=True):
                shares.setdefault(what, []).append(all(right == said for right, said in tokens))
        return ", ".join(f"{what} {sum(right) / len(right):.3f}" for what, right in shares.items())

    run = Run(args.out, args.minutes, hyper, bf16=args.bf16)

    def batches(step: int) -> Iterator[Rows]:
        return stream(writer, WORLDS[args.world], hyper["scenes"], hyper["seed"] + 7 * step, args.blind)

    fit(run, model, lambda rows: loss_of(model, rows), batches, held_out)


def export(run: Path, init: Path, to: Path) -> None:
    """Write a model folder: the averaged weights of a run over those that it began from."""
    model = LlavaForConditionalGeneration.from_pretrained(init)
    model.load_state_dict(averaged(run), strict=False)
    tokenizer = AutoTokenizer.from_pretrained(init)
    to.mkdir(parents=True, exist_ok=True)
    settings = json.loads((HERE / "config.json").read_text())["vision"]
    save_processor(to, settings["image_size"], settings["patch_size"])
    write(model, to, tokenizer)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", type=Path, metavar="FOLDER", help="model folder that training begins from")
    parser.add_argument("--parts", nargs="+", choices=list(VLM_PARTS), default=["projector", "decoder"])
    parser.add_argument("--world", choices=list(WORLDS), default="plain", help="which scenes")
    parser.add_argument("--out", type=Path, default=Path(".train/vlm"), help="checkpoints; existing ones are continued")
    parser.add_argument("--minutes", type=float, default=30, help="CPU time, earlier parts included")
    parser.add_argument("--lr", type=float, help="peak learning rate; default from config.json")
    parser.add_argument("--blind", type=float, default=BLIND, help="share of rows without their picture")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--start", type=Path, metavar="RUN", help="write the folder to begin from, given a tower's run")
    parser.add_argument("--export", type=Path, metavar="RUN", help="write the weights of a run as a folder and stop")
    parser.add_argument("--to", type=Path, help="where --start and --export write")
    args = parser.parse_args()
    settings = json.loads((HERE / "config.json").read_text())
    if args.start:
        start(args.start, args.to, settings)
    elif args.export:
        export(args.export, args.init, args.to)
    else:
        train(args, settings)


if __name__ == "__main__":
    main()
