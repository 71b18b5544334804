"""How many CPU threads a model gets.

Threads of one model wait for each other by spinning. Where another process wants the cores as well they spin away what
the other thread needs: reading one chain through the tiny reasoner took 36 s in place of 0.5 s on a busy machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from cotlab.models.folder import weight_files

__all__ = ["fit_threads"]

THREADS = "OMP_NUM_THREADS"
SMALL = 100_000_000
"""Bytes of weights below which a model runs on one CPU thread."""


class _Fitted:
    """What `fit_threads` has set in this process, so that a larger model gets back what was there."""

    variable: str | None = None
    """Value of the environment variable; None: not ours."""
    threads = 0
    """Threads that torch had before."""


def fit_threads(folder: Path) -> None:
    """One thread for a small model on a CPU, where the user has not said how many; else as many as there were.

    To be called before a model is loaded, by everything that loads one.

    Args:
        folder: Of the model.
    """
    import torch

    given = os.environ.get(THREADS)
    if (given is not None and given != _Fitted.variable) or torch.cuda.is_available():
        return
    if sum(file.stat().st_size for file in weight_files(folder)) < SMALL:
        if _Fitted.variable is None:
            _Fitted.variable, _Fitted.threads = "1", torch.get_num_threads()
        os.environ[THREADS] = "1"  # for processes that engines start
        torch.set_num_threads(1)
    elif _Fitted.variable is not None:
        os.environ.pop(THREADS, None)
        torch.set_num_threads(_Fitted.threads)
        _Fitted.variable = None
