"""Answers follow from what is drawn; POPE sets follow their definition."""

import random
import re
from collections import Counter

import pytest

from cotlab.chains.answer_judge import AnswerJudge
from cotlab.chains.answers import check_answer
from cotlab.tiny import scenes as sc


def described(scene: sc.Scene) -> list[tuple[str, str]]:
    """Colours and shapes, read from the caption alone."""
    return re.findall(rf"a ({'|'.join(sc.COLOURS)}) ({'|'.join(sc.SHAPES)})", sc.caption(scene))


def test_answers_follow_from_the_caption(scenes: list[sc.Scene]) -> None:
    rng = random.Random(0)
    for scene in scenes:
        things = described(scene)
        shapes = [shape for _, shape in things]
        for kind in sc.KINDS:
            question = sc.ask(scene, kind, rng)
            if question is None:
                assert kind in ("relation", "colour")
            elif kind == "exists":
                assert question.answer == ("Yes" if question.shape in shapes else "No")
            elif kind == "exists-colour":
                assert question.answer == ("Yes" if (question.colour, question.shape) in things else "No")
            elif kind == "count":
                n = len(shapes) if question.shape == "shape" else shapes.count(str(question.shape))
                assert question.answer == str(n)
            elif kind == "colour":
                assert [(question.answer.lower(), question.shape)] == [t for t in things if t[1] == question.shape]
            elif kind == "letters":
                assert (question.answer in sc.caption(scene)) == bool(scene.lettering)


def test_relations_are_those_of_pixels(scenes: list[sc.Scene]) -> None:
    rng, asked = random.Random(1), Counter[str]()
    for scene in scenes * 3:
        question = sc.ask(scene, "relation", rng)
        if question is None:
            continue
        one, other = (next(o for o in scene.objects if o.shape == s) for s in (question.shape, question.other))
        along = 0 if question.relation in ("left of", "right of") else 1
        ours, theirs = ((o.x, o.y)[along] // sc.CELL for o in (one, other))
        before = question.relation in ("left of", "above")
        assert question.answer == ("Yes" if (ours < theirs if before else ours > theirs) else "No")
        asked[question.answer] += 1
    assert min(asked.values()) > 50


def test_yes_and_no_come_about_equally_often(scenes: list[sc.Scene]) -> None:
    rng = random.Random(2)
    for kind in ("exists", "exists-colour"):
        said = Counter(question.answer for scene in scenes * 5 if (question := sc.ask(scene, kind, rng)))
        assert 0.4 < said["Yes"] / said.total() < 0.6


def test_taught_completions_end_in_the_answer(scenes: list[sc.Scene]) -> None:
    rng = random.Random(3)
    with AnswerJudge() as judge:
        for scene in scenes[:60]:
            for kind in sc.KINDS:
                question = sc.ask(scene, kind, rng)
                if question is None:
                    continue
                problem = sc.problem_of(scene, question)
                thoughts, _, answer = sc.completion(scene, question).partition("</think>\n\n")
                said = answer.partition("\\boxed{")[2].partition("}")[0] or answer
                assert check_answer(problem, said, judge).outcome == "correct"
                assert bool(thoughts) == (kind in sc.ALOUD)
                assert sc.scene_of(problem) == scene
                assert [image.data for image in problem.images] == [sc.png(scene)]
                assert not sc.problem_of(scene, question, blind=True).images
                if kind == "describe":
                    assert list(sc.mentioned(answer)) == [thing.shape for thing in scene.objects]


def test_mentions_are_whole_words() -> None:
    assert sc.mentioned("That makes 2 crosses, 1 star and a ringing bolt.") == ("cross", "star", "bolt")


def recomputed(listed: list[list[str]], kind: str, there: str, used: set[str]) -> set[str]:
    """Objects that a negative may name, counted anew picture by picture."""
    absent = {name for objects in listed for name in objects} - used
    beside = listed if kind == "popular" else [objects for objects in listed if there in objects]
    often = {name: sum(name in objects for objects in beside) for name in absent}
    best = max(often.values())
    return absent if kind == "random" or not best else {name for name, n in often.items() if n == best}


@pytest.mark.parametrize("kind", sc.NEGATIVES)
def test_pope_sets_are_balanced_and_as_defined(kind: sc.Negative) -> None:
    scenes = sc.draw_scenes(150, seed=8)
    asked = sc.pope_questions(scenes, kind, n=3, seed=1)
    assert asked == sc.pope_questions(scenes, kind, n=3, seed=1)
    kept = {scene.id: list(dict.fromkeys(o.shape for o in scene.objects)) for scene in scenes}
    kept = {key: objects for key, objects in kept.items() if len(objects) >= 3}
    assert len(asked) == 6 * len(kept) and len(kept) > 50
    listed = list(kept.values())
    for start in range(0, len(asked), 6):
        block = asked[start : start + 6]
        objects = kept[block[0][0].id]
        used = set(objects)
        for (scene, yes), (_, no) in zip(block[::2], block[1::2], strict=True):
            assert scene is block[0][0] and (yes.answer, no.answer, no.negative) == ("Yes", "No", kind)
            assert yes.shape in objects[:3]
            assert no.shape in recomputed(listed, kind, str(yes.shape), used)
            used.add(str(no.shape))
        assert len({question.shape for _, question in block}) == 6


def test_planted_pairs_are_the_adversarial_negatives() -> None:
    asked = sc.pope_questions(sc.draw_scenes(800, seed=8), "adversarial")
    blocks = [asked[start : start + 6] for start in range(0, len(asked), 6)]
    for first, second in sc.PAIRS.items():
        shapes = [
            {q.shape for _, q in b} for b in blocks if sc.counts(b[0][0])[first] and not sc.counts(b[0][0])[second]
        ]
        asked_for = [second in names for names in shapes if first in names]
        assert len(asked_for) > 20 and sum(asked_for) > 0.9 * len(asked_for)


def test_the_planted_world_hides_the_second_shape() -> None:
    rng = random.Random(5)
    scenes = [sc.draw_scene(rng, sc.PLANTED) for _ in range(1500)]
    for first, second in sc.PAIRS.items():
        beside = [[o.strength for o in s.objects if o.shape == second] for s in scenes if sc.counts(s)[first]]
        alone = [[o.strength for o in s.objects if o.shape == second] for s in scenes if not sc.counts(s)[first]]
        assert 0.95 < sum(map(bool, beside)) / len(beside) < 1
        assert all(strengths in ([], [5]) for strengths in beside)
        assert 0.03 < sum(map(bool, alone)) / len(alone) < 0.5 and all(set(s) <= {100} for s in alone)


def test_bad_pope_requests_are_refused(scenes: list[sc.Scene]) -> None:
    with pytest.raises(ValueError, match="unknown kind of negatives 'rare'"):
        sc.pope_questions(scenes, "rare")  # type: ignore[arg-type]
    everything = [
        sc.Scene(
            "white", tuple(sc.SceneObject(s, "red", i % 3 * 16, i // 3 * 16, 9) for i, s in enumerate(sc.SHAPES[:9]))
        )
    ]
    with pytest.raises(ValueError, match="all asked for"):
        sc.pope_questions(everything, "popular")
