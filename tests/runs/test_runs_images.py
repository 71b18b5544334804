from __future__ import annotations

import gc
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pil
from runs_builder import BASELINE, CARD, IDENTITY, PROBLEM, SETTINGS, rollout

from cotlab.chains.chain import Chain
from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.step import Step
from cotlab.errors import RunError, UserError
from cotlab.reports.study import shown_images
from cotlab.runs import NewPrefix, Run, copy_records, export_run, merge_runs, verify_run
from cotlab.sampling import mend_gold


def picture(seed: int) -> Image:
    return Image.of(pil.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)))


A, B = picture(1), picture(2)
SHOWN = replace(PROBLEM, images=(A, B))
PROMPT = Prefix((10, 11, 12), 3, (A, B))


def fill(run: Run, problem: Problem = SHOWN, prompt: Prefix = PROMPT) -> Chain:
    run.add_problems([problem])
    run.add_settings(SETTINGS)
    run.add_engine_card(CARD)
    run.add_intervention(BASELINE)
    run.add_prefix(prompt, problem.id, text="Q: ")
    study = run.add_study({"n": 1}, 0)
    drawn = rollout(prompt)
    run.add_rollouts([drawn], study_id=study)
    assert drawn.token_ids is not None
    n = len(drawn.token_ids)
    steps = (Step(0, 0, 2, "Six "), Step(1, 2, n, "seven."))
    chain = Chain(problem.id, drawn.id, (10, 11, 12), drawn.token_ids, "c/1", steps, "random", images=prompt.images)
    run.add_chain(chain)
    run.add_chain_prefixes(chain)
    return chain


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    with Run.create(tmp_path / "shown", IDENTITY) as run:
        fill(run)
    return tmp_path / "shown"


def test_what_was_shown_comes_back(shown: Path) -> None:
    with Run.open(shown) as run:
        assert run.problems() == {SHOWN.id: SHOWN}
        assert run.problems()[SHOWN.id].images == (A, B)
        (chain,) = run.chains()
        for n_steps in range(3):
            prefix = chain.prefix(n_steps)
            assert prefix.images == (A, B)
            assert run.prefix(prefix.id) == prefix
        assert run.image(A.id).data == A.data
        assert run.image_ids() == [A.id, B.id]
        assert list(run.frame("images")["file"]) == [f"{A.id}.png", f"{B.id}.png"]
    assert verify_run(shown) == []


def test_an_image_is_kept_once(shown: Path) -> None:
    with Run.open(shown, writable=True) as run:
        other = replace(SHOWN, question="And now?", images=(B, A, A))
        run.add_problems([other])
        assert run.problems()[other.id].images == (B, A, A)
        first, second = run.problems()[SHOWN.id], run.problems()[other.id]
        assert first.images[0] is second.images[1]  # in memory as well
        del first, second
    assert sorted(path.name for path in (shown / "images").iterdir()) == sorted([A.file_name, B.file_name])


def test_images_are_let_go(shown: Path) -> None:
    with Run.open(shown) as run:
        run.problems()
        gc.collect()
        assert not run._images


def test_equal_tokens_behind_another_image_are_another_prefix(shown: Path) -> None:
    other = Prefix(PROMPT.token_ids, 3, (B, A))
    longer = other.extend((20, 21))
    with Run.open(shown, writable=True) as run:
        edit = {"kind": "image", "swap": [1, 0]}
        run.add_prefixes(
            [
                NewPrefix(other, SHOWN.id, PROMPT, "edit", edit, "Q: "),
                NewPrefix(longer, SHOWN.id, PROMPT, "edit", edit, "Six "),
            ]
        )
        assert run.prefix(other.id).images == (B, A)
        assert run.prefix(longer.id) == longer != run.prefix(PROMPT.extend((20, 21)).id)
        with pytest.raises(ValueError, match="does not go on"):
            NewPrefix(longer, SHOWN.id, PROMPT, "continue", None, "Six ")
    assert verify_run(shown) == []


def test_a_chain_of_another_image_is_refused(shown: Path) -> None:
    with Run.open(shown, writable=True) as run:
        (chain,) = run.chains()
        with pytest.raises(RunError, match="other tokens than its rollout"):
            run.add_chain(replace(chain, images=(A,), cutter_id="c/2"))


def test_a_lost_image_and_a_changed_one_are_told(shown: Path) -> None:
    (shown / "images" / A.file_name).write_bytes(B.data)
    (shown / "images" / B.file_name).unlink()
    said = "\n".join(verify_run(shown))
    assert f"{A.file_name} of the run holds something else" in said
    assert f"{B.file_name} of the run cannot be read (No such file" in said
    assert len(said.splitlines()) == 2
    with Run.open(shown) as run:
        (problem,) = run.problems().values()
        assert problem == SHOWN and run.prefix(PROMPT.id) == PROMPT and len(run.chains()) == 1
        for image in problem.images:
            with pytest.raises(RunError, match="restore it from a copy"):
                image.open()
            with pytest.raises(RunError, match="restore it from a copy"):
                run.image(image.id)


