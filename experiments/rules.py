"""What counts as found: one rule for what is reported and for what is run on shuffled labels."""

from __future__ import annotations

from cotlab.stats import Estimate

__all__ = ["NEGLIGIBLE", "absent", "read_off", "reads_beyond", "told_apart"]

NEGLIGIBLE = 0.2
"""A difference of rates below this is taken for none: stated before anything was measured."""


def told_apart(one: Estimate, sign: int = 0) -> bool:
    """Whether p < .05 and the whole interval is on one side of 0 (on that of `sign`, where there is one)."""
    if one.p is None or one.low is None or one.high is None or one.p >= 0.05:
        return False
    return (one.low > 0 and sign >= 0) or (one.high < 0 and sign <= 0)


def absent(one: Estimate, margin: float = NEGLIGIBLE, centre: float = 0.0) -> bool:
    """Whether an effect is shown to be none: the whole interval less than `margin` from `centre`.

    An interval of 90% or wider that lies inside is two one-sided tests that both reject at 5% (Schuirmann 1987); of
    several rows that must all be inside none needs a correction (Berger 1982). That p is not small shows nothing.

    Raises:
        ValueError: The interval is narrower than that.
    """
    if one.level < 0.9:
        raise ValueError(f"the interval is one of {one.level:.0%}, two one-sided tests at 5% take 90% or more")
    return one.low is not None and one.high is not None and max(centre - one.low, one.high - centre) < margin


def read_off(one: Estimate) -> bool:
    """Whether an AUC tells a label: p < .05 and the whole interval above one half and above the null's mean.

    Labels that are moved along responses keep how many of them each response has, so the null may lie above one half.
    """
    return one.p is not None and one.low is not None and one.p < 0.05 and one.low > max(0.5, one.null_mean or 0.0)


def reads_beyond(one: Estimate) -> bool:
    """Whether a reader tells a label beyond the words: the whole interval of the difference above 0 and the null mean.

    A reader that tells problems apart, and not when in a response, is ahead of the words by as much on moved labels.
    """
    return one.low is not None and one.low > max(0.0, one.null_mean or 0.0)
