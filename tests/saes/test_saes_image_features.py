"""Features on images: regions, likeness, what carries an error, against numbers worked out otherwise."""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from vision_asking import small

from cotlab.categories import ChatServer
from cotlab.chains.image import Image
from cotlab.chains.image_layout import Window
from cotlab.errors import DataError, UserError
from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes.vision import (
    AskedSet,
    ChoosingSets,
    FeaturePlan,
    ImageFirings,
    ReadImage,
    Reduction,
    Setting,
    asked_anything,
    asked_cases,
    attribute_masks,
    carrying_features,
    cases_apart,
    choose_setting,
    feature_change,
    interpret_image_feature,
    monosemanticity,
    read_image_firings,
    reduce_errors,
    reduces,
    region_fits,
    scene_embeddings,
)
from cotlab.saes.vision.carrying import Carrying, attribution
from cotlab.saes.vision.steering import _result
from cotlab.saes.vision.study import _Questions
from cotlab.tiny.scenes import ask_exists, draw_scenes, png, visible
from cotlab.whitebox.vision import Habit, draw_cases, image_spans, on_region, one_cell_apart

POINT = HookPoint("resid_post", 1)
PATCHES = Window(48, 48, (1.0, 1.0)).patches(range(6), range(6), 8)


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    return small(tmp_path_factory.mktemp("sae-vision"))


def sae_at(point, width, n=24, seed=0):
    """Random features, a few of which are active at a row."""
    rng = torch.Generator().manual_seed(seed)
    directions = torch.randn(n, width, generator=rng)
    directions /= directions.norm(dim=1, keepdim=True)
    card = SAECard(point, "relu", name="random")
    return SparseAutoencoder(card, directions.T.contiguous(), torch.full((n,), -1.5), directions, torch.zeros(width))


def firings_of(scenes, columns):
    """Features that are active where a function says so: (scene number, rows on attribute) to activations (36,)."""
    parts, images = [], []
    for number, scene in enumerate(scenes):
        masks = attribute_masks(scene)
        on = {name: on_region(PATCHES.boxes, mask) for name, mask in masks.items()}
        parts.append(np.stack([column(number, on) for column in columns], axis=1))
        images.append(ReadImage(Image(png(scene)), PATCHES, (6, 6)))
    card = SAECard(HookPoint("projector", 0), "relu")
    return ImageFirings(card, "made", tuple(images), csr_matrix(np.concatenate(parts)))


NOWHERE = np.zeros(36, dtype=bool)


@pytest.fixture(scope="module")
def planted():
    scenes = draw_scenes(80, 1)
    rng = np.random.default_rng(0)
    columns = [
        lambda i, on: 2.0 * on.get("star", NOWHERE),
        lambda i, on: np.where(on.get("red", NOWHERE), 1 + rng.random(36), 0.1 * (rng.random(36) < 0.2)),
        lambda i, on: rng.random(36) * (rng.random(36) < 0.1),
        lambda i, on: 1.0 * (on.get("circle", NOWHERE) | on.get("moon", NOWHERE)),
        lambda i, on: np.zeros(36),
    ]
    return scenes, firings_of(scenes, columns)


def test_regions_are_of_what_was_planted(planted):
    scenes, firings = planted
    found = {one.feature: one for one in region_fits(firings, [attribute_masks(scene) for scene in scenes])}
    assert (found[0].attribute, found[0].iou.value) == ("star", 1.0)
    assert (found[1].attribute, found[1].iou.value) == ("red", 1.0)  # what is below a quarter of the largest is not in
    assert found[0].iou.q < 0.05 and found[1].iou.q < 0.05 and found[0].others < 0.3
    assert found[2].iou.q > 0.05 and found[2].iou.value < 0.4
    assert 0.2 < found[3].iou.value < 0.9 and found[3].iou.low < found[3].iou.value < found[3].iou.high
    assert 4 not in found


