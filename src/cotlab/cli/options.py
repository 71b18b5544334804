"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cotlab.categories import ChatServer

__all__ = [
    "Alternatives",
    "Base",
    "BudgetText",
    "Chains",
    "Condition",
    "Cutter",
    "DryRun",
    "EngineName",
    "EngineNow",
    "EngineOption",
    "Json",
    "JudgeKey",
    "JudgeModel",
    "JudgeUrl",
    "MaxTokens",
    "MetricName",
    "Model",
    "ModelNow",
    "NoThinkTag",
    "OneChain",
    "Positions",
    "Problems",
    "Rollouts",
    "RunFolder",
    "ScorerName",
    "Seed",
    "SimilarityName",
    "Template",
    "engine_options",
    "judge_server",
    "opening",
]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; talk goes to stderr.")]
Seed = Annotated[int, typer.Option(help="Study seed.", min=0)]
Model = Annotated[str, typer.Option(help="tiny, a hub name or a local folder.")]
EngineName = Annotated[str, typer.Option("--engine", help="auto, vllm, transformers or markov.")]
Rollouts = Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts from every prefix.", min=1)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
BudgetText = Annotated[str | None, typer.Option("--budget", help="Cap: tokens (200k, 2M) or time (30s, 10min, 1h).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell tokens, time and disk; store nothing.")]
Problems = Annotated[
    str,
    typer.Option(
        help="tiny, countdown, solve, arithmetic, word-problems, reasoning-gym:NAME, scenes, pope:FILE@IMAGES, or a "
        "JSONL/JSON/CSV file."
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        help="Base chains: greedy, first-right, first-wrong, random; several with commas. Default: greedy; with "
        "--transcript its chain alone."
    ),
]
Positions = Annotated[str, typer.Option(help="every, stride:4, coarse, coarse:8, or a list such as 0,3,7.")]
Cutter = Annotated[str, typer.Option(help="How chains are cut into steps: sentences, lines, paragraphs.")]
ScorerName = Annotated[
    str, typer.Option("--scorer", help="answers, yes-no, pope, or your own as package.module:name or file.py:name.")
]
Chains = Annotated[str | None, typer.Option("--chain", help="Id of a chain (or its start); default: all.")]
OneChain = Annotated[
    str | None,
    typer.Option(
        "--chain", help="Id of a chain (or its start), or its problem's name; needed where there are several."
    ),
]
MetricName = Annotated[str, typer.Option("--metric", help="delta-v (signed), kl or tv.")]
ModelNow = Annotated[str | None, typer.Option("--model", help="Where the model is now; default: as the run says.")]
EngineNow = Annotated[str | None, typer.Option("--engine", help="Default: as the run was sampled.")]
SimilarityName = Annotated[
    str,
    typer.Option(
        "--similarity",
        help="What makes two sentences alike: text, tiny-state, chars, minilm, hidden:FOLDER[:LAYER]; @0.7 behind it "
        "sets the threshold.",
    ),
]
Alternatives = Annotated[
    str | None,
    typer.Option(
        "--similarity", help="Which alternatives are one: as for importance; default: equal states, or equal text."
    ),
]
Condition = Annotated[
    str | None,
    typer.Option(
        "--condition",
        help="SETTINGS:ENGINE where a run holds several: starts of ids, temperature=0.6, an engine's name; "
        "either alone will do (temperature=0.6, :vllm).",
    ),
]
Template = Annotated[str | None, typer.Option(help="Chat template: r1, qwen3, plain, tokenizer, or a Jinja file.")]
NoThinkTag = Annotated[bool, typer.Option("--no-think-tag", help="Do not open a think tag in the prompt.")]
JudgeUrl = Annotated[
    str | None,
    typer.Option("--judge", help="Address of an OpenAI-compatible server that judges the thoughts: http://…/v1."),
]
JudgeKey = Annotated[str | None, typer.Option(help="Environment variable that holds the judge's key, if any.")]
JudgeModel = Annotated[str, typer.Option(help="Name of the judge's model at its server.")]
MaxTokens = Annotated[int | None, typer.Option(help="Longest response: kept plus new tokens.", min=1)]
EngineOption = Annotated[
    list[str] | None,
    typer.Option("--engine-option", "-o", help="NAME=VALUE of the engine: max_model_len=8192, dtype=bfloat16, …"),
]


def engine_options(pairs: list[str] | None) -> dict[str, bool | int | float | str]:
    """Read NAME=VALUE pairs; numbers, true and false are read as such.

    Raises:
        UserError: A pair has no `=`.
    """
    from cotlab.errors import UserError

    read: dict[str, bool | int | float | str] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UserError(f"engine option '{pair}' not understood. Use NAME=VALUE, such as max_model_len=8192")
        read[name] = _plain(text)
    return read


def judge_server(url: str | None, model: str, key: str | None) -> ChatServer | None:
    """The server that judges; None where none is named.

    Raises:
        UserError: The address is none, or the environment variable is not set.
    """
    import os

    from cotlab.categories import ChatServer
    from cotlab.errors import UserError

    if url is None:
        return None
    if key is not None and key not in os.environ:
        raise UserError(f"environment variable {key} (--judge-key) is not set. Set it, or leave --judge-key out")
    return ChatServer(url, model, os.environ[key] if key else None)


def opening(
    model: str | None, engine: str | None, engine_option: list[str] | None, budget: str | None
) -> dict[str, Any]:
    """What `cotlab.sampling.revisit` takes, out of the options of a command that samples in a run again.

    Raises:
        UserError: An engine option is not understood.
    """
    options = engine_options(engine_option) or None
    return {"model": model, "engine": engine, "engine_options": options, "budget": budget}


def _plain(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
