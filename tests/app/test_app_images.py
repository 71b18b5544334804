"""Images on the pages: shown safely, their patches named, other images as a branch, features on them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from app.conftest import APP, HOSTILE
from app.pages import branched, page, press, shown, wait_for
from PIL import Image as pil
from PIL.PngImagePlugin import PngInfo
from streamlit.testing.v1 import AppTest

from cotlab.chains.image import Image
from cotlab.chains.tokens import HFTokenizer
from cotlab.models import resolve_model
from cotlab.problems.image_edits import mask_boxes
from cotlab.runs import Run
from cotlab.sampling import StudyConfig, list_jobs, run_study

SEED = 4
"""Of two scenes with the same question."""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="session")
def scenes_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny image-text model counts in two scenes, aloud."""
    folder = tmp_path_factory.mktemp("scenes")
    run_study(
        StudyConfig.of(
            problems="scenes:count",
            n_problems=2,
            seed=SEED,
            model="tiny-vlm",
            engine="transformers",
            cutter="lines",
            positions="0,1",
            max_tokens=100,
            n=5,
            run=folder / "run",
        )
    )
    return folder / "run"


@pytest.fixture
def scenes(root: Path, scenes_run: Path) -> str:
    import shutil

    shutil.copytree(scenes_run, root / "scenes")
    return "scenes"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(APP))
    yield


def drawn(at: AppTest) -> list[ET.Element]:
    """The SVG documents that the pages' components were sent."""
    found = []
    for element in at.get("bidi_component"):
        text = element.proto.json if element.proto.WhichOneof("data") == "json" else ""
        data = json.loads(text) if text else ""
        if isinstance(data, str) and data.startswith("<svg"):
            found.append(ET.fromstring(data))
    return found


def images_in(svg: ET.Element) -> list[Image]:
    """What the `image` elements of a document show, from their addresses."""
    found = []
    for element in svg.iter(f"{SVG}image"):
        kind, _, data = element.attrib["href"].partition(",")
        assert kind == "data:image/png;base64"
        found.append(Image(b64decode(data)))
    return found


def pixels(image: Image) -> np.ndarray:
    return np.asarray(image.open())


def test_the_chain_page_shows_the_image_and_names_the_tokens_of_its_patches(root: Path, scenes: str) -> None:
    at = page("chain", run=scenes)
    assert not at.exception and not at.error, shown(at)
    with Run.open(root / scenes) as run:
        chain = run.chains()[0]
    (svg,) = drawn(at)
    (image,) = images_in(svg)
    assert (pixels(image) == pixels(chain.images[0])).all() and not list(svg.iter(f"{SVG}rect"))
    at = next(box for box in at.toggle if box.label == "Patches").set_value(True).run()
    assert not at.exception and not at.error, shown(at)
    (svg,) = drawn(at)
    cells = list(svg.iter(f"{SVG}rect"))
    token = HFTokenizer.load(resolve_model("tiny-vlm").path).images.token_id
    places = [place for place, one in enumerate(chain.prompt_ids) if one == token]
    assert len(cells) == len(places) == 36
    for cell, place in zip(cells, places, strict=True):
        row, column = divmod(place - places[0], 6)
        assert f"token {place} of the prompt: row {row}, column {column};" in cell.attrib["data-told"]
        side = chain.images[0].width / 6
        assert float(cell.attrib["x"]) == pytest.approx(column * side, abs=0.01)
        assert float(cell.attrib["y"]) == pytest.approx(row * side, abs=0.01)


def test_a_masked_region_is_a_branch_beside_a_control_and_shown_at_it(root: Path, scenes: str) -> None:
    region = (4, 4, 20, 18)

    def fill(at: AppTest) -> None:
        sides = dict(zip(("Left", "Top", "Right", "Bottom"), region, strict=True))
        for box in at.number_input:
            if box.label in sides:
                box.set_value(sides[box.label])
        next(box for box in at.number_input if box.label == "Rollouts of each arm").set_value(5)

    at = branched(root, "image", "1", fill, run=scenes)
    (job,) = list_jobs(root)
    result = job.progress().result
    with Run.open(root / scenes) as run:
        chain = next(one for one in run.chains() if one.id == job.asked["chain_id"])
        changed, control = (run.prefix(result[name]) for name in ("prefix_id", "control_id"))
        n = len(list(run.rollouts(prefix_id=changed.id)))
    own = chain.prefix(1)
    assert changed.token_ids == own.token_ids and changed.id != own.id and n == 5
    (masked,) = changed.images
    assert (pixels(masked) == pixels(mask_boxes(chain.images[0], [region]))).all()
    assert (pixels(control.images[0])[4:18, 4:20] == pixels(chain.images[0])[4:18, 4:20]).all()
    assert control.images != chain.images
    assert "V, other images" in shown(at) and "effect against control: as much masked elsewhere" in shown(at)
    at = page("chain", run=scenes, step="1", branch=changed.id)
    assert not at.exception and not at.error and "5 after this change" in shown(at)
    there = [(svg, image) for svg in drawn(at) for image in images_in(svg) if (pixels(image) == pixels(masked)).all()]
    frames = [[float(one.attrib[k]) for k in ("x", "y", "width", "height")] for one in there[-1][0].iter(f"{SVG}rect")]
    assert frames == [[4.0, 4.0, 16.0, 14.0]]


