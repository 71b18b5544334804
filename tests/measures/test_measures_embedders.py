"""Embedders as similarities, groups of similar sentences, and thresholds."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cotlab import tiny
from cotlab.errors import UserError
from cotlab.measures import (
    CharNgrams,
    Embedder,
    HiddenStates,
    MiniLM,
    SimilarStates,
    best_threshold,
    embedder_by_name,
    recovery,
)
from cotlab.measures.similarity import Similarity
from cotlab.trees import START, SaidRollout

PAIRS = (
    ("Wait, that is wrong, let me check again.", "Wait, that's wrong. Let me check it again."),
    ("So the answer is 6.", "Therefore, the answer is 6."),
    ("First, I compute the area of the circle.", "First I compute the circle's area."),
)
TINY_PAIRS = (
    ("Wait, that fails, back to 5, 6 and 8.", "Hmm, no luck, back to 5, 6 and 8."),
    ("5 * 8 = 40, no.", "5 * 8 = 40, not it."),
    ("So 6 can't be last.", "So 6 does not come last."),
)
needs_minilm = pytest.mark.skipif(not MiniLM.installed(), reason="the extra `sentences` is not installed")


@pytest.fixture(scope="module", params=["chars", "hidden", pytest.param("minilm", marks=needs_minilm)])
def similarity(request):
    if request.param == "hidden":
        return HiddenStates(tiny.model_path())
    return embedder_by_name(request.param)


def test_paraphrases_are_nearer_than_other_sentences(similarity: Similarity):
    pairs = TINY_PAIRS if isinstance(similarity, HiddenStates) else PAIRS  # the tiny model knows its own language
    left, right = map(list, zip(*pairs, strict=True))
    found = similarity(left, right)
    assert found.shape == (3, 3)
    assert found.argmax(1).tolist() == [0, 1, 2]
    assert np.diag(similarity(left, left)).tolist() == [1, 1, 1]
    assert similarity(left, right) == pytest.approx(similarity(right, left).T)
    assert similarity([], right).shape == (0, 3) and similarity(left, []).shape == (3, 0)
    assert similarity.id.endswith(f"@{similarity.threshold:.2f}")


def test_a_similarity_does_not_depend_on_what_else_is_compared(similarity: Similarity):
    left, right = map(list, zip(*PAIRS, strict=True))
    whole = similarity(left, right)
    fresh = type(similarity)(tiny.model_path()) if isinstance(similarity, HiddenStates) else type(similarity)()
    assert fresh(left[1:2], right[2:])[0, 0] == pytest.approx(whole[1, 2], abs=1e-5)


@pytest.mark.parametrize("text", ["", " \n", "\x00", "🙂", "x" * 3_000])
def test_any_text_has_a_similarity(text):
    for similarity in (CharNgrams(), HiddenStates(tiny.model_path())):
        found = similarity([text, "So x = 2."], ["So x = 2.", text])
        assert np.isfinite(found).all() and found[0, 1] == found[1, 0] == 1


@needs_minilm
def test_the_default_threshold_of_minilm_is_the_published_one():
    assert MiniLM().threshold == 0.8 and MiniLM().id == "minilm/1@0.80"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nope", "no similarity is named 'nope'"),
        ("chars@two", "threshold 'two' of similarity 'chars@two' is no number"),
        ("chars@3", "threshold 3 is no cosine"),
        ("hidden:/nowhere", "no model folder /nowhere"),
        ("hidden:/nowhere:two", "layer 'two'"),
    ],
)
def test_names_that_are_none_are_refused(name, told):
    with pytest.raises(UserError, match=told):
        embedder_by_name(name)
    with pytest.raises(UserError, match="choose one of 0 to"):
        HiddenStates(tiny.model_path(), layer=99)


def test_names_choose_threshold_and_layer():
    assert embedder_by_name("chars@0.5").threshold == 0.5
    assert embedder_by_name(f"hidden:{tiny.model_path()}:1@0.9").id == f"hidden/1:{tiny.model_path().name}:1@0.90"


class Letters(Embedder):
    """Counts of a, b and c: a similarity whose groups are plain to see."""

    def __init__(self):
        super().__init__("letters/1", 0.9)

    def vectors(self, texts):
        return np.array([[text.count(letter) for letter in "abc"] for text in texts], dtype=float)


def test_groups_have_the_most_frequent_sentence_as_leader():
    said = ("aaaa", "aaab", "bbbb", "aaaa", "cc")
    reader = SimilarStates(Letters())
    (states,) = reader.read([SaidRollout("r", 0, (), said, "correct")])
    assert states == (START, "aaaa", "aaaa", "bbbb", "aaaa", "cc")
    (later,) = reader.read([SaidRollout("r", 1, ("aaab",), ("aaaa",), "correct")])
    assert len(set(later)) == 1


def test_groups_are_the_same_across_blocks():
    rng = np.random.default_rng(0)
    texts = list(dict.fromkeys("".join(rng.choice(list("abc"), 12)) for _ in range(900)))
    similarity = Letters()
    found = SimilarStates(similarity).leaders(texts)
    leaders: list[str] = []
    for text in texts:
        near = [leader for leader in leaders if similarity([text], [leader])[0, 0] >= similarity.threshold]
        assert found[text] == (near[0] if near else text)
        if not near:
            leaders.append(text)


def test_recovery_is_that_of_scikit_learn_and_of_pairs_counted():
    rng = np.random.default_rng(0)
    true, found = rng.integers(6, size=200), rng.integers(9, size=200)
    result = recovery(true.tolist(), found.tolist())
    assert result.rand == pytest.approx(adjusted_rand_score(true, found))
    pairs = [(true[i] == true[j], found[i] == found[j]) for i in range(200) for j in range(i)]
    both = sum(a and b for a, b in pairs)
    assert result.precision == pytest.approx(both / sum(b for _, b in pairs))
    assert result.recall == pytest.approx(both / sum(a for a, _ in pairs))
    assert recovery("aabb", "xxyy").rand == 1 and recovery("aabb", "xxyy").precision == 1
    assert recovery("abcd", "abcd").precision is None and recovery("ab", "aa").recall is None


def test_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    same = rng.random(200) < 0.4
    cosines = np.round(rng.normal(0.5 + 0.2 * same, 0.15), 2)
    threshold, gain = best_threshold(cosines.tolist(), same.tolist())

    def youden(at):
        return (cosines[same] >= at).mean() - (cosines[~same] >= at).mean()

    assert gain == pytest.approx(youden(threshold)) == pytest.approx(max(youden(at) for at in np.unique(cosines)))
    with pytest.raises(ValueError, match="pairs that are the same and pairs that are not"):
        best_threshold([0.1, 0.2], [True, True])
