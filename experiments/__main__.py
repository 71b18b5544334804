"""`python -m experiments NAME`: sample what is missing, measure, write results.json, results.md and figures."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import cotlab as ct
from cotlab.cli import quiet_torch
from cotlab.cli.progress import Bar
from cotlab.engines import check_model, keeping_engine
from cotlab.errors import CotlabError, UserError
from cotlab.measures import cut_off_warnings
from cotlab.reports import Experiment, Null, experiment_markdown, write_experiment
from cotlab.reports.files import write_whole
from cotlab.sampling import Budget
from experiments.lab import HERE, Answer, Lab, questions, read_config
from experiments.organism_arms import ALL

OUT = {"small": Path("runs/experiments-small"), "full": Path("runs/experiments")}
"""Where questions are answered unless told otherwise, by size."""


def main(words: Sequence[str] | None = None) -> int:
    """Answer what is asked; 2 for a fault of the user's, 1 where an engine breaks, 130 after Ctrl-C."""
    quiet_torch()
    asked = _parser().parse_args(words)
    try:
        if asked.name is None:
            _list()
            return 0
        names = questions() if asked.name == "all" else [asked.name]
        _check(names, asked)
        with keeping_engine():
            for name in names:
                _answer(name, asked)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except CotlabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was drawn is kept, and the same command goes on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("name", nargs="?", help=f"a question, or all: {', '.join(questions())}")
    parser.add_argument("--model", help="model name or folder (default: that of the question's config)")
    parser.add_argument("--problems", help="problem set or file")
    parser.add_argument("--engine", default="auto", help="auto, vllm or transformers")
    parser.add_argument(
        "--budget",
        default="full",
        help="small, full, or a cap on what is drawn: 200k, 2M tokens, 10min (sizes of full)",
    )
    parser.add_argument(
        "--out", type=Path, help=f"gets a folder a question; asked again: goes on (default: {OUT['full']}; -small)"
    )
    parser.add_argument("--max-tokens", type=int, help="cap on the tokens of a response (default: of the model's card)")
    parser.add_argument("--data", type=Path, help="folder of published data (sentences: labelled math-rollouts traces)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--publish", action="store_true", help="write table and figures into the question's folder as well"
    )
    parser.add_argument("--quiet", action="store_true")
    return parser


def _list() -> None:
    for name in questions():
        print(f"{name:<16} {read_config(name).question}")


def _check(names: Sequence[str], asked: argparse.Namespace) -> None:
    """Refuse what cannot be before anything is sampled.

    Raises:
        UserError: No such question, size, budget, model, engine or problem set.
    """
    for name in names:
        sizes = read_config(name).sizes
        try:
            _ = asked.budget in sizes or Budget.parse(asked.budget)
        except UserError as error:
            raise UserError(f"{error}, or a size that {name} has: {', '.join(sizes)}") from error
        if asked.publish and asked.budget != "full":
            raise UserError(
                f"--publish replaces the table of the full size in {HERE / name}: not with --budget {asked.budget}"
            )
    if asked.problems is not None:
        ct.load_problems(asked.problems, n=1)
    check_model("tiny" if asked.model in (None, ALL) else asked.model, asked.engine)


def _answer(name: str, asked: argparse.Namespace) -> None:
    config = read_config(name)
    sized = asked.budget in config.sizes
    size = asked.budget if sized else "full"
    with Bar(quiet=asked.quiet) as bar:
        lab = Lab(
            name=name,
            config=config,
            model=asked.model or config.model,
            problems=asked.problems or config.problems,
            size_name=size,
            out=(asked.out or OUT.get(size, OUT["full"])) / name,
            seed=asked.seed,
            engine=asked.engine,
            budget=Budget() if sized else Budget.parse(asked.budget),
            max_tokens=asked.max_tokens,
            data=asked.data,
            progress=bar,
        )
        started = _cpu()
        with contextlib.redirect_stdout(sys.stderr):  # what libraries print is talk
            answer: Answer = importlib.import_module(f"experiments.{name}.answer").answer(lab)
        found = _experiment(lab, answer, asked, _cpu() - started)
    for folder in [lab.out, *([HERE / name] if asked.publish else [])]:
        _write(found, answer, folder)
    recovered = f"{found.recovered_told} planted truths recovered"
    nulls = ", ".join(f"{one.found} of {one.n}" for one in found.null_rate) or "none"
    print(f"{name}: {recovered}; shuffles that found something: {nulls}; {lab.out / 'results.md'}")
    for line in found.warnings:
        print(f"{name}: warning: {line}")


def _experiment(lab: Lab, answer: Answer, asked: argparse.Namespace, cpu_seconds: float) -> Experiment:
    versions = {"cotlab": version("cotlab"), "python": platform.python_version(), "numpy": version("numpy")}
    versions |= {f"data {lab.data.name}": _data_hash(lab.data)} if lab.data else {}
    warnings, rollouts = list(answer.warnings), 0
    for path in lab.touched:
        with ct.Run.open(path) as run:
            rollouts += lab.counted.get(path, run.summary().rollouts)
            warnings += [f"{path.name}: {line}" for line in cut_off_warnings(run)]
            for card in run.engine_cards().values():
                if card.engine == "given":
                    continue
                versions |= dict(card.versions)
                versions[f"model {Path(card.model).name}"] = card.revision or "no revision"
    for study in lab.studies:
        if study.stopped:
            warnings.append(f"{study.path.name}: {study.stopped}")
    return Experiment(
        name=lab.name,
        question=lab.config.question,
        model=lab.model,
        problems=lab.problems,
        method=lab.config.method,
        estimates=answer.estimates,
        planted=answer.planted,
        recovered=answer.recovered,
        null_rate=tuple(Null.of(rate) for rate in answer.null_rate),
        warnings=tuple(dict.fromkeys(warnings)),
        limits=answer.limits,
        tables=answer.tables,
        figures=tuple(answer.figures),
        commands=(_command(asked, lab), *answer.commands),
        versions=versions,
        sizes={"budget": asked.budget, **lab.config.sizes[lab.size_name]},
        seed=lab.seed,
        rollouts=rollouts,
        cpu_seconds=round(cpu_seconds, 1),
    )


def _command(asked: argparse.Namespace, lab: Lab) -> str:
    """The command that does this question again, from the checkout; of a data folder it has the name."""
    words = ["python", "-m", "experiments", lab.name]
    given = {"model": asked.model, "problems": asked.problems, "budget": asked.budget, "seed": lab.seed or None}
    given |= {"max-tokens": asked.max_tokens}
    for name, value in given.items():
        words += [] if value is None else [f"--{name}", str(value)]
    words += [] if asked.engine == "auto" else ["--engine", asked.engine]
    words += ["--data", asked.data.name] if asked.data else []
    return shlex.join(words)


def _data_hash(folder: Path) -> str:
    """SHA-256 over names and contents of all files of a folder."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        found.update(file.read_bytes())
    return f"sha256 {found.hexdigest()}"


def _write(found: Experiment, answer: Answer, folder: Path) -> None:
    for name, figure in answer.figures.items():
        write_whole(folder / name, figure, "figure")
    write_whole(folder / "results.md", experiment_markdown(found), "result table")
    write_experiment(found, folder)


def _cpu() -> float:
    """CPU seconds of this process and those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
