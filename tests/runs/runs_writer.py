"""A process that writes rollouts until it is done or killed: `python runs_writer.py RUN SAMPLES [LIMIT_BYTES]`.

It samples what is missing, as every command does, and says on stdout what it has committed.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from runs_builder import CONDITION, PROMPT, rollout

from cotlab.errors import RunError
from cotlab.runs import Run


def main(path: Path, samples: int, limit: int | None) -> None:
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with Run.open(path, writable=True) as run:
        study_id = run.studies()[0].id
        for _, idx in run.missing([PROMPT.id], samples, *CONDITION):
            run.add_rollouts([rollout(sample_idx=idx, text=f"{idx} " * 2000)], study_id=study_id)
            print(idx, flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
    except RunError as error:
        sys.exit(f"RunError: {error}")
