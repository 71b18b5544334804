"""What is read and exchanged inside an image-text model, against transformers' own numbers and assembled models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vision_asking import asking_of, small, with_other
from vision_small import their_inputs, their_model, vlm_folder

from cotlab.errors import DataError, ModelError
from cotlab.interventions import HookPoint
from cotlab.tiny.scenes import counts, draw_scenes
from cotlab.whitebox.vision import Habit, draw_cases, fit_readout, patch_cases, read_image_lens, sites_of, swap_parts
from cotlab.whitebox.vision.erasing import erase
from cotlab.whitebox.vision.image_lens import image_spans, lens_points, word_ids
from cotlab.whitebox.vision.patching import group_rows, put
from cotlab.whitebox.vision.places import covered
from cotlab.whitebox.vision.readout import SiteProbe, scenes_to_teach
from cotlab.whitebox.vision.sites import Site, last_of

HABIT = Habit("star", "moon")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("vision")


@pytest.fixture(scope="module")
def asking(root):
    return small(root)


@pytest.fixture(scope="module")
def cases(asking):
    return draw_cases(asking, HABIT, 6)


def test_shares_of_boxes_are_those_of_their_area():
    rng = np.random.default_rng(0)
    region = rng.random((20, 30)) < 0.4
    corners = rng.random((40, 2, 2)) * [30, 20]
    boxes = np.concatenate([corners.min(1), corners.max(1) + 0.3], 1).clip(0, [30, 20, 30, 20])
    fine = region.repeat(40, 0).repeat(40, 1)  # 40 points a pixel and side
    y, x = (np.arange(n) / 40 + 1 / 80 for n in fine.shape)
    for box, share in zip(boxes, covered(boxes, region), strict=True):
        inside = ((x >= box[0]) & (x < box[2]))[None] & ((y >= box[1]) & (y < box[3]))[:, None]
        assert share == pytest.approx(fine[inside].mean(), abs=0.02)
    assert covered(np.full((1, 4), np.nan), region) == [0]


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_the_lens_is_norm_and_unembedding_of_hidden_states(root, family):
    asking = small(root, family)
    prefix = asking.exists(draw_scenes(1, 0)[0], "star")
    found = read_image_lens(asking.inside, prefix, ["Abc", "xyz"], k=3)
    folder = vlm_folder(root, family)
    model = their_model(folder)
    with torch.no_grad():
        hidden = model(**their_inputs(folder, prefix), output_hidden_states=True).hidden_states
        span = found.span
        for layer, state in enumerate(hidden):
            at = state[0, span.start : span.end]
            normed = at if layer == len(hidden) - 1 else model.model.language_model.norm(at)  # theirs is normed there
            said = model.lm_head(normed).log_softmax(-1)
            best = said.topk(3)
            assert torch.equal(found.top[layer], best.indices)
            assert torch.allclose(found.top_logprob[layer], best.values, atol=1e-4)
            for word, first in enumerate(b"Ax"):  # a token a byte, behind that of the space
                assert torch.allclose(found.word_logprob[layer, :, word], said[:, token(asking, first)], atol=1e-4)
                wanted = (said > said[:, [token(asking, first)]]).sum(1)
                assert torch.equal(found.word_rank[layer, :, word], wanted)
    assert len(hidden) == len(lens_points(asking.inside))
    assert np.isfinite(found.grid(np.arange(span.end - span.start, dtype=float))).all()


def token(asking, byte):
    return asking.inside.tokenizer.encode(chr(byte))[0]


def test_words_that_begin_alike_are_refused(asking):
    with pytest.raises(DataError, match="'star' and 'square' begin with the same token 's'"):
        word_ids(asking.inside.tokenizer, ["star", "square"])


def test_a_text_model_or_prompt_is_refused(asking):
    from inside_small import inside_of, random_model

    prefix = asking.exists(draw_scenes(1, 0)[0], "star")
    with pytest.raises(ModelError, match="sees no images"):
        read_image_lens(inside_of(random_model("llama")), prefix)
    with pytest.raises(DataError, match="no image 1: the prompt shows 1"):
        read_image_lens(asking.inside, prefix, image=1)


def test_versions_of_a_case_differ_in_one_cell(cases):
    for case in cases:
        seen = {version: counts(scene) for version, scene in case.scenes.items()}
        assert [seen[v]["star"] for v in ("without", "primed", "control", "there", "both")] == [0, 1, 0, 0, 1]
        assert [seen[v]["moon"] for v in ("without", "primed", "control", "there", "both")] == [0, 0, 0, 1, 1]
        from cotlab.tiny.scenes import render

        pictures = {version: render(scene) for version, scene in case.scenes.items()}
        for version in ("primed", "control", "there"):
            changed = (pictures[version] != pictures["without"]).any(-1)
            assert changed.any() and not (changed & ~case.region).any()
        assert len({prefix.token_ids for prefix in case.prefixes.values()}) == 1  # only the image differs


@pytest.mark.parametrize("taken", [-1, -2, [0, -2]])
def test_sites_end_where_the_projector_reads(root, asking, taken):
    folder = vlm_folder(root, "llava")
    model = their_model(folder)
    if isinstance(taken, list):
        wide = torch.nn.Linear(64, model.config.text_config.hidden_size)
        model.model.multi_modal_projector.linear_1 = wide
    model.config.vision_feature_layer = taken
    changed = asking_of(model, folder)
    prefix = changed.exists(draw_scenes(1, 0)[0], "star")
    sites = sites_of(changed.inside)
    last = last_of(sites, "encoder").point
    plain = changed.says(prefix)
    assert changed.says(prefix, {last: lambda rows: rows + 1}) != pytest.approx(plain, abs=1e-4)
    if last.layer + 1 < changed.inside.shape.n_vision_layers:
        behind = HookPoint("vision_post", last.layer + 1)
        assert changed.says(prefix, {behind: lambda rows: rows + 1}) == plain
    assert [site.part for site in sites] == sorted(
        (s.part for s in sites), key=["encoder", "projector", "decoder"].index
    )


def test_the_groups_of_rows_are_all_that_a_run_has(asking, cases):
    """Put in together, they give the other run; patched alone, each moves what it carries."""
    case = cases[0]
    for site in sites_of(asking.inside)[:-1]:
        source = asking.inside.read(case.prefixes["control"], [site.point])[site.point]
        groups = group_rows(asking, case, site.point)
        rows = torch.cat(list(groups.values()))
        assert sorted(rows.tolist()) == list(range(len(source)))
        said = asking.says(case.prefixes["primed"], {site.point: put(source, rows)})
        assert said == pytest.approx(asking.says(case.prefixes["control"]), abs=1e-4)
    (span,) = image_spans(asking.inside, case.prefixes["primed"])
    boxes = span.layout.tokens.boxes[group_rows(asking, case, HookPoint("projector", 0))["cell"].numpy()]
    assert (covered(boxes, case.region) > 0).all()


def test_patching_brings_the_other_answer_back(asking, cases):
    found = {(str(one.site), one.group): one.restored for one in patch_cases(asking, cases)}
    last = f"resid_post:{asking.inside.shape.n_layers - 1}"
    for at in cases[:1]:
        assert at.id
    if found:  # random weights: as many cases as move the answer by half a nat
        assert found[last, "last"].value is None or found[last, "last"].value == pytest.approx(1, abs=1e-3)
        assert found[last, "text"].value is None or found[last, "text"].value == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("arm, parts", [("encoder", ["encoder"]), ("projector", ["encoder", "projector"])])
def test_exchanged_parts_are_a_model_with_these_parts(root, asking, cases, arm, parts):
    twin = with_other(root, "encoder", "projector", "decoder")
    assembled = with_other(root, *parts)
    found = swap_parts(asking, twin, cases[:3])
    wanted = [[assembled.says(case.prefixes[version]) for case in cases[:3]] for version in ("primed", "control")]
    assert found.odds[arm] == pytest.approx(np.array(wanted), abs=1e-4)
    assert np.abs(found.odds[arm] - found.odds[None]).max() > 0.01
    assert found.odds["decoder"][0, 0] == pytest.approx(twin.says(cases[0].prefixes["primed"]))


def test_a_twin_of_another_shape_is_refused(root, asking, cases):
    with pytest.raises(ModelError, match="is no twin"):
        swap_parts(asking, small(root, "qwen2_5_vl"), cases)


def test_erasing_takes_the_evidence_and_nothing_else():
    rng = np.random.default_rng(0)
    from cotlab.stats import Estimate

    weight, direction = rng.standard_normal(8), rng.standard_normal(8)
    direction *= np.sign(weight @ direction)
    probe = SiteProbe(
        Site(HookPoint("projector", 0), "projector"), weight, 0.3, direction, -1.0, Estimate.missing("not judged")
    )
    rows = torch.from_numpy(rng.standard_normal((30, 8)) * 2)
    after = erase(probe, slice(5, 25))(rows)
    before, left = probe.logits(rows), probe.logits(after)
    assert left[5:25].max() <= -1 + 1e-9 and (before[5:25] > 0).any()
    kept = np.r_[:5, 25:30, 5 + np.flatnonzero(before[5:25] <= -1)]
    assert torch.equal(after[kept], rows[kept])
    moved = (after - rows)[5:25].numpy()
    assert np.abs(moved - (moved @ direction)[:, None] * direction / (direction @ direction)).max() < 1e-9
    other = (erase(probe, slice(5, 25), np.random.default_rng(1).standard_normal(8))(rows) - rows)[5:25].numpy()
    assert np.linalg.norm(other, axis=1) == pytest.approx(np.linalg.norm(moved, axis=1))
    assert probe.logits(torch.from_numpy(other)).max() > -0.7  # as far, and not out of the evidence


def test_a_readout_finds_a_shape_that_the_projector_marks(root):
    """A projector that adds a direction at the tokens of moons: read there and behind it, not before."""
    asking = small(root)
    projector = HookPoint("projector", 0)
    direction = torch.from_numpy(np.random.default_rng(0).standard_normal(asking.inside.shape.d_model)).float()

    class Marking:
        """The model's inside, its projector marking moons."""

        def __init__(self, inside):
            self.inside = inside

        def __getattr__(self, name):
            return getattr(self.inside, name)

        def read(self, prefix, points):
            rows = self.inside.read(prefix, points)
            picture = np.asarray(prefix.images[0].open())
            (span,) = image_spans(self.inside, prefix)
            on = covered(span.layout.tokens.boxes, moons[picture.tobytes()]) >= 0.15
            rows[projector] = rows[projector] + 3 * torch.from_numpy(on)[:, None] * direction
            return rows

    from dataclasses import replace

    from cotlab.tiny.scenes import mask_of, render
    from cotlab.whitebox.vision.cases import free_scenes

    scenes = free_scenes(HABIT, 40)
    moons = {
        render(scene).tobytes(): sum(
            (mask_of(scene, o) for o in scene.objects if o.shape == "moon"), np.zeros((48, 48), bool)
        )
        for scene in scenes
    }
    marking = replace(asking, inside=Marking(asking.inside))
    found = fit_readout(marking, scenes_to_teach(marking, HABIT, 40))
    by_site = {str(probe.site): probe for probe in found.probes}
    assert by_site["projector:0"].readable.value == 1.0
    assert by_site["vision_post:0"].readable.value < 0.95
    cosine = by_site["projector:0"].direction @ direction.numpy() / np.linalg.norm(by_site["projector:0"].direction)
    assert cosine / float(direction.norm()) > 0.9


def test_a_model_without_images_has_no_sites():
    from inside_small import inside_of, random_model

    with pytest.raises(ModelError, match="sees no images"):
        sites_of(inside_of(random_model("qwen2")))
