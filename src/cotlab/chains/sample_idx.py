"""Sample indices that are kept for rollouts which are no draws of a value, in ranges that do not meet.

Draws are numbered from 0. What was looked at to choose a problem or a chain, or was drawn under another plan, has its
own range, so that no measure counts it and the same plan finds it again.
"""

from __future__ import annotations

__all__ = ["ALONE", "APART", "AVOIDING", "CHOOSING", "SCREENING"]

APART = 500_000
"""First of all of them: a rollout numbered so, or higher, is no draw."""
ALONE = APART
"""Temperature-0 controls that are drawn one by one."""
SCREENING = 1_000_000
"""Rollouts that problems are chosen by."""
CHOOSING = 2_000_000
"""Rollouts that chains are chosen from."""
AVOIDING = 3_000_000
"""Trails that never say some step."""
