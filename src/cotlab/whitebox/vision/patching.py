"""Activation patching from one picture's run into another's, site by site, for groups of rows.

The run on `primed` says that the second shape is there; that on `control`, which differs from it in one object, does
not. Activations of the second are put into the first, at one site, for one group of rows, and the log odds of Yes are
read: 1 where that alone takes the error away, 0 where nothing. It says where the *first* shape's influence is carried:
in every model it comes in by the image, at the rows of the cell; where it has left them, others carry it.

| group | encoder and projector | decoder |
|---|---|---|
| cell | rows in the cell (the region) where the pictures differ | image tokens there |
| other image | all other rows | all other image tokens |
| text | – | tokens of the question up to the last but one |
| last | – | the last token of the prompt |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from cotlab.interventions.hook_points import HookPoint
from cotlab.stats import Estimate, cluster_mean
from cotlab.whitebox.inside import Change
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import Case, Version
from cotlab.whitebox.vision.image_lens import image_spans
from cotlab.whitebox.vision.places import covered, rows_of
from cotlab.whitebox.vision.sites import Site, sites_of

__all__ = ["GROUPS", "Group", "SitePatch", "group_rows", "patch_cases", "put", "put_all"]

Group = Literal["cell", "other image", "text", "last"]
GROUPS: tuple[Group, ...] = get_args(Group)
LEAST = 0.5
"""Nats between the two runs; below that there is nothing to restore."""


@dataclass(frozen=True, slots=True)
class SitePatch:
    """What one group of rows at one site carries of the error."""

    site: Site
    group: Group
    restored: Estimate
    """Share of the difference in log odds between the two runs; mean over cases."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"site": str(self.site), "part": self.site.part, "group": self.group}
        return {**told, "restored": self.restored.to_json()}


def group_rows(asking: Asking, case: Case, point: HookPoint) -> dict[Group, Tensor]:
    """Rows of each group at a hook point, as indices."""
    prefix = case.prefixes["primed"]
    (span,) = image_spans(asking.inside, prefix)
    cell = covered(rows_of(point, span.layout), case.region) > 0
    first = 0 if point.is_vision else span.start
    found: dict[Group, Tensor] = {
        "cell": torch.from_numpy(np.flatnonzero(cell)) + first,
        "other image": torch.from_numpy(np.flatnonzero(~cell)) + first,
    }
    if not point.is_vision:
        n = len(prefix.token_ids)
        found["text"] = torch.tensor([i for i in range(n - 1) if not span.start <= i < span.end])
        found["last"] = torch.tensor([n - 1])
    return found


def put(source: Tensor, rows: Tensor) -> Change:
    """The change that puts rows of another run into one."""

    def change(value: Tensor) -> Tensor:
        patched = value.clone()
        patched[rows] = source[rows]
        return patched

    return change


def put_all(source: Tensor) -> Change:
    """The change that puts another run's activations in the place of all."""
    return lambda value: source.to(value)


def patch_cases(
    asking: Asking,
    cases: Sequence[Case],
    *,
    source: Version = "control",
    into: Version = "primed",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SitePatch, ...]:
    """Patch every site and group, one at a time.

    Args:
        asking: The model.
        cases: Those that lack one of the two, or whose runs differ by less than half a nat, are left out.
        source: Whose activations are taken.
        into: The run that they are put into.
        progress: Told cases done and in all.
    """
    sites = sites_of(asking.inside)
    shares: dict[tuple[Site, Group], list[float]] = {}
    names: list[str] = []
    cases = [case for case in cases if source in case.prefixes and into in case.prefixes]
    for number, case in enumerate(cases, 1):
        start, goal = (asking.says(case.prefixes[version]) for version in (into, source))
        if abs(start - goal) >= LEAST:
            names.append(case.id)
            read = asking.inside.read(case.prefixes[source], [site.point for site in sites])
            for site in sites:
                for group, rows in group_rows(asking, case, site.point).items():
                    said = asking.says(case.prefixes[into], {site.point: put(read[site.point], rows)})
                    shares.setdefault((site, group), []).append((said - start) / (goal - start))
        if progress:
            progress(number, len(cases))
    return tuple(SitePatch(site, group, cluster_mean(its, names, n_boot=2000)) for (site, group), its in shares.items())
