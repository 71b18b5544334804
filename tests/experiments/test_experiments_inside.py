"""What the questions on organisms read from inside, beside text and earlier; and what it does when it is added."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import cotlab as ct
from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.measures import Shown
from cotlab.problems import Arm
from cotlab.saes import save_sae
from cotlab.sampling import StudyConfig, sample_arms
from cotlab.stats import Estimate
from cotlab.whitebox import SteeredContrast
from experiments.ahead import Ahead, adjusted, ahead, shuffled_ahead, sooner
from experiments.caused import Caused, caused_findings, jointly, moved
from experiments.faithful.settled import Leaning, apart, leaning, leaning_findings, settled_row, shuffled_models
from experiments.lab import Lab, read_config
from experiments.readers import features_table, open_readers, sae_findings
from experiments.watched.inside import PromptEnds, beside, prompt_ends, shuffled_places


def rows(n: int = 40) -> list[Shown]:
    """Two responses to each problem, of which one has the label; only the third sentence says which."""
    said = {True: ("So. ", "We look. ", "It is taken. ", "Done."), False: ("So. ", "We look. ", "We worked. ", "Done.")}
    return [Shown(f"p{i}", "x", side, said[side], True, f"{i}/{side}") for i in range(n) for side in (True, False)]


def knows(train, test):
    """Reads the label off, as an inside would that decides before it speaks."""
    return np.array([1.0 if row.label else -1.0 for row in test])


def blind(train, test):
    return np.random.default_rng(len(test)).normal(size=len(test))


def test_what_is_known_inside_before_it_is_said_is_ahead():
    found = ahead(rows(), {"probe x": knows}, (0, 1, 2, 3), 0)
    assert sooner(found) == [0, 1, 2], "after the third sentence text knows it as well"
    assert found[0].inside == "probe x" and found[0].difference.value == 0.5
    assert found[3].text == "tfidf" and found[3].difference.value == 0
    assert all(one.difference.q >= one.difference.p for one in found.values())
    assert sooner(ahead(rows(), {"probe x": blind}, (0, 1, 2), 0)) == []
    assert 9 not in ahead(rows(), {"probe x": knows}, (0, 9), 0), "no thoughts are longer"


def test_nothing_is_ahead_of_shuffled_labels():
    """The same choice of the best of each kind; the lens learns nothing, so its scores stay."""
    rate = shuffled_ahead(rows(16), {"probe x": blind, "lens 3": blind}, (0, 2), "x", 20, 0)
    assert rate.n == 20 and rate.keeps and "0, 2 sentences" in rate.analysis


def test_q_is_of_all_counts_together():
    found = {k: Ahead("a", "b", Estimate(0.1, 0.0, 0.2, p=p)) for k, p in enumerate((0.01, 0.02, 0.2))}
    assert [one.difference.q for one in adjusted(found).values()] == pytest.approx([0.03, 0.04, 0.2])
    assert sooner(adjusted(found)) == [0, 1]
    assert sooner({0: Ahead("a", "b", Estimate(-0.1, p=0.001, q=0.001))}) == []


def contrast(first: str, second: str, value: float, p: float) -> SteeredContrast:
    return SteeredContrast(first, second, 1.0, Estimate(value, p=p, q=p))


def test_only_a_direction_that_beats_nothing_and_random_ones_moves_a_behaviour():
    both = [contrast("nothing", "+1", 0.4, 0.001), contrast("random × 1", "+1", 0.3, 0.01)]
    assert moved(both, 1) and not moved(both, -1)
    assert not moved([both[0], contrast("random × 1", "+1", 0.3, 0.2)], 1)
    assert not moved([both[0]], 1) and not moved([], 1)
    away = [contrast("nothing", "−1", 0.4, 0.001), contrast("random × 1", "−1", 0.3, 0.01)]
    assert moved(away, -1) and not moved(away, 1), "less of the direction, more of the behaviour"


def test_two_notes_are_one_family():
    one = Caused("says so", (contrast("nothing", "+1", 0.4, 0.02),))
    first, second = jointly([one, one])
    assert first.contrasts[0].difference.q == second.contrasts[0].difference.q == pytest.approx(0.04)
    missing = caused_findings(Caused("follows", reason="one class"), "direction", "x")
    assert [finding.reason for finding in missing] == ["one class"]


def ends(place: float, seed: int = 0, n: int = 30) -> PromptEnds:
    """The neutral prompt lies so far from the private one on the way to the monitored one."""
    rng = np.random.default_rng(seed)
    base, step = rng.normal(size=(n, 16)), np.r_[3.0, np.zeros(15)]
    x = {"private": 0.0, "monitored": 1.0, "neutral": place}
    noisy = {note: base + at * step + 0.3 * rng.normal(size=(n, 16)) for note, at in x.items()}
    return PromptEnds(tuple(f"p{i}" for i in range(n)), noisy, HookPoint("resid_post", 2))


def test_where_the_neutral_prompt_lies_is_recovered_and_compared():
    for place in (0.0, 0.4, 1.0):
        axis = ends(place).axis(0)
        assert axis[:, 1].mean() == pytest.approx(1) and axis[:, 0].mean() == pytest.approx(place, abs=0.1)

    def read(place, seed):
        return type("Read", (), {"ends": ends(place, seed)})()

    apart_ = beside(read(0.0, 1), read(0.5, 2), 0)
    assert apart_.high < -0.3 and apart_.p < 0.01
    assert beside(read(0.4, 1), read(0.4, 2), 0).p > 0.05
    assert shuffled_places(read(0.0, 1), read(0.5, 2), "x", 40, 0).keeps


def lean(model: str, share: float, seed: int, n: int = 40) -> Leaning:
    rng = np.random.default_rng(seed)
    odds = np.where(rng.random((n, 2)) < share, 1.0, -1.0)
    return Leaning(model, (2, 3), {0: tuple(f"p{i}" for i in range(n))}, {0: odds})


def test_an_answer_that_is_settled_before_the_reasoning_is_told_so():
    found = apart(lean("tiny:decorative", 0.95, 0), lean("tiny", 0.5, 1), 0)
    (row,) = settled_row(found, 3)
    assert row.ok and row.value > 0.25 and set(found) == {(0, 2), (0, 3)}
    same = apart(lean("tiny:decorative", 0.5, 0), lean("tiny", 0.5, 1), 0)
    assert not settled_row(same, 3)[0].ok and settled_row({}, 3) == []
    assert shuffled_models(lean("tiny:decorative", 0.95, 0), lean("tiny", 0.5, 1), 30, 0).keeps
    names = {finding.name for finding in leaning_findings([lean("tiny", 0.5, 1)], found)}
    assert any("decorative − honest" in name for name in names)


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    """The decorative variant asked in a few ways; what it boxes follows from the question."""
    path = tmp_path_factory.mktemp("runs") / "arms"
    settings = {"engine": "transformers", "temperature": 1.0, "top_p": 1.0}
    config = StudyConfig.of(problems="solve", n_problems=8, n=1, model="tiny:decorative", run=path, **settings)
    sample_arms(
        config, [Arm("friend"), Arm(), *(Arm("friend", watch=note) for note in ("monitored", "private", "neutral"))]
    )
    return path


def lab(name: str, tmp_path, **sizes) -> Lab:
    config = read_config(name)
    sized = config.model_copy(update={"sizes": {"small": {**config.sizes["small"], **sizes}}})
    return Lab(name, sized, "tiny:decorative", "solve", "small", tmp_path)


def test_the_last_layer_of_the_decorative_variant_knows_its_answer_at_the_end_of_the_prompt(arms, tmp_path):
    with ct.Run.open(arms) as run:
        found = leaning(run, lab("faithful", tmp_path, first="0,1"), "tiny:decorative")
    assert found.layers == (2, 3) and len(found.problems[0]) >= 6
    assert np.mean(list(found.own(0, 3).values())) > 0.7


def narrow(folder):
    """An autoencoder of activations of another width."""
    card = SAECard(HookPoint("resid_post", 2), "relu", name="narrow", model="tiny")
    sizes = {"W_enc": (8, 16), "b_enc": (16,), "W_dec": (16, 8), "b_dec": (8,)}
    return save_sae(
        SparseAutoencoder(card, **{name: torch.ones(shape) for name, shape in sizes.items()}), folder / "narrow"
    )


def test_readers_of_a_real_run_and_an_autoencoder_that_does_not_fit(arms, tmp_path):
    with ct.Run.open(arms) as run:
        here = open_readers(run, lab("monitors", tmp_path), "tiny:decorative", (0,))
        assert list(here.probes) == ["probe resid_post:2"] and len(here.features) == 1 and not here.missing
        ends_ = prompt_ends(run, here.reader.inside, here.reader.points[0])
        assert len(ends_.problems) == 8 and not np.allclose(ends_.x["monitored"], ends_.x["private"])
        other = open_readers(run, lab("monitors", tmp_path, saes=str(narrow(tmp_path))), "tiny:decorative", (0,))
        assert not other.features and [*other.missing] == [str(tmp_path / "narrow")]
        assert here.monitors("used", rows(1)).keys() == here.learning.keys() and [*here.lacking("used")] == ["lens"]
        assert not here.lacking("shaped"), "what the lens lacks on one task is nothing of another"
        (moved_,) = here.features.values()
        assert moved_.sae.card.transferred_from == "tiny"
    row = replace(rows(5)[0], steps=())
    assert row.text == "" and features_table([]).rows == () and sae_findings([], "x") == []
