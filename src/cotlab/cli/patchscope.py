"""`cotlab patchscope`: what the states of a step's tokens say in another prompt."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import looking, options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.whitebox import PatchscopeReading

__all__ = ["patchscope"]


@app.command()
def patchscope(
    run: options.RunFolder,
    step: looking.Step,
    chain: looking.ChainName = None,
    layers: Annotated[str | None, typer.Option(help="Layers, with commas; default: all.")] = None,
    token: Annotated[str | None, typer.Option(help="Only tokens of the step that say this.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Inspection prompt; default: one that repeats words.")] = None,
    placeholder: Annotated[str, typer.Option(help="Text of the prompt in whose place the state is put.")] = "?",
    samples: Annotated[int, typer.Option("--samples", "-n", help="Samples of each state.", min=1)] = 10,
    max_tokens: Annotated[int, typer.Option(help="Tokens of each.", min=1)] = 3,
    seed: options.Seed = 0,
    model: looking.ModelHere = None,
    json: options.Json = False,
) -> None:
    """Put a step's states into an inspection prompt and sample. Beside them random states of their norm."""
    from cotlab.cli.output import print_json, print_table
    from cotlab.cli.results import plain
    from cotlab.errors import UserError
    from cotlab.interventions import HookPoint
    from cotlab.whitebox import Inspection, PatchscopeReading
    from cotlab.whitebox import patchscope as read_state
    from cotlab.whitebox.inspecting import IDENTITY
    from cotlab.whitebox.run_chain import chain_spans, check_step

    with looking.looking(run, chain, model, quiet=json) as (inside, found, bar):
        check_step(found, step)
        begin, end = chain_spans(found)[step]
        ids = found.prompt_ids + found.response_ids
        at = [
            i for i in range(begin, end) if token is None or inside.tokenizer.decode([ids[i]]).strip() == token.strip()
        ]
        if not at:
            raise UserError(f"no token of step {step} says '{token}': the step is {found.steps[step].text!r}")
        points = [HookPoint("resid_post", layer) for layer in chosen_layers(layers, inside.shape.n_layers)]
        inspection = Inspection.of(inside, IDENTITY if prompt is None else prompt.replace("\\n", "\n"), placeholder)
        tell, readings = looking.told(bar, "reading states"), list[PatchscopeReading]()
        for place in at:
            for point in points:
                sample = partial(read_state, inspection=inspection, n=samples, max_tokens=max_tokens, seed=seed)
                readings.append(sample(inside, found.whole, place, point))
                tell(len(readings), len(at) * len(points))
    if json:
        told = [{**one.to_json(), **said_most(one)} for one in readings]
        print_json({"run": str(run), "chain": found.id, "step": step, "readings": told})
        return
    rows = [
        [
            plain(repr(one.token)),
            one.source,
            plain(repr(most["said"])),
            f"{most['share']:.2f}",
            f"{most['control']:.2f}",
        ]
        for one in readings
        for most in [said_most(one)]
    ]
    title = f"states of step {step} of chain {found.id[:8]} in another prompt, {samples} samples each"
    print_table(title, ["token", "state at", "it says most often", ">share", ">random states"], rows)


def said_most(reading: PatchscopeReading) -> dict[str, Any]:
    """The most frequent text, its share, and its share among random states of the same norm."""
    said, count = Counter(reading.texts).most_common(1)[0]
    return {"said": said, "share": count / len(reading.texts), "control": reading.rate(lambda text: text == said)[1]}


def chosen_layers(text: str | None, n_layers: int) -> list[int]:
    """Layers that are named; None: all.

    Raises:
        UserError: One is no layer of the model.
    """
    from cotlab.errors import UserError

    if text is None:
        return list(range(n_layers))
    named = [part.strip() for part in text.split(",")]
    if wrong := [part for part in named if not (part.isdigit() and int(part) < n_layers)]:
        raise UserError(f"'{wrong[0]}' is no layer: the model has layers 0..{n_layers - 1}")
    return [int(part) for part in named]
