"""Pictures of a user's own in pairs: the same numbers as on scenes, and one line for what is wrong."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as pil
from vision_asking import small, with_other

from cotlab.errors import DataError
from cotlab.whitebox.vision import (
    Habit,
    LocatingPlan,
    fit_readout,
    locating_study,
    patch_cases,
    read_pairs,
    scene_material,
    write_pairs,
)
from cotlab.whitebox.vision.erasing import erase_cases
from cotlab.whitebox.vision.readout import read_out, score_cases

PLAN = LocatingPlan(n_patched=2, n_erased=2, n_directions=2, n_shuffles=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("pairs")


@pytest.fixture(scope="module")
def asking(root):
    return small(root)


@pytest.fixture(scope="module")
def scenes(asking):
    return scene_material(asking, Habit("star", "moon"), 5, 24)


@pytest.fixture(scope="module")
def written(root, scenes):
    return write_pairs(root / "written", scenes)


def test_scenes_as_a_file_of_pairs_give_the_same_numbers(root, asking, scenes, written):
    read = read_pairs(written, asking)
    assert read.no_readout is None and len(read.cases) == 5 and len(read.taught) == 24
    twin = with_other(root, "encoder")
    mine, its = (locating_study(asking, material, PLAN, twin=twin).to_json() for material in (scenes, read))
    assert mine["sites"] == its["sites"] and mine["parts"] == its["parts"] and mine["error"] == its["error"]
    assert mine["null_rates"] == its["null_rates"] and mine["verdict"] == its["verdict"]
    assert {name: mine["yes"][name] for name in ("primed", "control", "there")} == its["yes"]
    assert [one.restored for one in patch_cases(asking, scenes.cases)] == [
        one.restored for one in patch_cases(asking, read.cases)
    ]
    readout = fit_readout(asking, read.taught)
    mine, its = (erase_cases(asking, readout, cases[:2], n_directions=2) for cases in (scenes.cases, read.cases))
    assert mine == its and mine[0].random.n == mine[0].error.n


def rows_of(folder):
    """Pictures with squares: what sets the error off in one place, the thing itself in another."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        plain = rng.integers(0, 80, (30, 40, 3), dtype=np.uint8)
        marked = plain.copy()
        marked[5:15, 10:20] = 255
        for name, picture in ((f"{number}", marked), (f"{number}-bare", plain)):
            pil.fromarray(picture).save(folder / f"{name}.png")
        answer = "no" if number < 6 else "yes"
        rows.append({"image": f"{number}.png", "changed": f"{number}-bare.png", "question": "A dog?", "answer": answer})
    return rows


def write(folder, rows):
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_regions_are_where_pictures_differ_and_photographs_are_learnt_or_judged(tmp_path, asking):
    rows = rows_of(tmp_path / "own")
    found = read_pairs(write(tmp_path / "own", rows), asking)
    assert len(found.cases) == 6 + 3 and found.no_readout == "6 pictures teach it, at least 20 are needed"
    region = np.zeros((30, 40), dtype=bool)
    region[5:15, 10:20] = True
    assert all(np.array_equal(case.region, region) for case in found.cases)
    assert [sorted(case.prefixes) for case in found.cases] == [["control", "primed"]] * 6 + [["control", "there"]] * 3
    study = locating_study(asking, found, PLAN)
    assert study.located.sites == () and study.erased == () and study.nulls == ()
    assert study.located.by_readout in ("no error", "undecided") and study.located.error.n == 6
    rows[0] |= {"region": [0, 0, 40, 10]}
    rows[7] |= {"question": "A cat?"}
    asked = read_pairs(write(tmp_path / "own", rows), asking)
    assert asked.cases[0].region.sum() == 400 and "2 different questions" in asked.no_readout
    assert asked.asked == "A dog? (and 1 more questions)"


def test_cases_that_lack_a_version_count_where_they_can(asking, scenes):
    """The error of some, the real thing of others: the same as of both apart."""
    from dataclasses import replace

    whole = scenes.cases
    readout = fit_readout(asking, scenes.taught)
    both = [replace(one, prefixes={v: one.prefixes[v] for v in ("primed", "control", "there")}) for one in whole]
    lacking = [
        replace(one, prefixes={v: p for v, p in one.prefixes.items() if v != left})
        for one, left in zip(both, ["there", "there", "there", "primed", "primed"], strict=True)
    ]
    scores = score_cases(asking, readout, lacking)
    for place, site in enumerate(read_out(readout, scores)):
        every = score_cases(asking, readout, both)
        primed, control, there = (every.of(place, version) for version in ("primed", "control", "there"))
        wanted = (primed - control)[:3].mean() / (there - control)[3:].mean()
        assert site.evidence.n == 3 or site.evidence.value is None
        if site.evidence.value is not None:
            assert site.evidence.value == pytest.approx(wanted)


