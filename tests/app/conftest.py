"""Runs for the workbench: a real small one, and one whose every text is hostile."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from app.warm_jobs import WarmJob

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.score import Score
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.interventions.base import Baseline
from cotlab.models.engine_card import EngineCard
from cotlab.runs import Run, RunIdentity
from cotlab.sampling import StudyConfig, reading_file, run_study

pytest.importorskip("streamlit", reason="the extra `app` is not installed")

APP = Path(__file__).parents[2] / "apps" / "workbench"
REPORT = APP.parents[1] / "experiments" / "steering-backtracking" / "report.json"
"""A behaviour report that ships."""
HOSTILE = (
    "<script>window.hacked = 1</script>",
    '<img src=x onerror="window.hacked = 1">',
    "[a link](javascript:window.hacked=1) **bold** `code` $x$ :red[no]",
    "NUL \0 and ESC \x1b[31m and right to left \u202egnp.exe\u202c",
    "x" * 1_000_000,
    "lone surrogate \ud800 and </div></style><style>*{display:none}</style>",
)
SCORER = "answers/1"


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one real run of the markov engine; tests that write copy it."""
    root = tmp_path_factory.mktemp("runs")
    run_study(
        StudyConfig.of(
            question="Climb the stairs",
            answer="7",
            model="markov:staircase",
            cutter="lines",
            n=40,
            base=("random",),
            run=root / "stairs",
        )
    )
    return root


@pytest.fixture(autouse=True)
def warm_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of the pages are forked with PyTorch loaded."""
    monkeypatch.setattr("cotlab.sampling.jobs.subprocess", SimpleNamespace(Popen=WarmJob, DEVNULL=subprocess.DEVNULL))


@pytest.fixture
def root(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that a test may change, where the app looks."""
    import shutil

    copy = tmp_path / "runs"
    shutil.copytree(small_root, copy)
    monkeypatch.setenv("COTLAB_APP_ROOT", str(copy))
    return copy


@pytest.fixture
def hostile() -> Callable[[Path], None]:
    """Make a run whose question, steps, rollouts, answers and notes are hostile."""
    return make_hostile


def make_hostile(folder: Path) -> None:
    identity = RunIdentity(HOSTILE[0], "tok", "r1", "<think>", "</think>", title=HOSTILE[1])
    settings, card = (
        SamplingSettings(temperature=1.0, max_tokens=64),
        EngineCard(HOSTILE[2], "m", "r", "tok", "r1", "float32"),
    )
    problem = Problem(HOSTILE[1] + HOSTILE[3], "42", name=HOSTILE[2])
    prompt = Prefix((1, 2, 3), 3)

    def rollout(prefix: Prefix, idx: int, text: str, ids: tuple[int, ...]) -> Rollout:
        return Rollout(prefix.id, Baseline().id, settings.id, card.id, idx, idx, text, "stop", ids, None)

    with Run.create(folder, identity) as run:
        run.add_problems([problem])
        run.add_settings(settings)
        run.add_engine_card(card)
        run.add_intervention(Baseline())
        run.add_prefix(prompt, problem.id, text=HOSTILE[0])
        study = run.add_study({"kind": "test"}, 0)
        texts = [f"{text}\n" for text in HOSTILE]
        base = rollout(prompt, 0, "".join(texts), tuple(range(10, 10 + len(texts))))
        run.add_rollouts([base], study_id=study)
        steps = tuple(Step(i, i, i + 1, text) for i, text in enumerate(texts))
        chain = Chain(problem.id, base.id, prompt.token_ids, base.token_ids or (), "lines/1", steps, "random")
        run.add_chain(chain)
        run.add_chain_prefixes(chain)
        found = [
            rollout(prompt, idx, f"{HOSTILE[idx % len(HOSTILE)]} {idx % 3}\n", (500 + idx,)) for idx in range(1, 30)
        ]
        short = [text for text in HOSTILE if len(text) < 1000]
        for k in range(1, len(steps)):  # so that every step is shown by itself
            found += [rollout(chain.prefix(k), idx, f"{short[idx % len(short)]}\n", (900 + idx,)) for idx in range(10)]
        run.add_rollouts(found, study_id=study)
        outcomes = ("correct", "wrong")
        run.add_scores(
            Score(
                "rollout", r.id, SCORER, {"answer": HOSTILE[i % 3], "key": HOSTILE[i % 3], "outcome": outcomes[i % 2]}
            )
            for i, r in enumerate([base, *found])
        )
        run.add_note(HOSTILE[0] + HOSTILE[2])


@pytest.fixture
def hostile_inside() -> Callable[[Path], None]:
    """Give the hostile run a reading of its inside, and its root a behaviour report, whose names are hostile."""
    return make_hostile_inside


def make_hostile_inside(root: Path) -> None:
    with Run.open(root / "hostile") as run:
        chain = run.chains()[0]
    n, flat = len(chain.steps), [0.5] * len(chain.steps)
    named = " ".join(text for text in HOSTILE if len(text) < 1000).replace("\ud800", "")
    reading = {
        "format": "cotlab-inside/1",
        "model": named,
        "chain": chain.id,
        "spans": [[step.start, step.end] for step in chain.steps],
        **dict.fromkeys(("lens_kl", "lens_agrees"), [flat]),
        **dict.fromkeys(("attention", "suppression"), [flat] * n),
        "min_distance": 4,
        "heads": [],
        "heads_reason": named,
        "probes": [{"file": named, "label": named, "hook": named, "probability": flat}],
    }
    file = reading_file(root / "hostile", chain.id)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(reading))
    report = json.loads(REPORT.read_bytes())
    report |= {"behaviour": named, "verdict": named}
    for row in report["doses"]:
        row["controls"][named] = next(iter(row["controls"].values()))
    (root / "hostile-report").mkdir()
    (root / "hostile-report" / "report.json").write_text(json.dumps(report))


@pytest.fixture
def broken(root: Path) -> Path:
    """Beside the real run: a corrupt one, one of a newer version, and a link that leads out."""
    import shutil

    for name in ("corrupt", "newer", "newer-tables"):
        shutil.copytree(root / "stairs", root / name)
    content = bytearray((root / "corrupt" / "run.sqlite").read_bytes())
    content[2000:9000] = b"\xff" * 7000
    (root / "corrupt" / "run.sqlite").write_bytes(bytes(content))
    identity = json.loads((root / "newer" / "run.json").read_text())
    (root / "newer" / "run.json").write_text(json.dumps({**identity, "format": 99}))
    connection = sqlite3.connect(root / "newer-tables" / "run.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    outside = root.parent / "outside"
    shutil.copytree(root / "stairs", outside)
    (root / "leads-out").symlink_to(outside)
    return root


@pytest.fixture
def tiny_run(root: Path) -> str:
    """The sample, as a run of the reader's own: the tiny reasoner, whose inside can be read."""
    import shutil

    shutil.copytree(APP / "sample", root / "mine")
    Run.open(root / "mine", writable=True).close()
    return "mine"