def test_no_image_and_another_image_are_branches_and_bad_regions_a_line(root: Path, scenes: str) -> None:
    from cotlab.errors import UserError
    from cotlab.sampling import ImageConfig
    from cotlab.sampling.image_branch import image_job
    from cotlab.sampling.progress import Silent

    with Run.open(root / scenes) as run:
        chain, other = run.chains()
    common = {"run": root / scenes, "chain_id": chain.id, "step": 1, "n": 3}
    none = image_job(ImageConfig.of(**common, shows="none"), Silent())
    with Run.open(root / scenes) as run:
        bare = run.prefix(none["prefix_id"])
        assert bare.images == () and bare.kept_ids == chain.prefix(1).kept_ids
        assert len(bare.prompt_ids) == len(chain.prompt_ids) - 36 and none["control_id"] is None
    assert chain.prompt_ids == other.prompt_ids  # so that what comes out is the other problem's own prompt
    found = image_job(ImageConfig.of(**common, shows="other", image=other.images[0].id), Silent())
    with Run.open(root / scenes) as run:
        assert run.prefix(found["prefix_id"]).images == other.images
        assert {row.problem_id for row in run.prefixes() if row.id == found["prefix_id"]} == {chain.problem_id}
        assert run.prompt_text(found["prefix_id"]) == run.prompt_text(other.prefix(0).id)
    again = image_job(ImageConfig.of(**common, shows="none"), Silent())
    assert again["sampled_now"] == 0 and again["prefix_id"] == none["prefix_id"]
    for bad, said in (
        ({"shows": "masked"}, "no region to mask"),
        ({"shows": "masked", "region": (5, 5, 5, 9)}, "is empty or leaves its image"),
        ({"shows": "masked", "region": (0, 0, 999, 9)}, "is empty or leaves its image"),
        ({"shows": "masked", "region": (20, 36, 28, 44)}, r"region \[20, 36, 28, 44\] holds nothing to mask"),
        ({"shows": "other", "image": "feed"}, "no other image"),
        ({"shows": "none", "number": 4}, "numbered from 0"),
        ({"shows": "other", "image": other.images[0].id, "step": 0}, "look at its chain"),
    ):
        with pytest.raises(UserError, match=said):
            image_job(ImageConfig.of(**{**common, **bad}), Silent())
    at = page("chain", run=scenes)
    assert not at.exception and "under other views" in str([box.label for box in at.expander])


def test_a_control_that_would_hide_nothing_is_none() -> None:
    from types import SimpleNamespace

    from PIL import Image as pil

    from cotlab.sampling import ImageConfig
    from cotlab.sampling.image_branch import showings

    picture = pil.new("RGB", (48, 48), "white")
    picture.paste("red", (4, 4, 12, 12))
    chain = SimpleNamespace(images=(Image.of(picture),), id="c")
    asked = ImageConfig.of(run="run", chain_id="c", step=1, shows="masked", region=(3, 3, 13, 13))
    (images, told), control = showings(SimpleNamespace(), chain, asked)  # type: ignore[arg-type]
    assert told == "masked 3,3,13,13" and images != chain.images and control is None
    picture.paste("blue", (24, 0, 48, 48))
    chain.images = (Image.of(picture),)
    _, control = showings(SimpleNamespace(), chain, asked)  # type: ignore[arg-type]
    assert control is not None and control[0] != chain.images


def test_runs_without_images_have_no_such_way_to_branch(root: Path) -> None:
    at = page("branch", run="stairs", step="1")
    assert not at.exception and "other images" not in at.get("button_group")[0].options
    assert not drawn(page("chain", run="stairs"))