def test_iou_is_rows_in_both_over_rows_in_either(planted):
    scenes, firings = planted
    masks = [attribute_masks(scene) for scene in scenes]
    one = next(fit for fit in region_fits(firings, masks, seed=3) if fit.feature == 3)
    held = np.ones(80, dtype=bool)
    held[np.random.default_rng(3).permutation(80)[:40]] = False
    both = either = 0
    for number in np.flatnonzero(held):
        mine = firings.heat(3, number) > 0.25
        theirs = on_region(PATCHES.boxes, masks[number].get(one.attribute, np.zeros((48, 48), dtype=bool)))
        both, either = both + (mine & theirs).sum(), either + (mine | theirs).sum()
    assert one.iou.value == pytest.approx(both / either)


def test_masks_of_other_images_fit_nothing(planted):
    scenes, firings = planted
    masks = [attribute_masks(scene) for scene in scenes]
    found = region_fits(firings, masks[40:] + masks[:40])
    assert all(one.iou.q > 0.05 for one in found)
    with pytest.raises(DataError, match="80 images of .* and 79 sets of masks"):
        region_fits(firings, masks[1:])


def test_top_images_and_maps(planted):
    scenes, firings = planted
    top = firings.top(0, 5)
    assert len(top) == 5 and all(any(o.shape == "star" for o in visible(scenes[i])) for i in top)
    grid = firings.grid(0, top[0])
    assert np.array_equal(grid.ravel(), firings.heat(0, top[0]))
    with pytest.raises(DataError, match="no feature 99"):
        firings.heat(99, 0)


def test_the_score_is_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    active = rng.random((12, 6)) * (rng.random((12, 6)) < 0.5)
    active[:, 4] = 0
    active[:, 5] = rng.random(12) + 0.5  # active everywhere: its least is taken off
    embeddings = rng.standard_normal((12, 5))
    found = monosemanticity(csr_matrix(active), embeddings, n_shuffles=20)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    for feature in range(6):
        a = active[:, feature]
        if not a.any():
            assert np.isnan(found.score[feature]) and np.isnan(found.p[feature])
            continue
        a = (a - a.min()) / (a.max() - a.min())
        over = sum(a[i] * a[j] * (unit[i] @ unit[j]) for i, j in itertools.combinations(range(12), 2))
        under = sum(a[i] * a[j] for i, j in itertools.combinations(range(12), 2))
        assert found.score[feature] == pytest.approx(over / under)


def test_a_feature_of_one_shape_is_more_alike_than_chance(planted):
    scenes, firings = planted
    found = monosemanticity(firings.by_image, scene_embeddings(scenes))
    assert found.score[0] > found.null_q95[0] and found.p[0] < 0.05
    assert found.p[2] > 0.05
    with pytest.raises(DataError, match="are zero or not finite"):
        monosemanticity(firings.by_image, np.zeros((80, 3)))


@pytest.mark.parametrize("point", [POINT, HookPoint("projector", 0), HookPoint("vision_post", 1)])
def test_rows_of_images_are_read_as_the_model_gives_them(asking, point):
    sae = sae_at(point, point.width(asking.inside.shape))
    prefixes = [asking.exists(scene, "star") for scene in draw_scenes(3, 0)]
    found = read_image_firings(asking.inside, sae, prefixes)
    for number, prefix in enumerate(prefixes):
        (span,) = image_spans(asking.inside, prefix)
        rows = asking.inside.read(prefix, [point])[point]
        rows = rows if point.is_vision else rows[span.start : span.end]
        wanted = sae.encode(rows).numpy()
        start, end = found.starts[number : number + 2]
        assert np.asarray(found.active[start:end].todense()) == pytest.approx(wanted, abs=1e-5)
    assert found.grid(0, 0).shape == (4, 4)