@pytest.mark.parametrize("named", [True, False])
def test_no_picture_of_what_teaches_is_judged(tmp_path, asking, named):
    """Photographs with both answers, whose rows share the picture without: they teach or are judged, as a whole."""
    rows = []
    for number, row in enumerate(rows_of(tmp_path / "own")):
        for answer, picture in (("no", f"{number}-off.png"), ("yes", row["image"])):
            rows.append({**row, "image": picture, "answer": answer, **({"case": f"{number}"} if named else {})})
        with pil.open(tmp_path / "own" / row["image"]) as shown:
            shown.transpose(pil.Transpose.ROTATE_180).save(tmp_path / "own" / f"{number}-off.png")
    found = read_pairs(write(tmp_path / "own", rows), asking)
    assert found.no_readout == "12 pictures teach it, at least 20 are needed"
    assert sum("primed" in case.prefixes for case in found.cases) == 6
    rows += [{**row, "image": f"more-{i}.png", "case": f"more {i}"} for i, row in enumerate(rows[1::2] * 2)]
    for number, row in enumerate(rows[24:]):
        rng = np.random.default_rng(number)
        for key, name in (("image", row["image"]), ("changed", f"bare-{row['image']}")):
            row[key] = name
            pil.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(tmp_path / "own" / name)
    found = read_pairs(write(tmp_path / "own", rows), asking)
    assert found.no_readout is None and len(found.taught) == 2 * (6 + 12)
    judged = {image.id for case in found.cases for prefix in case.prefixes.values() for image in prefix.images}
    assert not judged & {image.id for one in found.taught for image in one.prefix.images}
    assert len({case.id for case in found.cases}) == 6 + 12  # a photograph is one cluster, however many rows it has


def test_the_first_cases_with_an_error_are_patched(asking, scenes, monkeypatch):
    """Cases without one that stand first in the file take no place of theirs, and are erased as real."""
    from dataclasses import replace

    from cotlab.whitebox.vision import study

    def only(case, *versions):
        return replace(case, prefixes={version: case.prefixes[version] for version in versions})

    real = [only(case, "control", "there") for case in scenes.cases[:3]]
    erring = [only(case, "control", "primed") for case in scenes.cases[:3]]
    material = replace(scenes, cases=(*real, *erring))
    taken = {}
    monkeypatch.setattr(study, "erase_cases", lambda _, readout, cases, **how: taken.update(erased=cases) or ())
    monkeypatch.setattr(study, "patch_cases", lambda _, cases, **how: taken.update(patched=cases) or ())
    monkeypatch.setattr(study, "locate", lambda *what, **how: SimpleNamespace(by_parts=None, by_readout="undecided"))
    locating_study(asking, material, PLAN)
    assert taken == {"patched": erring[:2], "erased": [*erring[:2], *real[:2]]}


def test_two_pictures_of_one_photograph_are_not_parted_by_what_is_held_out(asking, scenes, monkeypatch):
    from dataclasses import replace

    from cotlab.whitebox.vision import readout

    taught = [replace(one, id=str(number // 2)) for number, one in enumerate(scenes.taught)]
    n_fit = round(0.7 * len(taught))
    assert taught[n_fit].id == taught[n_fit - 1].id
    held = []
    whole = readout.cluster_auc
    monkeypatch.setattr(
        readout, "cluster_auc", lambda x, y, names, **how: held.append(names) or whole(x, y, names, **how)
    )
    fit_readout(asking, taught)
    assert held[0] == [one.id for one in taught[n_fit + 1 :]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": "maybe"}, "line 2 answer: Input should be 'yes' or 'no', not 'maybe'"),
        ({"changed": None}, "line 2 changed: is missing"),
        ({"changed": "1.png"}, "line 2 changed: '1.png' shows the same pixels"),
        ({"changed": "../1.png"}, "line 2 image '../1.png' lies outside"),
        (
            {"changed": "wide.png"},
            "line 2 changed: 'wide.png' has 60 × 30 pixels and '1.png' has 40 × 30: make them alike",
        ),
        ({"region": [0, 0, 50, 10]}, r"line 2 region: \[0, 0, 50, 10\] is empty or leaves its image of 40 × 30"),
        ({"region": [1, 2]}, "line 2 region: .* is no"),
        ({"region": "wide.png"}, "line 2 region: mask 'wide.png' has 60 × 30 pixels"),
        ({"case": "line 1"}, "case 'line 1' has two rows with answer no"),
        ({"answer": "yes", "changed": None, "teaches": True}, "line 2 region: is missing"),
        ({"region": []}, "line 2 region: is missing"),
        ({"region": "black.png"}, "line 2 region: mask 'black.png' is black all over"),
        ({"region": [[0, 0, 1, 1]] * 65}, "line 2 region: 65 in a list, the limit is 64"),
        (
            {"answer": "yes", "case": "line 1", "teaches": True},
            "case 'line 1' is judged, and a picture of it or its case",
        ),
        (
            {"answer": "yes", "changed": "0-bare.png", "teaches": True},
            "case 'line 1' is judged, and a picture of it",
        ),
    ],
)
def test_a_bad_row_is_one_line(tmp_path, asking, change, told):
    rows = rows_of(tmp_path / "own")
    pil.new("RGB", (60, 30)).save(tmp_path / "own" / "wide.png")
    pil.new("L", (40, 30)).save(tmp_path / "own" / "black.png")
    rows[1] |= change
    with pytest.raises(DataError, match=told) as raised:
        read_pairs(write(tmp_path / "own", rows), asking)
    assert "\n" not in str(raised.value)


def test_files_that_are_none(tmp_path, asking, written, scenes):
    (tmp_path / "bad.jsonl").write_text("{not json}\n")
    (tmp_path / "empty.jsonl").write_text("\n")
    for name, told in (("bad", "line 1"), ("empty", "has no rows"), ("none", "cannot be read")):
        with pytest.raises(DataError, match=told):
            read_pairs(tmp_path / f"{name}.jsonl", asking)
    rows = rows_of(tmp_path / "own")
    with pytest.raises(DataError, match="has 4 cases with answer no, at least 5"):
        read_pairs(write(tmp_path / "own", rows[2:]), asking)
    with pytest.raises(DataError, match="is not empty: name a new one"):
        write_pairs(written.parent, scenes)
    with pytest.raises(DataError, match="cannot be written"):
        write_pairs(tmp_path / "bad.jsonl" / "below", scenes)