def test_features_on_images_have_heat_maps_where_the_autoencoder_is_active(root: Path, scenes: str) -> None:
    from cotlab.saes import load_sae
    from cotlab.whitebox import Inside
    from cotlab.whitebox.vision import image_spans

    at = page("features", run=scenes)
    sae = next(box for box in at.selectbox if box.label == "Autoencoder").value
    assert sae == "tiny-vlm:honest/resid_post:2"
    numbers = {box.label: box for box in at.number_input}
    numbers["Rollouts"].set_value(6)
    numbers["Features"].set_value(2)
    at = press(at, "Read the features")
    assert not at.exception and not at.error, shown(at)
    wait_for(root)
    (job,) = list_jobs(root)
    assert job.progress().state == "done", job.progress().error
    (file,) = (root / scenes / "image-features").glob("*.json")
    told = json.loads(file.read_bytes())
    assert told["n_images"] == 2 and len(told["features"]) == 2
    at = page("features", run=scenes)
    assert not at.exception and not at.error, shown(at)
    assert "told of ten or more images" in shown(at) and "IoU" not in at.dataframe[0].value.columns
    feature = told["features"][0]["feature"]
    inside, loaded = Inside.open("tiny-vlm"), load_sae(sae)
    with Run.open(root / scenes) as run:
        prompts = {chain.images[0].id: chain.prefix(0) for chain in run.chains()}
    svg = next(one for one in drawn(at) if "largest" in "".join(one.itertext()))
    pictures = [one for one in svg if one.tag == f"{SVG}svg"]
    assert len(pictures) == len(told["features"][0]["images"]) >= 1
    for picture, one in zip(pictures, told["features"][0]["images"], strict=True):
        prompt = prompts[one["image"]]
        (span,) = image_spans(inside, prompt)
        rows = inside.read(prompt, [loaded.point])[loaded.point][span.start : span.end]
        heat = loaded.encode(rows)[:, feature].tolist()
        cells = {
            (round(float(r.attrib["x"])), round(float(r.attrib["y"]))): r.attrib["data-told"]
            for r in picture.iter(f"{SVG}rect")
        }
        assert len(cells) == sum(value > 0 for value in heat)
        for box, value in zip(span.layout.tokens.boxes, heat, strict=True):
            if value > 0:
                said = cells[round(float(box[0])), round(float(box[1]))]
                assert float(said.split()[0]) == pytest.approx(value, rel=0.01)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("text", HOSTILE)
def test_captions_and_tips_are_text_and_nothing_of_a_file_but_its_pixels_is_sent(text: str) -> None:
    from parts.pictures import Part, Picture, draw_pictures

    said = "".join(c for c in text if c.isprintable())
    told = PngInfo()
    told.add_text("Comment", "<script>window.hacked = 1</script>")
    picture = pil.new("RGB", (900, 300), (20, 80, 60))
    import io

    held = io.BytesIO()
    picture.save(held, format="PNG", pnginfo=told)
    svg = str(draw_pictures([Picture(Image(held.getvalue()), said, (Part((0, 0, 9, 9), said),)), Picture(None, said)]))
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "title", "image", "rect", "text"}
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    (sent,) = images_in(root)
    assert max(sent.width, sent.height) == 512 and b"hacked" not in sent.data
    assert not re.search(r"https?://(?!www\.w3\.org)", "".join(e.attrib.get("href", "") for e in root.iter()))


@pytest.mark.parametrize("text", ["nothing", '{"format": "cotlab-image-features/9"}', "[]"])
def test_damaged_documents_and_lost_images_are_told(root: Path, scenes: str, text: str, parts: None) -> None:
    from parts import pictures

    folder = root / scenes / "image-features"
    folder.mkdir()
    (folder / "bad.json").write_text(text)
    at = page("features", run=scenes)
    assert not at.exception and at.error and "holds no features of images" in shown(at)
    (folder / "bad.json").unlink()
    (folder / "link.json").symlink_to("/etc/hostname")
    assert "No features were read yet" in shown(page("features", run=scenes))
    for file in (root / scenes / "images").glob("*.png"):
        file.write_bytes(b"no image")
    pictures._uri.cache_clear()  # what was shown before is shown again without its file
    at = page("chain", run=scenes)
    assert not at.exception and at.error and "cannot be read" in shown(at)