def test_attribution_is_the_slope_of_ablating(asking):
    """To first order: ablating a hundredth of a feature takes a hundredth of its attribution away."""
    sae = sae_at(POINT, asking.inside.shape.d_model)
    prefix = asking.exists(draw_scenes(1, 0)[0], "star")
    found = attribution(asking, sae, prefix)
    asking.inside.model.double()
    try:
        exact = SparseAutoencoder(
            sae.card, sae.W_enc.double(), sae.b_enc.double(), sae.W_dec.double(), sae.b_dec.double()
        )
        plain = asking.says(prefix)
        for feature in np.argsort(-np.abs(found.effect))[:4].tolist():
            eps = 1e-3
            less = asking.says(prefix, {POINT: feature_change(exact, [feature], "scale", 1 - eps)})
            assert (plain - less) / eps == pytest.approx(found.effect[feature], rel=0.05, abs=1e-3)
    finally:
        asking.inside.model.float()


def test_changes_of_features_leave_the_rest():
    sae = sae_at(POINT, 16)
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(3)) * 2
    active = sae.encode(x)
    feature = int(active.sum(0).argmax())
    a, d = active[:, feature, None], sae.W_dec[feature]
    assert torch.allclose(feature_change(sae, [feature])(x), x - a * d, atol=1e-5)
    assert torch.allclose(feature_change(sae, [feature], "scale", 3.0)(x), x + 2 * a * d, atol=1e-5)
    assert torch.allclose(feature_change(sae, [feature], "clamp", 0.5)(x), x + (0.5 - a) * d, atol=1e-5)


def test_a_planted_feature_carries_the_error_and_is_reduced(asking):
    """A direction is added to the residual stream where a star and no moon is; the feature along it is found."""
    import dataclasses

    sae = sae_at(POINT, asking.inside.shape.d_model)
    inside, feature = asking.inside, 7
    direction = sae.W_dec[feature]
    cases = draw_cases(asking, Habit("star", "moon"), 8)
    primed = {case.prefixes["primed"].id for case in cases}
    fixed = 3 * sae.W_dec[[1, 2, 11, 12]].sum(0)

    class Planted:
        def __getattr__(self, name):
            return getattr(inside, name)

        def logits(self, prefix, changes=None):
            n = len(prefix.token_ids)
            x = inside.read(prefix, [POINT])[POINT].clone() * 0.05 + fixed
            if prefix.id in primed:
                x[-1] = x[-1] + 6 * direction
            for change in (changes or {}).values():
                x = change(x)
            said = torch.zeros(n, inside.model.config.text_config.vocab_size)
            odds = x[-1] @ direction - 2 - fixed @ direction
            return said.index_put((torch.tensor([n - 1]), torch.tensor([asking.yes])), odds[None])

        def resumed(self, point, prompts):
            return Going(prompts)

    class Going:
        """As `Resumed`, from the whole pass."""

        def __init__(self, prompts):
            self.prompts = prompts

        def last_logits(self, change, at):
            changes = None if change is None else {POINT: change}
            return torch.stack([planted.inside.logits(self.prompts[number], changes)[-1] for number in at])

    planted = dataclasses.replace(asking, inside=Planted())
    found = carrying_features(planted, sae, cases)
    assert found.chosen(3)[0] == feature
    assert found.q[feature] < 0.05
    listed = [
        (case.id, case.scenes[version], ask_exists(case.scenes[version], "moon"))
        for version in ("primed", "there")
        for case in cases
    ]
    asked = AskedSet.of(planted, listed)
    result = reduce_errors(asked, sae, (feature,), found, n_random=2)
    plain, mine, *others = result.arms
    assert (plain.false_yes.value, mine.false_yes.value) == (1.0, 0.0)
    assert all(arm.false_yes.value == 1.0 for arm in others if arm.name.startswith("random"))
    assert mine.less_false.value == -1.0 and mine.less_true.value == 0.0
    assert [arm.beyond.value for arm in others] == [0.0 - arm.false_yes.value for arm in others]
    assert result.holds == all(arm.beyond.high < 0 for arm in others)
    assert result.holds
    plain = asked.says(POINT, None)
    assert reduces(asked, sae, (feature,), found, plain, n_random=2)
    assert not reduces(asked, sae, found.like((feature,), np.random.default_rng(0)), found, plain, n_random=2)
    mixed = [found.exchanged(np.random.default_rng(seed)) for seed in range(20)]
    assert sum(one.chosen(3) != () for one in mixed) <= 4  # q below 0.05 by chance
    with pytest.raises(DataError, match="no feature is named"):
        reduce_errors(asked, sae, (), found)
    with pytest.raises(DataError, match="the same answer"):
        AskedSet.of(planted, listed[:8])