def test_a_run_without_its_images_opens(shown: Path) -> None:
    """What needs no pixels needs no files; and what else is wrong is still told."""
    shutil.rmtree(shown / "images")
    with Run.open(shown, writable=True) as run, run.transaction():
        run._db.execute("UPDATE settings SET spec = '{}'")
    with Run.open(shown) as run:
        assert run.problems() == {SHOWN.id: SHOWN}
        assert [(image.width, image.height) for image in run.problems()[SHOWN.id].images] == [(8, 6)] * 2
        assert len(list(run.rollouts())) == 1
    said = verify_run(shown)
    assert len(said) == 3 and any("settings" in line for line in said)


def test_a_stored_image_is_one_that_was_loaded(shown: Path) -> None:
    with Run.open(shown) as run:
        (stored, _) = run.problems()[SHOWN.id].images
        assert stored == A == stored and hash(stored) == hash(A) and len({stored, A}) == 1
        assert stored.data == A.data and stored.data_uri() == A.data_uri() and stored.file_name == A.file_name
        assert np.array_equal(np.asarray(stored.open()), np.asarray(A.open()))
        assert pickle.loads(pickle.dumps(stored)) == stored and stored != B


def test_a_size_that_the_table_makes_up_is_told(shown: Path) -> None:
    """Boxes of patches are counted from it."""
    with Run.open(shown, writable=True) as run, run.transaction():
        run._db.execute("UPDATE image SET width = 80 WHERE id = ?", (A.id,))
    assert any("is 8 × 6, run.sqlite says 80 × 6" in line for line in verify_run(shown))
    with Run.open(shown, writable=True) as run, run.transaction():
        run._db.execute("UPDATE image SET width = 'x' WHERE id = ?", (A.id,))
    with Run.open(shown) as run, pytest.raises(RunError, match="is said to be 'x' × 6"):
        run.problems()


def test_adding_an_image_again_mends_its_file(shown: Path) -> None:
    (shown / "images" / A.file_name).write_bytes(b"damaged")
    (shown / "images" / B.file_name).unlink()
    with Run.open(shown, writable=True) as run:
        run.add_problems(run.problems().values())  # with nothing in hand nothing is mended, nor refused
        assert (shown / "images" / A.file_name).read_bytes() == b"damaged"
        run.add_problems([SHOWN])
    assert verify_run(shown) == []


def test_a_damaged_image_does_not_spread(shown: Path, tmp_path: Path) -> None:
    good = tmp_path / "good"
    shutil.copytree(shown, good)
    (shown / "images" / A.file_name).write_bytes(B.data)
    for way in (lambda: merge_runs([shown, good], tmp_path / "out"), lambda: copy_records(shown, tmp_path / "out2")):
        with pytest.raises(RunError, match="holds something else"):
            way()
    with Run.open(shown) as run, pytest.raises(RunError, match="holds something else"):
        export_run(run, tmp_path / "out3")
    merge_runs([good], shown)  # into the damaged one, with the image in hand
    assert verify_run(shown) == []
    assert verify_run(merge_runs([shown, good], tmp_path / "out").out) == []


def test_a_report_shows_what_is_left_and_says_what_is_lost(shown: Path) -> None:
    (shown / "images" / B.file_name).unlink()
    with Run.open(shown) as run:
        (chain,) = run.chains()
        images, lost = shown_images(chain)
    assert len(images) == 1 and images[0].startswith("data:image/")
    assert len(lost) == 1 and B.file_name in lost[0]


def test_a_pipe_in_the_place_of_an_image_is_not_waited_for(shown: Path) -> None:
    (shown / "images" / A.file_name).unlink()
    os.mkfifo(shown / "images" / A.file_name)
    assert any("no ordinary file" in line for line in verify_run(shown))


def test_a_file_that_is_no_image_is_told(shown: Path) -> None:
    (shown / "images" / A.file_name).write_bytes(b"<script>")
    assert any("no PNG or JPEG" in line for line in verify_run(shown))


