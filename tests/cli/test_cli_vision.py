"""Problems with images on the command line, with a small random image-text model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import cotlab, document, fault, shown
from vision_small import picture, vlm_folder

from cotlab.chains.image import Image
from cotlab.engines import engine_for
from cotlab.interventions import HookPoint
from cotlab.measures import Shown
from cotlab.runs import Run, verify_run
from cotlab.whitebox import EndReader, Inside

HOSTILE = "<img src=x onerror='alert(1)'>"


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for i in range(2):
        (tmp_path / "pictures" / f"{i}.png").write_bytes(picture(900, 600, i).data)
    rows = [
        {"question": f"Is it red? {HOSTILE}", "answer": "yes", "checker": "exact", "image": "pictures/0.png"},
        {"question": "Which comes first?", "answer": "yes", "images": ["pictures/1.png", "pictures/0.png"]},
        {"question": "And without?", "answer": "yes", "checker": "exact"},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def study(problems: Path, model: object, run: Path) -> list[object]:
    return [
        *("resample", "--problems", problems, "--model", model, "--engine", "auto", "--template", "plain"),
        *("-n", 2, "--positions", 0, "--max-tokens", 12, "--run", run),
    ]


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_a_study_of_problems_with_images(tmp_path, problems, vision_root, family):
    model, run = vlm_folder(vision_root, family), tmp_path / "run"
    found = document(*study(problems, model, run))
    assert found["engine"] == "transformers" and found["sampled_now"] > 0
    assert verify_run(run) == []
    with Run.open(run) as opened:
        shown_with = {problem.question[:5]: problem.images for problem in opened.problems().values()}
        assert [len(images) for images in shown_with.values()] == [1, 2, 0]
        first, second = (Image.load(problems.parent / "pictures" / f"{i}.png") for i in range(2))
        assert shown_with["Is it"] == (first,) and shown_with["Which"] == (second, first)
        assert {chain.images for chain in opened.chains()} == set(shown_with.values())
    again = document(*study(problems, model, run))
    assert again["sampled_now"] == 0
    page = tmp_path / "report.html"
    shown("report", run, "--out", page)
    html = page.read_text()
    addresses = re.findall(r'<img class="shown" src="([^"]*)"', html)
    assert len(addresses) == 2 and html.count("shown above</a>") == 1, "each image once a page"
    assert all(re.fullmatch(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/=]+", address) for address in addresses)
    assert max(map(len, addresses)) < len(first.data), "small, and not the file itself"
    assert "<img src=x" not in html


def test_white_box_commands_see_the_images_of_a_run(tmp_path, problems, vision_root):
    """Training a lens and reading states, on a run whose first chain shows an image."""
    model, run = vlm_folder(vision_root, "llava"), tmp_path / "run"
    document(*study(problems, model, run), "--n-problems", 2)
    trained = document("lens", run, "--train", tmp_path / "lens.safetensors", "-n", 5, "--model", model)
    assert trained["tuned"]["kl_before"][0] > 0 and trained["tuned"]["kl_before"] != trained["tuned"]["kl_after"]
    said = document("patchscope", run, "--step", 0, "--layers", 1, "-n", 2, "--model", model)
    assert said["readings"] and all(len(one["texts"]) == 2 for one in said["readings"])
    with Run.open(run) as opened:
        inside, point = Inside.open(str(model)), HookPoint("resid_post", 1)
        chain = opened.chains()[0]
        whole = Shown("p", "f", True, (opened.rollout(chain.rollout_id).text,), False, chain.rollout_id)
        found = EndReader(opened, inside, [point]).read([whole, whole.changed(lambda _: "")], point)
        wanted = inside.read(chain.prefix(0).extend(chain.response_ids), [point])[point]
    assert chain.images
    assert np.allclose(found[0], wanted[-1].numpy(), atol=1e-4)
    assert np.allclose(found[1], wanted[len(chain.prompt_ids) - 1].numpy(), atol=1e-4)


def test_a_text_model_is_shown_no_image(tmp_path, problems):
    said = fault(*study(problems, "tiny", tmp_path / "run"))
    assert "shows 1 images; this model sees none" in said and "leave the images out" in said


def test_vllm_is_refused_before_it_loads(tmp_path, problems, vision_root):
    model = vlm_folder(vision_root, "llava")
    said = fault(*study(problems, model, tmp_path / "run"), "--engine", "vllm")
    assert "sees images" in said and "--engine transformers" in said
    assert engine_for(str(model)) == "transformers"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"GIF89a", "no PNG or JPEG"), (b"\0" * (33 << 20), "the limit is")],
)
def test_an_image_that_cannot_be_shown_is_one_line(tmp_path, problems, vision_root, content, said):
    path = problems.parent / "pictures" / "0.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    line = fault(*study(problems, vlm_folder(vision_root, "llava"), tmp_path / "run"))
    assert said in line and "line 1" in line and "0.png" in line
    assert not (tmp_path / "run").exists()


def test_hook_points_before_the_decoder_are_not_captured_of_rollouts(tmp_path, problems, vision_root):
    asked = study(problems, vlm_folder(vision_root, "llava"), tmp_path / "run")
    done = cotlab(*asked, "--capture", "vision_post:1")
    assert done.code == 2 and "belongs to the images of a prompt" in " ".join(done.err.split())