def test_versions_of_one_case_are_no_evidence_of_their_own():
    """Answers on two versions of a case always agree: twice the questions, no more cases, the same interval."""
    said = np.array([True, False, True, True, False, False, True, False])
    cases = [f"case {i}" for i in range(len(said))]
    by_arm = np.array([np.ones(len(said), bool), said])
    truth = np.zeros(len(said), dtype=bool)
    twice = np.repeat(by_arm, 2, axis=1)
    once = _result("reconstruction", (), said, by_arm, truth, cases, 0)
    double = _result("reconstruction", (), twice[1], twice, np.repeat(truth, 2), np.repeat(cases, 2).tolist(), 0)
    apart = _result(
        "reconstruction", (), twice[1], twice, np.repeat(truth, 2), [f"scene {i}" for i in range(2 * len(said))], 0
    )
    for mine, its, wrong in ((once.less_false, double.less_false, apart.less_false),):
        assert (its.value, its.low, its.high) == pytest.approx((mine.value, mine.low, mine.high))
        assert wrong.high - wrong.low < 0.9 * (its.high - its.low)
    assert double.false_yes.high == pytest.approx(once.false_yes.high, abs=1e-9)


@pytest.mark.parametrize("point", [POINT, HookPoint("resid_post", 2), HookPoint("projector", 0)])
def test_answers_are_those_of_the_whole_pass(asking, point):
    sae = sae_at(point, point.width(asking.inside.shape))
    cases = cases_apart(asking, [Habit("star", "moon")], 3, 0, [])
    asked = AskedSet.of(asking, asked_cases(cases) + asked_anything(5))
    for change in (None, feature_change(sae, [1, 2], "scale", -3.0)):
        wanted = [asking.says(prefix, None if change is None else {point: change}) > 0 for prefix in asked.prefixes]
        assert asked.says(point, change).tolist() == wanted
        some = np.arange(len(asked)) % 3 == 0
        assert asked.says(point, change, some).tolist() == (np.array(wanted) & some).tolist()


def test_questions_where_it_errs_come_by_case(asking):
    cases = cases_apart(asking, [Habit("star", "moon"), Habit("ring", "diamond")], 3, 1, [])
    asked = asked_cases(cases)
    assert [len(set(its)) for its in np.array([one[0] for one in asked]).reshape(-1, 4)] == [1] * 6
    assert len({case for case, _, _ in asked}) == 6 and len({scene.id for _, scene, _ in asked}) == 24


def test_nothing_that_is_chosen_on_is_judged_on(asking):
    plan = FeaturePlan((Habit("star", "moon"),), n_cases=8, n_scenes=10)
    found = _Questions.of(asking, plan)
    mine = [scene for its in found.choosing for scene in its.scenes]
    mine += [scene for case in found.cases for scene in case.scenes.values()]
    its = {scene.id: scene for asked in found.judging for scene in asked.scenes}.values()
    assert len(its) == 4 * 10 + 10 and not any(one_cell_apart(one, other) for one in mine for other in its)
    (case,) = cases_apart(asking, plan.habits, 1, plan.seed + 1, [])
    assert one_cell_apart(case.scenes["primed"], case.scenes["control"])
    assert not one_cell_apart(case.scenes["control"], case.scenes["both"])
    # The first case of a seed is passed over where a scene of it, or a twin of one, is among the others.
    assert cases_apart(asking, plan.habits, 1, plan.seed + 1, [case.scenes["without"]])[0].id != case.id
    again = asked_anything(3, 5)
    assert again[0][0] not in {one[0] for one in asked_anything(3, 5, [again[0][1]])}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"habits": (Habit("star", "moon"),) * 2}, "star>moon, star>moon name one twice"),
        ({"n_random": 0}, "n_random is 0, expected 1 or more"),
    ],
)
def test_a_plan_whose_verdict_would_say_too_much_is_refused(given, told):
    with pytest.raises(UserError, match=told):
        FeaturePlan(**{"habits": (Habit("star", "moon"),), **given})


