"""Make the run that ships with the workbench, as `cotlab demo` makes one, only smaller.

    python apps/workbench/make_sample.py [--rollouts 30]

On the transformers engine, which every installation has, so that copies of the sample can be gone on with anywhere.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
from pathlib import Path

from cotlab.sampling import StudyConfig, run_study

SAMPLE = Path(__file__).parent / "sample"
CANDIDATE_ROLLOUTS = 8


class Talking:
    """Progress as plain lines."""

    def phase(self, name: str, total: int, unit: str = "rollouts") -> None:
        """Say it."""
        print(f"{name}: {total} {unit}", flush=True)

    def advance(self, rollouts: int, tokens: int) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say it."""
        print(line, flush=True)


def main() -> None:
    """Sample anew and replace what is there."""
    parser = argparse.ArgumentParser(description="Make the sample run of the workbench.")
    parser.add_argument("--rollouts", type=int, default=30)
    parser.add_argument("--problems", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    work = SAMPLE.with_name("sample.new")
    shutil.rmtree(work, ignore_errors=True)
    config = StudyConfig.of(
        problems="tiny",
        n_problems=options.problems,
        screen="0.25:0.75",
        screen_n=CANDIDATE_ROLLOUTS,
        screen_fill=True,
        base=("random",),
        engine="transformers",
        n=options.rollouts,
        seed=options.seed,
        run=work,
    )
    run_study(config, progress=Talking())
    shrink(work)
    shutil.rmtree(SAMPLE, ignore_errors=True)
    work.rename(SAMPLE)
    print(f"{SAMPLE}: {(SAMPLE / 'run.sqlite').stat().st_size / 1e6:.1f} MB")


def shrink(folder: Path) -> None:
    """Without log probabilities (the app shows none), and packed."""
    connection = sqlite3.connect(folder / "run.sqlite", isolation_level=None)
    connection.execute("UPDATE rollout_body SET logprobs = NULL")
    connection.execute("VACUUM")
    connection.close()


if __name__ == "__main__":
    main()
