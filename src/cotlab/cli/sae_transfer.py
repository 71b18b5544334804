"""`cotlab sae transfer`: an autoencoder of one model on another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.sae import commands

if TYPE_CHECKING:
    from cotlab.saes import Changes, OrganismTransfer, Transfer

__all__ = ["Data", "Device", "Dtype", "Longest", "RunFolders", "print_changes", "transfer", "write_reports"]

RunFolders = Annotated[
    list[Path] | None, typer.Option("--run", "--runs", help="A run of the model whose rollouts are read; repeatable.")
]
Data = Annotated[Path | None, typer.Option(help="JSONL of prompt and response (or text), in place of runs.")]
Longest = Annotated[int, typer.Option("--max-tokens", help="Tokens of a rollout that are read.", min=2)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")]
Dtype = Annotated[str, typer.Option(help="Of the models: float32, bfloat16.")]


@commands.command("transfer")
def transfer(
    sae: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SAE]...", help="Folder, RELEASE/ID or tiny:honest/resid_post:2; one a hook point."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that they are tried on; with --demo one organism.")
    ] = None,
    own_model: Annotated[str | None, typer.Option(help="The model that they are of; default: as they say.")] = None,
    runs: RunFolders = None,
    data: Data = None,
    tuned: Annotated[
        list[str] | None, typer.Option("--tuned", help="The same SAE fine-tuned on the model; repeatable.")
    ] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Sample the organisms, fine-tune on each, and test all: some minutes on a CPU."),
    ] = False,
    rollouts: Annotated[
        int,
        typer.Option("--rollouts", "-n", help="Rollouts that are evaluated; half as many make the controls.", min=5),
    ] = 100,
    threshold: Annotated[
        float, typer.Option(help="Share of the own model's score above which it transfers.", min=0, max=1)
    ] = 0.9,
    longest: Longest = 4096,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for results.json, table.md and figure.svg.")] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Test an SAE on another model. Scores on the same tokens beside its own model, random features and PCA."""
    from cotlab.cli.progress import Bar
    from cotlab.errors import UserError
    from cotlab.saes import SHIPPED, TraceSource, demo_transfer, load_sae, trained_problems, transfer_study
    from cotlab.saes.demo import DEMO_MINUTES, organisms_shipped

    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    if demo and (runs or data):
        raise UserError("--demo samples its own rollouts: leave out --run and --data")
    organisms: list[OrganismTransfer] = []
    asked = {"threshold": threshold, "seed": seed, "device": device, "dtype": dtype}
    try:
        with Bar(quiet=json) as bar:
            if demo:
                saes = [load_sae(name) for name in sae or [SHIPPED]]
                work = out or Path("runs/sae-transfer")
                names = [model] if model else organisms_shipped()
                bar.say(
                    f"{len(names)} organisms: each is sampled, fine-tuned on, and tested; about {DEMO_MINUTES:g} "
                    f"minutes of one CPU core each, less where {work} holds it already"
                )
                organisms = demo_transfer(saes, work, names, n=rollouts, progress=bar, **asked)  # type: ignore[arg-type]  # of these types
                found = [one.transfer for one in organisms]
            elif not sae or model is None:
                raise UserError("name an SAE and the model that it is tried on (--model), or try --demo")
            else:
                source = TraceSource(tuple(runs or ()), data, rollouts + rollouts // 2, longest, seed)
                saes, fine = [load_sae(name) for name in sae], [load_sae(name) for name in tuned or []]
                trained = frozenset[str]().union(*(trained_problems(Path(name)) for name in tuned or []))
                tried = {"own": own_model, "tuned": fine, "trained": trained, "progress": bar}
                found = [transfer_study(saes, model, source, **tried, **asked)]  # type: ignore[arg-type]  # of these types
    except KeyboardInterrupt:
        kept = "what was sampled and trained is kept; the same command goes on" if demo else "nothing is kept of a test"
        typer.echo(f"interrupted: {kept}", err=True)
        raise typer.Exit(130) from None
    drifts = {one.transfer.model: [its.to_json() for its in one.changes] for one in organisms}
    write_reports(found, out, json=json, extra={"drift": drifts} if drifts else None)
    for changes in (its for one in organisms for its in one.changes if not json):
        print_changes(changes)


def write_reports(found: list[Transfer], out: Path | None, *, json: bool, extra: dict[str, Any] | None = None) -> None:
    """Print transfer tests, and write them to a folder where one is named."""
    from json import dumps

    from cotlab.cli.output import err, print_json, print_table
    from cotlab.cli.output import out as stdout
    from cotlab.reports.sae_transfer import TRANSFER_HEADS, transfer_markdown, transfer_svg, transfer_table

    document = {**joined(found), **(extra or {})}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(dumps(document, indent=1, allow_nan=False) + "\n", "utf-8")
        (out / "table.md").write_text(transfer_markdown(found), "utf-8")
        (out / "figure.svg").write_text(transfer_svg(found) + "\n", "utf-8")
        err().print(f"results.json, table.md and figure.svg: {out}", markup=False)
    if json:
        print_json(document)
        return
    for one in found:
        for hook in dict.fromkeys(row.hook for row in one.rows):
            title = f"{hook}, SAE of '{one.own}' on '{one.model}', {one.n_traces} rollouts"
            print_table(title, TRANSFER_HEADS, transfer_table(one, hook))
    for one in found:
        stdout().print(f"{one.model}, {one.verdict}", markup=False)


def joined(found: list[Transfer]) -> dict[str, Any]:
    """One document: of one model as it is, of several with the model in every row."""
    if len(found) == 1:
        return found[0].to_json()
    each = [one.to_json() for one in found]
    rows = [{"model": told["model"], **row} for told in each for row in told["rows"]]
    verdict = "\n".join(f"{told['model']}: {line}" for told in each for line in told["verdict"].split("\n"))
    verdicts = [{"model": told["model"], **its} for told in each for its in told["verdicts"]]
    head = {"sae": each[0]["sae"], "model": [told["model"] for told in each], "own_model": each[0]["own_model"]}
    return {**head, "rows": rows, "verdict": verdict, "verdicts": verdicts}


def print_changes(changes: Changes) -> None:
    """What fine-tuning did to the features."""
    from cotlab.cli.output import out, print_table
    from cotlab.saes.drift import FALSE_SHARE

    drift, null = changes.drift, changes.drift.null
    held = (drift.drifted, null.states) if null else ()
    counts = [(state, str(n), *(str(one.get(state, 0)) for one in held)) for state, n in drift.states.items()]
    heads = ["is", ">features", *([">drifted", ">by training alone"] if null else [])]
    print_table(f"{drift.hook}: features after fine-tuning", heads, counts)
    told = f"drifted: beyond what as many steps on the own model do, at most {FALSE_SHARE:.0%} of them by chance"
    out().print(told if null else "how much of this training alone does is not known: no null", markup=False)
    where = {one.feature: one for one in changes.fires}
    rows = []
    shown = (*drift.of("new")[:6], *drift.of("woken")[:6], *drift.of("rotated")[:4])
    for one in (one for one in shown if one.drifted or null is None):
        its = where.get(one.feature)
        lift = "" if its is None else f"{its.lift.value:.1f} [{its.lift.low:.1f}, {its.lift.high:.1f}]"
        rates = (f"{one.rate_before:.2%}", f"{one.rate_after:.2%}")
        rows.append(
            (str(one.feature), one.state, f"{one.decoder_cosine:.2f}", *rates, its.category if its else "", lift)
        )
    columns = [">feature", "is", ">decoder cosine", ">fires before", ">after", "most in", ">lift"]
    if rows:
        print_table("Features that drifted" if null else "Features that changed", columns, rows)