class Answering(AskedSet):
    """Answers as a table says: [settings that scale so many features, by a factor] to Yes by question."""

    def says(self, point, change, at=None):
        said = self.table[None if change is None else change]
        return said if at is None else said & at


def answering(monkeypatch, truth, table):
    made = Answering(None, (None,) * len(truth), np.array(truth), tuple(map(str, range(len(truth)))), ())
    object.__setattr__(made, "table", {key: np.array(said, dtype=bool) for key, said in table.items()})
    return made


def test_the_setting_that_takes_most_within_the_tolerance_is_chosen(monkeypatch):
    from cotlab.saes.vision import choosing

    monkeypatch.setattr(choosing, "feature_change", lambda sae, features, action, factor: (len(features), factor))
    truth = [False] * 4 + [True] * 4
    yes, no = [True] * 4, [False] * 4
    table = {None: yes + yes}
    table[1, 0.0] = [True, True, False, True] + yes  # takes one of four
    table[1, -1.0] = no + [True, True, False, False]  # takes all, and half of the true ones
    table[2, 0.0] = [True, False, False, True] + yes  # takes two
    table[2, -1.0] = [True, False, False, True] + yes  # so does this
    where = answering(monkeypatch, truth, table)
    costly = answering(monkeypatch, truth, {**table, (2, 0.0): no + no})
    sae = sae_at(POINT, 16)
    for whole in (True, False):
        sets = ChoosingSets.of(where, where, sae)
        found = choose_setting(sets, sae, (9, 4), factors=(0.0, -1.0), tolerance=0.05, whole=whole)
        assert found.setting == Setting((9, 4), 0.0)  # the factor nearer to 1 of two that take as much
        sets = ChoosingSets.of(where, costly, sae)
        found = choose_setting(sets, sae, (9, 4), factors=(0.0, -1.0), tolerance=0.05, whole=whole)
        assert found.setting == Setting((9, 4), -1.0)
        assert found.trials[0].less_false == -1.0 and found.trials[0].less_true == -0.5
        loose = choose_setting(sets, sae, (9, 4), factors=(0.0, -1.0), tolerance=0.5, whole=whole)
        assert loose.setting == Setting((9,), -1.0)
    nothing = answering(monkeypatch, truth, dict.fromkeys([*table, (1, -0.5)], no + yes))
    assert choose_setting(ChoosingSets.of(nothing, nothing, sae), sae, (9,)[:1], factors=(-0.5,)).setting is None


def test_beyond_every_control_takes_more_than_a_smaller_number():
    """One question of 40 more than a control is a lower share, and no evidence that the features do more."""
    n = 40
    truth, cases = np.zeros(n, dtype=bool), [f"case {i}" for i in range(n)]
    plain, mine, control = np.ones(n, bool), np.arange(n) < 10, np.arange(n) < 11
    by_arm = np.array([plain, mine, control])
    names = ("as it is", "features", "reconstruction")
    arms = tuple(_result(name, (), by_arm[i], by_arm, truth, cases, 0) for i, name in enumerate(names))
    assert arms[1].less_false.high < 0 and arms[1].less_false.value < arms[2].less_false.value
    assert not Reduction("scale", -1.0, n, arms).holds
    by_arm[2] = np.arange(n) < 30
    arms = tuple(_result(name, (), by_arm[i], by_arm, truth, cases, 0) for i, name in enumerate(names))
    assert Reduction("scale", -1.0, n, arms).holds


def test_random_features_are_of_like_rate_and_size():
    n = 60
    rates, sizes = np.geomspace(0.001, 0.5, n), np.geomspace(10, 0.1, n)
    rates[50:] = 0
    none = np.zeros((6, n))
    found = Carrying(none, none, rates, sizes, np.full(n, np.nan)).like((10, 20), np.random.default_rng(0), near=5)
    assert len(set(found)) == 2 and not set(found) & {10, 20, *range(50, 60)}
    assert abs(found[0] - 10) <= 5 and abs(found[1] - 20) <= 5
    assert Carrying(none, none, rates, sizes, np.full(n, np.nan)).chosen(3) == ()


