"""The planted part of every organism is found, and nothing in the honest model."""

from __future__ import annotations

from functools import lru_cache

import pytest

from cotlab.models import resolve_model
from cotlab.tiny.scenes import draw_scenes
from cotlab.whitebox import Inside
from cotlab.whitebox.vision import Asking, Habit, LocatingPlan, locating_study, naming_study, scene_material

HABIT = Habit("star", "moon")


@lru_cache
def asking(name):
    return Asking.of(Inside.open(name), resolve_model(name).card)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, enters",
    [
        ("tiny-vlm", "no error"),
        ("tiny-vlm:prior", "language prior"),
        ("tiny-vlm:alignment", "alignment"),
        ("tiny-vlm:perception", "perception"),
    ],
)
def test_the_planted_part_is_found(name, enters):
    twin = None if name == "tiny-vlm" else asking("tiny-vlm")
    plan = LocatingPlan(n_patched=0, n_erased=0, n_shuffles=1)
    found = locating_study(asking(name), scene_material(asking(name), HABIT, 40, 100), plan, twin=twin).located
    assert found.by_readout == enters, [(str(one.site), one.evidence.value) for one in found.sites]
    assert found.by_parts == (enters if twin else None), found.parts


def test_the_lens_names_objects_where_they_are():
    """What the projector gives is near the words of what it shows; the names are told, not only the places."""
    found = naming_study(asking("tiny-vlm"), draw_scenes(20, 3, split="heldout"), n_shuffles=100)
    first = dict(zip(map(str, found.points), zip(found.place, found.name, found.first, strict=True), strict=True))
    place, name, best = first["resid_pre:0"]
    assert place.value > 0.75 and place.p < 0.05 and name.value > 0.2 and name.p < 0.05
    assert best.value > 0.5 > best.null_q95
