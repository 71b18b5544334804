"""`cotlab vision` from the command line, on a small random LLaVA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import cotlab, document, fault, shown
from PIL import Image as pil
from vision_small import vlm_folder

from cotlab.runs import Run


@pytest.fixture(scope="module")
def model(vision_root: Path) -> Path:
    return vlm_folder(vision_root, "llava")


@pytest.fixture
def asked(model: Path, tmp_path: Path) -> tuple[object, ...]:
    few = ("--problems", "scenes", "--n-problems", 6, "--engine", "transformers", "--max-tokens", 3)
    return (*few, "--model", model, "--run", tmp_path / "run")


def test_three_studies_share_one_run(asked: tuple[object, ...]) -> None:
    first = document("vision", "pope", *asked)
    assert first["read_now"] == first["prompts"] == first["problems"] == first["sampled_now"]
    assert [one["split"] for one in first["splits"]] == ["random", "popular", "adversarial"]
    assert set(first["published"]) == {"pope", "lmms-eval"}
    random = first["published"]["pope"]["splits"][0]
    assert sum(random["counts"].values()) == 6 and random["counts"]["unread"] == 0
    assert document("vision", "pope", *asked) == first | {"read_now": 0, "sampled_now": 0}
    looked = document("vision", "look", *asked)
    assert looked["sampled_now"] == looked["prompts"] - first["prompts"]
    assert looked["looks"] is False and looked["contrasts"]
    assert "masked" in looked["left_out"]
    blamed = document("vision", "blame", *asked, "--views", "own,own+description,none+description")
    assert blamed["false_yes"]["side"] == "not shown" and blamed["false_no"]["errors"]["none"]["value"] is None
    assert "False yes by kind of negatives" in shown("vision", "pope", *asked)
    assert "looks at what is asked for: not shown" in shown("vision", "look", *asked)
    assert shown("vision", "blame", *asked).count("where they enter: not shown") == 2


def test_a_dry_run_stores_nothing(asked: tuple[object, ...], tmp_path: Path) -> None:
    plan = document("vision", "look", *asked, "--dry-run")
    assert plan["dry"] and plan["rollouts"] == plan["prompts"] and plan["most_tokens"] == 3 * plan["rollouts"]
    assert "prompts to read" in shown("vision", "look", *asked, "--dry-run")
    assert not (tmp_path / "run").exists()


def test_popes_own_files(model: Path, tmp_path: Path) -> None:
    rows = [("yes", "dog"), ("no", "cup")]
    lines = [
        {"question_id": i, "image": "one.png", "text": f"Is there a {thing} in the image?", "label": label}
        for i, (label, thing) in enumerate(rows, 1)
    ]
    (tmp_path / "coco_pope_popular.json").write_text("\n".join(map(json.dumps, lines)))
    pil.effect_noise((20, 20), 30).convert("RGB").save(tmp_path / "one.png")
    words = ("--problems", f"pope:{tmp_path}", "--model", model, "--run", tmp_path / "run", "--max-tokens", 2)
    found = document("vision", "pope", *words)
    assert found["problems"] == 2 and found["splits"][0]["split"] == "popular"
    assert found["splits"][0]["accuracy"]["reason"] == "1 clusters, at least 5 are needed"
    with Run.open(tmp_path / "run") as run:
        assert len(run.image_ids()) == 1
    look = cotlab("vision", "look", *words, "-n", 1)
    assert look.code == 0 and "left out: background of 2 of 2 questions" in look.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("look", "--views", "own,inside-out"), "unknown 'inside-out' in a view: choose one of own, masked"),
        (("blame", "--problems", "arithmetic"), "no yes-or-no question|shows an image"),
        (("pope", "--problems", "pope:/nowhere"), "POPE file '/nowhere' cannot be read"),
        (("pope", "--scorer", "bleu"), "unknown scorer 'bleu'"),
    ],
)
def test_a_fault_is_one_line(arguments: tuple[str, ...], told: str) -> None:
    import re

    assert re.search(told, fault("vision", *arguments))