class Explainer(BaseHTTPRequestHandler):
    """Someone else's image-text model: it tells stars by their pixels, as a test knows them."""

    asked: list[dict] = []
    stars: set[str] = set()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        parts = body["messages"][1]["content"]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        if "dimmed" in body["messages"][0]["content"]:
            said = {"explanation": "a star"}
        else:
            said = {"active": [i for i, url in enumerate(urls) if url in self.stars]}
        content = json.dumps({"choices": [{"message": {"content": json.dumps(said)}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def test_another_model_explains_images_and_is_tried(planted):
    from cotlab.saes.vision.image_interpretation import _sent

    _, firings = planted
    active = np.asarray(firings.by_image[:, 0].todense()).ravel() > 0
    Explainer.stars = {_sent(one.image).data_uri() for one, on in zip(firings.images, active, strict=True) if on}
    Explainer.asked = []
    server = HTTPServer(("127.0.0.1", 0), Explainer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        found = interpret_image_feature(firings, 0, ChatServer(f"http://127.0.0.1:{server.server_port}/v1", "eyes"))
    finally:
        server.shutdown()
        server.server_close()
    assert (found.explanation, found.detection.value) == ("a star", 1.0)
    explain, detect = (body["messages"][1]["content"] for body in Explainer.asked)
    assert all(part["image_url"]["url"].startswith("data:image/png;base64,") for part in explain[1::2])
    shown = {part["image_url"]["url"] for part in detect if part["type"] == "image_url"}
    assert shown & Explainer.stars and shown - Explainer.stars


@pytest.mark.parametrize(("after", "value", "low", "high"), [(True, 0.0, -0.161, 0.161), (False, -1.0, -1.0, -0.678)])
def test_where_all_cases_agree_the_interval_has_a_width(after, value, low, high):
    """Of 20 cases none differs from the others: up to 16.1% of cases may (Wilson)."""
    truth, cases = np.zeros(40, dtype=bool), [f"case {i // 2}" for i in range(40)]
    by_arm = np.array([np.ones(40, dtype=bool), np.full(40, after)])
    found = _result("features", (), by_arm[1], by_arm, truth, cases, 0).less_false
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=2e-3)


def test_how_far_trainings_are_apart():
    """Of three autoencoders one has nothing to change, and one takes false yes beyond its control."""
    from types import SimpleNamespace

    from cotlab.saes.vision import Trainings

    n = 40
    truth, cases = np.arange(2 * n) >= n, [f"case {i % n}" for i in range(2 * n)]
    plain = np.ones(2 * n, dtype=bool)

    def reduction(taken, lost):
        mine = np.r_[np.arange(n) >= taken, np.arange(n) >= lost]
        by_arm = np.array([plain, mine, plain])
        names = ("as it is", "features", "reconstruction")
        arms = tuple(_result(name, (), by_arm[i], by_arm, truth, cases, 0) for i, name in enumerate(names))
        return Reduction("scale", -0.5, 2 * n, arms)

    given = [(20, 4), (10, 0), None]
    found = Trainings(tuple(
        SimpleNamespace(reduction=one and reduction(*one), pope=one and reduction(one[0] // 10, 0)) for one in given
    ))  # fmt: skip
    assert found.n_holding == 2
    spread = {one.measure: one for one in found.spread()}
    less = spread["less_false"]
    assert (less.n, less.least, less.mean, less.most) == pytest.approx((2, -0.5, -0.375, -0.25))
    assert less.sd == pytest.approx(np.std([-0.5, -0.25], ddof=1))
    assert (spread["less_true"].least, spread["less_true"].most) == pytest.approx((-0.1, 0.0))
    assert spread["pope_less_false"].mean == pytest.approx(-0.0375)
    assert Trainings(found.found[2:]).spread() == ()
