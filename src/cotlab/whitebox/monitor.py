"""A monitor that reads the model's inside while text monitors read what it says (`cotlab.measures.monitors`).

The activation at the last token of what is shown (`cotlab.whitebox.at_end`) goes through a probe.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import Shown
from cotlab.whitebox.at_end import EndReader
from cotlab.whitebox.probe_fit import Method, fit_rows

__all__ = ["ActivationMonitor"]

_PENALTY = 1e-2
"""C of the logistic penalty, on standardised activations; fixed, so that shuffles cost no search."""


class ActivationMonitor:
    """A monitor that may be called as any other."""

    def __init__(self, reader: EndReader, point: HookPoint, *, method: Method = "logistic") -> None:
        """Prepare; nothing is read yet.

        Args:
            reader: Of the responses.
            point: What is read, one of the reader's.
            method: How the probe is fitted.
        """
        self.reader, self.point, self.method = reader, point, method

    def __call__(self, train: Sequence[Shown], test: Sequence[Shown]) -> NDArray[np.float64]:
        """Scores [test]: log odds less those of the training examples' classes, so that both weigh alike."""
        y = np.array([row.label for row in train])
        problems = np.array([row.problem for row in train], dtype=np.str_)
        weight, bias = fit_rows(self.read(train), y, problems, self.method, 0, _PENALTY)
        return np.asarray(self.read(test) @ weight + bias - np.log(y.mean() / (1 - y.mean())), dtype=float)

    def read(self, rows: Sequence[Shown]) -> NDArray[np.float64]:
        """Activations [rows, d_model] at the end of what each shows."""
        return self.reader.read(rows, self.point)
