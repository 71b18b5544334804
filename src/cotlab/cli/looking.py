"""What the commands that look inside share: the chain, the open model, faults, figures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.cli.progress import Bar
    from cotlab.whitebox import Inside, Pair

__all__ = [
    "ChainName",
    "Figure",
    "ModelHere",
    "Save",
    "Step",
    "With",
    "looking",
    "pairs_of",
    "short",
    "steps_of",
    "told",
]

ChainName = Annotated[str | None, typer.Option("--chain", help="Id of a chain (or its start); default: the first.")]
ModelHere = Annotated[str | None, typer.Option("--model", help="Where the run's model is; default: as the run says.")]
Figure = Annotated[Path | None, typer.Option("--figure", help="Write a figure: .html or .svg, works offline.")]
Save = Annotated[Path | None, typer.Option("--save", help="Write the whole result: one .safetensors file.")]
Step = Annotated[int, typer.Option("--step", help="Which step of the chain (0 is the first).", min=0)]
With = Annotated[
    str | None,
    typer.Option("--with", help="What stands in its place, in as many tokens; default: what rollouts of the run say."),
]


@contextlib.contextmanager
def looking(run: Path, chain: str | None, model: str | None, *, quiet: bool) -> Iterator[tuple[Inside, Chain, Bar]]:
    """The model of a run, open, and one of its chains; Ctrl-C is one line.

    Raises:
        UserError: There is no such run, chain or model.
    """
    from cotlab.cli.progress import Bar
    from cotlab.runs import Run
    from cotlab.whitebox import Inside
    from cotlab.whitebox.run_chain import chain_of

    with Run.open(run) as store:
        found, name = chain_of(store, chain), model or store.identity.model
    try:
        with Bar(quiet=quiet) as bar:
            inside = Inside.open(name)
            check_tokens(inside, found)
            yield inside, found, bar
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing was written", err=True)
        raise typer.Exit(130) from None


def check_tokens(inside: Inside, chain: Chain) -> None:
    """Say so where a chain has tokens that the model does not know, or none.

    Raises:
        DataError: It is another model's chain, or one of text alone.
    """
    from cotlab.errors import DataError

    ids, size = chain.prompt_ids + chain.response_ids, inside.model.config.get_text_config(decoder=True).vocab_size
    if not chain.prompt_ids or max(ids) >= size:
        raise DataError(f"chain {chain.id} is not of tokens of '{inside.name}': name its model with --model")


def told(bar: Bar, name: str) -> Callable[[int, int], None]:
    """A progress callback (done, in all) that shows a phase."""
    shown = 0

    def tell(done: int, of: int) -> None:
        nonlocal shown
        if shown == 0:
            bar.phase(name, 0)
            bar.bar.update(bar.task, total=of)  # type: ignore[arg-type]  # the phase has begun
        bar.advance(done - shown, 0)
        shown = done

    return tell


def pairs_of(run: Path, inside: Inside, chain: Chain, step: int, other: str | None, most: int) -> list[Pair]:
    """Pairs for a step: with the text that was given, or with what rollouts of the run say there.

    Raises:
        DataError: The texts have different numbers of tokens, or no rollout says anything else.
    """
    from cotlab.runs import Run
    from cotlab.whitebox import chain_pair, step_pairs

    if other is not None:
        own = chain.steps[step].text if step < len(chain.steps) else ""
        text = other.replace("\\n", "\n")
        ending = own[len(own.rstrip()) :]
        return [chain_pair(inside, chain, step, text if text.endswith(ending) else text + ending)]
    with Run.open(run) as store:
        return step_pairs(store, chain, step, inside, most=most)


def steps_of(chain: Chain) -> list[str]:
    """A label for every step."""
    return [f"{step.idx} {short(step.text)}" for step in chain.steps]


def short(text: str, most: int = 40) -> str:
    """One line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
