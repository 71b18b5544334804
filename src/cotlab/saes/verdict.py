"""Does an autoencoder transfer? A rule on intervals, fixed before the data are seen.

Of explained variance and CE score on the reasoning tokens (the part `think`), take the ratio of the score on the other
model to the score on the SAE's own model, on the same tokens, under the same bootstrap draws, with as many features
active a token: where that is otherwise, the SAE is brought to the own model's L0 first. With a threshold (0.9 unless
one is given):

- **transfers**: both ratios lie above the threshold with their whole intervals; the CE score lies above that of random
  features, and explained variance and CE score above those of as many principal components, with the whole intervals of
  the differences; and on its own model the autoencoder explains more than `LEAST_OWN` of the variance.
- **transfers after fine-tuning**: not so, but so for the fine-tuned autoencoder.
- **does not transfer**: a ratio lies below the threshold with its whole interval (after fine-tuning too, where there is
  one), or the autoencoder lies below random features or principal components with a whole interval.
- **undecided**: an interval holds the threshold: more chains decide it. So too where there are no reasoning tokens,
  where the autoencoder explains too little on its own model (there is nothing to transfer), where more features are
  active here although it was tried to match them (more explain more), and below five problems, whatever their rollouts
  say: rollouts of one problem are alike.

Ratios, because a score on the other model says nothing by itself: what is attainable differs by model, layer and L0
(Kissane et al. 2024, "SAEs (usually) transfer between base and chat models", compare so too). Two scores, because
Kissane et al. found few tokens of unusual norm to break the spliced loss where the rest is reconstructed well. 0.9 is a
convention of this project, and so are `LEAST_OWN` and `MORE`; the ratios are told with their intervals, so that another
threshold can be applied. L0 is told beside them, matched and as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cotlab.saes.redraws import Redraws
from cotlab.saes.scores import ArmSums, Metric, Numbers, Where
from cotlab.stats import Estimate

__all__ = ["THRESHOLD", "Recovery", "Verdict", "decide", "recovery"]

THRESHOLD = 0.9
LEAST_OWN = 0.5
"""Explained variance on its own model below which an autoencoder has nothing to transfer."""
MORE = 0.1
"""Share by which L0 may lie above the own model's where something transfers."""
DECIDING: tuple[Metric, ...] = ("explained_variance", "ce_score")
Word = Literal["transfers", "transfers after fine-tuning", "does not transfer", "undecided"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How much of the own model's scores an autoencoder keeps on the other model."""

    ratios: dict[Metric, Estimate]
    over_random: Estimate
    """CE score minus that of random features, on the other model."""
    over_pca: Estimate
    """CE score minus that of principal components, on the other model."""
    explained_over_pca: Estimate
    """Explained variance minus that of principal components, on the other model."""
    own: Estimate
    """Explained variance on the own model, of the autoencoder as it was."""
    l0: tuple[Estimate, Estimate, Estimate]
    """Features active a token: on the own model, here where they are matched, and here as it is."""
    unit: str = "problems"
    """What the intervals draw again."""
    part: Where = "think"
    """Whose tokens are compared."""

    def word(self, threshold: float) -> Literal["yes", "no", "undecided"]:
        """Whether it transfers."""
        if self.open:
            return "undecided"
        over = (self.over_random, self.over_pca, self.explained_over_pca)
        asked = [(ratio, threshold) for ratio in self.ratios.values()] + [(one, 0.0) for one in over]
        if all(estimate.low is not None and estimate.low > least for estimate, least in asked):
            return "undecided" if self.more_active else "yes"
        if any(estimate.high is not None and estimate.high < least for estimate, least in asked):
            return "no"
        return "undecided"

    @property
    def open(self) -> str:
        """Why nothing is decided, whatever the ratios are; "" where they decide."""
        if self.part == "all":
            return "the rollouts have no reasoning tokens: nothing is decided"
        if self.unit != "problems":
            return "fewer than five problems, and rollouts of one problem are alike: nothing is decided"
        if self.own.low is None or self.own.low <= LEAST_OWN:
            return f"it explains {_told(self.own)} on its own model, {LEAST_OWN:g} are asked: nothing is decided"
        return ""

    @property
    def more_active(self) -> str:
        """Why that it transfers cannot be said: more features are active here. "" where they are not."""
        before, here, _ = (one.value for one in self.l0)
        if before is not None and here is not None and here > (1 + MORE) * before:
            return f"L0 could not be matched ({here:.1f}, on the own model {before:.1f}): that it transfers is not said"
        return ""

    def line(self) -> str:
        """The numbers that decide."""
        ev, ce = (_told(self.ratios[metric]) for metric in DECIDING)
        before, here, as_it_is = (f"{one.value:.1f}" if one.value is not None else "not known" for one in self.l0)
        also = "" if here == as_it_is else f" (as it is {as_it_is})"
        return (
            f"explained variance {ev} and CE score {ce} of the own model's, CE score {_told(self.over_random)} above "
            f"random features and {_told(self.over_pca)} above PCA, explained variance "
            f"{_told(self.explained_over_pca)} above PCA; L0 {here}{also}, on the own model {before}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told: dict[str, Any] = {metric: estimate.to_json() for metric, estimate in self.ratios.items()}
        names = ("over_random", "over_pca", "explained_over_pca", "own")
        told |= {name: getattr(self, name).to_json() for name in names}
        l0 = dict(zip(("own", "here", "as_it_is"), (one.to_json() for one in self.l0), strict=True))
        return {**told, "l0": l0, "unit": self.unit}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one autoencoder."""

    hook: str
    word: Word
    line: str
    """Word and numbers, for people."""
    part: Where
    threshold: float
    recoveries: dict[str, Recovery]
    """By condition: transferred, and fine-tuned where there is one."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        recoveries = {name: its.to_json() for name, its in self.recoveries.items()}
        own = {"hook": self.hook, "verdict": self.word, "line": self.line, "part": self.part}
        return {**own, "threshold": self.threshold, "recovered": recoveries}


def recovery(
    arm: ArmSums, as_it_is: ArmSums, own: ArmSums, random: ArmSums, pca: ArmSums, part: Where, redraws: Redraws
) -> Recovery:
    """What an autoencoder keeps, all under the same draws.

    Args:
        arm: On the other model, at the L0 of its own.
        as_it_is: The same with its own thresholds, or k.
        own: On its own model.
        random: Random features.
        pca: Principal components.
        part: Whose tokens.
        redraws: The draws.
    """

    def ratio(metric: Metric) -> Estimate:
        return redraws.estimate(
            lambda w: _over(arm.drawn(metric, part, redraws, w), own.drawn(metric, part, redraws, w)),
            method=f"paired bootstrap over {redraws.unit}",
        )

    def above(other: ArmSums, metric: Metric = "ce_score") -> Estimate:
        return redraws.estimate(
            lambda w: arm.drawn(metric, part, redraws, w) - other.drawn(metric, part, redraws, w),
            method=f"paired bootstrap over {redraws.unit}",
        )

    return Recovery(
        {metric: ratio(metric) for metric in DECIDING},
        above(random),
        above(pca),
        above(pca, "explained_variance"),
        own.estimate("explained_variance", part, redraws),
        (own.estimate("l0", part, redraws), arm.estimate("l0", part, redraws), as_it_is.estimate("l0", part, redraws)),
        redraws.unit,
        part,
    )


def decide(hook: str, part: Where, threshold: float, recoveries: dict[str, Recovery]) -> Verdict:
    """The verdict.

    Args:
        hook: Of the autoencoder.
        part: Whose tokens decide.
        threshold: On the ratios.
        recoveries: `transferred`, and `fine-tuned` where it was.
    """
    before = recoveries["transferred"].word(threshold)
    after = recoveries["fine-tuned"].word(threshold) if "fine-tuned" in recoveries else None
    word: Word
    if before == "yes":
        word, of = "transfers", "transferred"
    elif after == "yes":
        word, of = "transfers after fine-tuning", "fine-tuned"
    else:
        of = "transferred" if after is None else "fine-tuned"
        word = "does not transfer" if (after or before) == "no" else "undecided"
    told = recoveries[of].line()
    if of == "fine-tuned":
        told = f"before: {recoveries['transferred'].line()}; after: {told}"
    line = f"{hook}: {word} (threshold {threshold:g}, part '{part}'): {told}"
    said = recoveries[of].open or (recoveries[of].more_active if word == "undecided" else "")
    line += f"; {said}" if said else ""
    if word != "transfers" and after is None:
        line += "; fine-tuning was not tried"
    return Verdict(hook, word, line, part, threshold, recoveries)


def _over(above: Numbers, below: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _told(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"not known ({estimate.reason})"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
