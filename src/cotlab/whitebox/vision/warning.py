"""Is a wrong Yes seen coming? Probes at the last token of the prompt, among the questions that are answered Yes.

The label is whether the Yes is wrong; scenes are split, never their questions. What the question alone tells is the
control (`ProbeReport.wording`): a model that always errs about one shape is found out by its name, no inside needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.tiny.scenes import Question, Scene, problem_of
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.probe_fit import Method
from cotlab.whitebox.probe_report import ProbeReport, evaluate_probe
from cotlab.whitebox.vision.asking import Asking

__all__ = ["WarningStudy", "warning_study"]


@dataclass(frozen=True, slots=True)
class WarningStudy:
    """How well a wrong Yes is told from a right one, by hook point."""

    n_asked: int
    n_yes: int
    n_wrong: int
    reports: tuple[ProbeReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        counts = {"asked": self.n_asked, "yes": self.n_yes, "wrong": self.n_wrong}
        return {**counts, "rows": [report.to_json() for report in self.reports]}


def warning_study(
    asking: Asking,
    asked: Sequence[tuple[Scene, Question]],
    points: Sequence[HookPoint] = (),
    *,
    method: Method = "logistic",
    n_shuffles: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> WarningStudy:
    """Judge probes for a wrong Yes.

    Args:
        asking: The model.
        asked: Questions of existence on scenes (`pope_questions`, say).
        points: Hook points of the decoder; the residual stream behind every layer by default.
        method: How probes are fitted.
        n_shuffles: Probes fitted to shuffled labels, for the null.
        seed: Of folds and shuffles.
        progress: Told questions done and in all.

    Raises:
        DataError: Too few questions are answered Yes, or all of these rightly, or all wrongly.
    """
    points = list(points) or [HookPoint("resid_post", layer) for layer in range(asking.inside.shape.n_layers)]
    rows: dict[HookPoint, list[NDArray[np.float32]]] = {point: [] for point in points}
    wrong: list[bool] = []
    scenes, texts = list[str](), list[str]()
    last = HookPoint("resid_post", asking.inside.shape.n_layers - 1)
    for number, (scene, question) in enumerate(asked, 1):
        read = asking.inside.read(asking.prefix(problem_of(scene, question)), {*points, last})
        with torch.inference_mode():
            says = asking.odds(asking.inside.modules.logits(read[last][-1:]))
        if says > 0:
            for point in points:
                rows[point].append(read[point][-1].float().cpu().numpy())
            wrong.append(question.answer != "Yes")
            scenes.append(scene.id)
            texts.append(question.text)
        if progress:
            progress(number, len(asked))
    if not 10 <= sum(wrong) <= len(wrong) - 10:
        raise DataError(
            f"of {len(asked)} questions {len(wrong)} are answered Yes, {sum(wrong)} of these wrongly; a probe takes 10 "
            "of each: ask more, or where the model errs"
        )
    reports = tuple(
        evaluate_probe(
            Examples.of(np.array(rows[point]), wrong, scenes, texts=texts, label="wrong Yes", hook=str(point)),
            method,
            n_shuffles=n_shuffles,
            seed=seed,
        )
        for point in points
    )
    return WarningStudy(len(asked), len(wrong), sum(wrong), reports)