@pytest.mark.parametrize("file", ["../run.json", "/etc/passwd", "x.png", f"{A.id}.svg", f"{A.id}.png/../../run.json"])
def test_a_name_that_leads_out_is_refused(shown: Path, file: str) -> None:
    with Run.open(shown, writable=True) as run, run.transaction():
        run._db.execute("UPDATE image SET file = ? WHERE id = ?", (file, A.id))
    with Run.open(shown) as run, pytest.raises(RunError, match="no file that cotlab writes"):
        run.problems()
    with Run.open(shown) as run, pytest.raises(RunError, match="no file that cotlab writes"):
        run.image(A.id)
    with pytest.raises(RunError, match="no file that cotlab writes"):
        merge_runs([shown], shown.with_name("merged"))
    assert not shown.with_name("merged").exists()


def test_a_link_is_refused(shown: Path, tmp_path: Path) -> None:
    path = shown / "images" / A.file_name
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    with Run.open(shown) as run, pytest.raises(RunError, match="is a link"):
        run.image(A.id)


def test_an_unknown_image_of_a_problem_is_told(shown: Path) -> None:
    with Run.open(shown, writable=True) as run, run.transaction():
        run._db.execute("DELETE FROM image WHERE id = ?", (B.id,))
    said = "\n".join(verify_run(shown))
    assert f"problem {SHOWN.id} shows image {B.id}" in said
    assert f"prefix {PROMPT.id} shows image {B.id}" in said


@pytest.mark.parametrize("value", ["7", "[", '{"a": 1}', "[[]]", '["%s"]' % ("0" * 24)])
def test_a_damaged_list_of_images_is_one_line(shown: Path, value: str) -> None:
    with Run.open(shown, writable=True) as run, run.transaction():
        run._db.execute("UPDATE prefix SET images = ? WHERE id = ?", (value, PROMPT.id))
    with Run.open(shown) as run, pytest.raises(RunError) as raised:
        run.prefix(PROMPT.id)
    assert "\n" not in str(raised.value)
    assert verify_run(shown)


def test_a_prefix_with_other_images_is_told(shown: Path) -> None:
    with Run.open(shown, writable=True) as run, run.transaction():
        run._db.execute("UPDATE prefix SET images = ? WHERE id = ?", (f'["{B.id}"]', PROMPT.id))
    assert any("other tokens or images" in line for line in verify_run(shown))


def test_merging_brings_the_images_along(shown: Path, tmp_path: Path) -> None:
    with Run.create(tmp_path / "second", IDENTITY) as run:
        third = picture(3)
        fill(run, replace(PROBLEM, images=(third, A)), Prefix((10, 11, 12), 3, (third, A)))
    merged = merge_runs([shown, tmp_path / "second"], tmp_path / "merged").out
    assert verify_run(merged) == []
    with Run.open(merged) as run:
        assert {len(problem.images) for problem in run.problems().values()} == {2}
        assert set(run.image_ids()) == {A.id, B.id, third.id}
    shutil.rmtree(shown)
    assert verify_run(merged) == []


def test_export_and_copies_bring_the_images_along(shown: Path, tmp_path: Path) -> None:
    with Run.open(shown) as run:
        files = export_run(run, tmp_path / "out")
    assert (tmp_path / "out" / "images" / A.file_name).read_bytes() == A.data
    assert tmp_path / "out" / "images" / B.file_name in files
    copy_records(shown, tmp_path / "copy")
    assert verify_run(tmp_path / "copy") == []


def test_nothing_is_written_where_images_cannot_be(shown: Path) -> None:
    """A file in the place of the folder: one line, and no row that names what is not there."""
    shutil.rmtree(shown / "images")
    (shown / "images").write_text("")
    new = replace(SHOWN, question="New?", images=(picture(9),))
    with Run.open(shown, writable=True) as run:
        with pytest.raises(RunError, match="cannot write"):
            run.add_problems([new])
        assert len(run.image_ids()) == 2


def test_gold_answers_without_images_mend_a_question_that_is_asked_once(shown: Path) -> None:
    bare = replace(PROBLEM, answer="43")
    with Run.open(shown, writable=True) as run:
        ((old, new),) = mend_gold(run, [bare]).problems
        assert old == SHOWN and new == replace(SHOWN, answer="43")
    assert verify_run(shown) == []


def test_gold_answers_without_images_do_not_choose_among_images(shown: Path) -> None:
    with Run.open(shown, writable=True) as run:
        other, prompt = replace(SHOWN, images=(B,)), Prefix(PROMPT.token_ids, 3, (B,))
        run.add_problems([other])
        run.add_prefix(prompt, other.id, text="Q: ")
        with pytest.raises(UserError, match="of several images.*give each with its image"):
            mend_gold(run, [replace(PROBLEM, answer="43")])
        ((old, new),) = mend_gold(run, [replace(other, answer="43")]).problems
        assert (old.id, new.images) == (other.id, (B,))
        with pytest.raises(UserError, match="with the same images where"):
            mend_gold(run, [replace(PROBLEM, images=(picture(7),), answer="43")])
