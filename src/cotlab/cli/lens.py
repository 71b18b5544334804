"""`cotlab lens`: what each layer would say, along a chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import looking, options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.chains.prefix import Prefix

__all__ = ["lens"]


@app.command()
def lens(
    run: options.RunFolder,
    chain: looking.ChainName = None,
    tuned: Annotated[Path | None, typer.Option(help="A tuned lens that was saved; default: the logit lens.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="Train a tuned lens on the run's rollouts and save it here.")
    ] = None,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts that it is trained on.", min=5)] = 100,
    model: looking.ModelHere = None,
    save: looking.Save = None,
    figure: looking.Figure = None,
    json: options.Json = False,
) -> None:
    """What each layer would say if it were the last. KL from the model and share of tokens that agree, by layer."""
    from cotlab.cli.output import out, print_json, print_table
    from cotlab.errors import UserError
    from cotlab.reports.heatmap import write_heatmap
    from cotlab.whitebox import TunedLens, read_lens, train_tuned_lens
    from cotlab.whitebox.run_chain import chain_spans

    if tuned is not None and train is not None:
        raise UserError("--tuned reads a lens and --train makes one: give one of them")
    used = TunedLens.load(tuned) if tuned else None
    with looking.looking(run, chain, model, quiet=json) as (inside, found, bar):
        if train is not None:
            sequences = _sequences(run, rollouts)
            used = train_tuned_lens(inside, sequences, progress=looking.told(bar, "training the lens"))
            used.save(train)
        ids = found.whole.token_ids
        reading = read_lens(inside, found.whole, used)
    first = len(found.prompt_ids)
    agree, kl = (reading.top == reading.top[-1])[:, first - 1 : -1], reading.kl[:, first - 1 : -1]
    by_step = [[float(row[a - first : b - first].mean()) for a, b in chain_spans(found)] for row in kl]
    firsts = [reading.first_readable(place - 1) for place in range(first, len(ids))]
    layers = [
        {"layer": i, "agrees": float(agree[i].float().mean()), "kl": float(kl[i].mean()), "kl_by_step": by_step[i]}
        for i in range(len(kl))
    ]
    if save:
        reading.save(save)
    if figure:
        title = f"KL(model ‖ layer) along chain {found.id}"
        names = [f"layer {i}" for i in range(len(kl))]
        write_heatmap(figure, title, names, looking.steps_of(found), by_step, "nats a token, mean over each step")
    if json:
        training = None if used is None else {"kl_before": used.kl_before, "kl_after": used.kl_after}
        document = {"run": str(run), "chain": found.id, "tuned": training, "layers": layers, "first_readable": firsts}
        print_json(document)
        return
    rows = [
        [str(row["layer"]), f"{row['agrees']:.2f}", f"{row['kl']:.3f}", str(sum(at == i for at in firsts))]
        for i, row in enumerate(layers)
    ]
    kind = "logit lens" if used is None else "tuned lens"
    title = f"{kind}, {len(firsts)} response tokens of chain {found.id}"
    print_table(title, [">layer", ">agrees", ">KL (nats)", ">readable from here on"], rows)
    if used is not None:
        before, after = (", ".join(f"{value:.3f}" for value in side) for side in (used.kl_before, used.kl_after))
        out().print(f"KL on held-out rollouts, by layer: {before} before training, {after} after", markup=False)


def _sequences(run: Path, n: int) -> list[Prefix]:
    """Whole token sequences of some rollouts of a run."""
    from cotlab.runs import Run

    with Run.open(run) as store:
        found = []
        for chain in store.chains():
            for rollout in store.rollouts(prefix_id=chain.prefix(0).id):
                if rollout.token_ids:
                    found.append(chain.prefix(0).extend(tuple(rollout.token_ids)))
                if len(found) == n:
                    return found
    return found
