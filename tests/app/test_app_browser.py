"""The journey of a reader in a real browser, on the sample run and on a hostile one; screenshots for the README.

Slow; needs Debian's Chromium and Playwright (cotlab's extra `browser`), skipped without them.
`COTLAB_SCREENSHOTS=docs/screenshots` keeps the pictures.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app.conftest import APP, REPORT

import cotlab as ct
from benchmarks.bench_app import FLAGS, serving
from cotlab.problems.image_edits import mask_boxes
from cotlab.reports.text import readable
from cotlab.runs import Run
from cotlab.runs.imports.forking_fast import import_forking_fast
from cotlab.sampling import StudyConfig, list_jobs, run_study
from cotlab.trees import said_at

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PATIENCE = 90_000
PIXELS = """async (image) => {
  const drawn = new Image();
  drawn.src = image.getAttribute("href");
  await drawn.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: drawn.width, height: drawn.height });
  const context = canvas.getContext("2d");
  context.drawImage(drawn, 0, 0);
  const bytes = [...context.getImageData(0, 0, drawn.width, drawn.height).data];
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.slice(4 * i, 4 * i + 4));
}"""
"""Of an SVG image as the browser decodes it."""
FORKING = Path(__file__).parents[3] / "shared" / "data" / "forking-fast"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    shutil.copytree(APP / "sample", root / "demo")
    (root / "backtracking").mkdir()
    shutil.copyfile(REPORT, root / "backtracking" / "report.json")
    return root


@pytest.fixture
def open_browser(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens browsers that know nothing of each other; faults of the page's scripts fail the test."""
    faults: list[str] = []
    with sync_api.sync_playwright() as driver:
        opened = []

        def new(scheme: str = "light", height: int = 1180) -> Any:
            browser = driver.chromium.launch_persistent_context(
                str(tmp_path / f"profile-{len(opened)}"),
                executable_path=CHROMIUM,
                args=FLAGS,
                viewport={"width": 1280, "height": height},
                color_scheme=scheme,
            )
            opened.append(browser)
            page = browser.new_page()
            page.set_default_timeout(PATIENCE)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda told: faults.append(told.text) if "BidiComponent" in told.text else None)
            return page

        yield new
        for browser in opened:
            browser.close()
    assert faults == []


def picture(page: Any, name: str) -> None:
    folder = os.environ.get("COTLAB_SCREENSHOTS")
    if folder:
        page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
        page.wait_for_timeout(1_500)
        page.screenshot(path=f"{folder}/{name}.png")


def fork(folder: Path) -> int:
    """A step of the first chain, not its last, at which the model says several things."""
    with Run.open(folder) as run:
        found = ct.alternatives(run, run.chains()[0], scorer_id="answers")
    return max(range(len(found) - 1), key=lambda k: sum(one.n >= 2 for one in found[k]))


def heading(page: Any, name: str) -> Any:
    return page.get_by_role("heading", name=name, exact=True)


def selected_step(page: Any) -> str:
    return str(page.locator(".cv .step.on .no").inner_text())


def test_a_reader_goes_from_the_runs_to_a_comparison_and_sends_the_link(
    runs: Path, open_browser: Callable[..., Any]
) -> None:
    with serving(runs) as server:
        page = open_browser()
        page.goto(server.url)
        heading(page, "Runs").wait_for()
        picture(page, "runs")
        page.get_by_role("button", name="Open", exact=True).click()
        page.locator(".cv .step").first.wait_for()
        assert "/chain?run=demo" in page.url
        at = fork(runs / "demo")
        page.locator(f'.cv .step[data-step="{at}"]').click()
        heading(page, f"Step {at}").wait_for()
        page.wait_for_url(re.compile(rf"step={at}\b"))
        alternatives = page.locator(".cv .alt")
        assert alternatives.count() >= 1
        # Keyboard: down, up, along the alternatives, back.
        page.keyboard.press("j")
        heading(page, f"Step {at + 1}").wait_for()
        page.keyboard.press("k")
        heading(page, f"Step {at}").wait_for()
        page.keyboard.press("l")
        page.wait_for_timeout(600)
        for _ in range(alternatives.count()):
            if "branch=" in page.url:
                break
            page.keyboard.press("l")
            page.wait_for_timeout(900)
        assert "branch=" in page.url and page.locator(".cv .alt.on").count() == 1
        heading(page, f"Branch at step {at}").wait_for()
        page.keyboard.press("Escape")
        heading(page, f"Step {at}").wait_for()
        page.keyboard.press("?")
        page.locator(".cv .help").wait_for()
        page.keyboard.press("?")
        page.keyboard.press("/")
        page.keyboard.type("check")
        page.wait_for_function("document.querySelector('body') !== null")
        assert re.search(r"\d+ steps, [\d,]+ branches", page.locator(".cv .head .push").first.inner_text())
        page.keyboard.press("Escape")
        # The link, in a browser that has never been here.
        page.locator(".cv .alt:not(:has(.base))").first.click()
        page.wait_for_url(re.compile("branch="))
        heading(page, f"Branch at step {at}").wait_for()
        picture(page, "branch-selected")
        link, step = page.url, selected_step(page)
        alternative = page.locator(".cv .alt.on").count()
        other = open_browser()
        other.goto(link)
        other.locator(".cv .step.on").wait_for()
        assert selected_step(other) == step == str(at)
        assert other.locator(".cv .alt.on").count() == alternative
        # Compare with the step before.
        other.get_by_role("button", name="Compare", exact=True).click()
        heading(other, "Effect, value of B minus value of A").wait_for()
        picture(other, "compare")


def test_the_tree_answers_the_mouse_and_every_page_has_a_picture(runs: Path, open_browser: Callable[..., Any]) -> None:
    with serving(runs) as server:
        for scheme in ("light", "dark"):
            page = open_browser(scheme)
            page.goto(f"{server.url}/chain?run=demo&step=8")
            page.locator(".cv .step.on").wait_for()
            picture(page, f"chain-{scheme}")
            box = page.locator(".cv canvas").bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 18)
            page.locator(".cv .tip").wait_for()
            assert page.locator(".cv .tip .text").inner_text() == "the prompt"
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 18)
            page.wait_for_url(re.compile(r"step=0"))
            for name, told in (("branch?run=demo&step=8", "Branch before step 8"), ("steering", "Steering")):
                page.goto(f"{server.url}/{name}")
                heading(page, told).wait_for()
                picture(page, f"{name.partition('?')[0]}-{scheme}")


def test_a_row_that_was_searched_leads_to_its_rollout(runs: Path, open_browser: Callable[..., Any]) -> None:
    """A sample of its step that is not the one shown first, and a draw that counts for no value."""
    with Run.open(runs / "demo") as run:
        words = next(step.text.strip() for step in run.chains()[0].steps[2:] if len(step.text) > 12)
        rows, _ = run.find_text(words, most=50)
        places, rollouts = said_at(run, rows), [run.rollout(row.rollout_id) for row in rows]
    counts = [one.sample_idx < 500_000 for one in rollouts]
    with serving(runs) as server:
        for row in (counts.index(True, 1), counts.index(False)):
            page = open_browser(height=1500)
            page.goto(f"{server.url}/chain?run=demo&step=0")
            page.locator(".cv .step.on").wait_for()
            page.get_by_text("Search all rollouts of this run").click()
            page.get_by_label("Words").fill(words)
            page.get_by_label("Words").press("Enter")
            table = page.get_by_test_id("stDataFrame")
            table.scroll_into_view_if_needed()
            page.wait_for_timeout(1_500)
            box = table.bounding_box()
            page.mouse.click(box["x"] + 14, box["y"] + 35 * (row + 1) + 17)  # under the line of names
            page.get_by_role("button", name="Go to where it begins").click()
            page.wait_for_url(re.compile(rf"step={places[row].origin}\b.*rollout={rows[row].rollout_id}"))
            assert f"chain={places[row].chain_id}" in page.url
            reads(page, rollouts[row].text)
            picture(page, f"search-{'sample' if counts[row] else 'draw'}")
            other = open_browser(height=1500)  # the link leads there, too
            other.goto(page.url)
            reads(other, rollouts[row].text)
            other.locator(".cv .step.on").wait_for()  # before the server ends, so that nothing is still asked of it


def reads(page: Any, text: str) -> None:
    """Wait until the first rollout that is shown ends in that text."""
    ends = "([place, text]) => (document.querySelector(place)?.textContent ?? '').endsWith(text)"
    page.wait_for_function(ends, arg=['[role="tabpanel"] .box', readable(text)])


@pytest.mark.skipif(not FORKING.exists(), reason="the stores of Forking Fast are not here")
def test_an_import_of_outcomes_shows_its_curve_in_the_browser(runs: Path, open_browser: Callable[..., Any]) -> None:
    import_forking_fast(FORKING / "deepseek" / "row003.json.gz", runs / "fast")
    with serving(runs) as server:
        for scheme in ("light", "dark"):
            page = open_browser(scheme)
            page.goto(f"{server.url}/chain?run=fast")
            page.locator("svg[aria-label='outcome curve']").wait_for()
            assert page.locator("svg[aria-label='outcome curve'] circle").count() == 52, "a point a position"
            page.get_by_text("came without text and token ids").wait_for()
            picture(page, f"outcomes-{scheme}")


def test_hostile_text_does_nothing_in_a_browser(
    runs: Path,
    hostile: Callable[[Path], None],
    hostile_inside: Callable[[Path], None],
    open_browser: Callable[..., Any],
) -> None:
    hostile(runs / "hostile")
    hostile_inside(runs)
    with serving(runs) as server:
        page = open_browser()
        for name in (
            "",
            "chain?run=hostile&step=0",
            "chain?run=hostile&step=4",
            "compare?run=hostile",
            "branch?run=hostile&step=1",
            "inside?run=hostile&step=0",
            "steering?report=hostile-report",
        ):
            page.goto(f"{server.url}/{name}")
            page.locator("h1, .cv .step").first.wait_for()
            page.wait_for_timeout(2_500)
            if name.startswith(("inside", "steering")):
                page.locator("svg[role=img] title").first.wait_for(state="attached")
            assert page.evaluate("window.hacked") is None
            assert page.locator("img[src='x']").count() == 0
        page.goto(f"{server.url}/chain?run=hostile&step=0")
        page.locator(".cv .step").first.wait_for()
        assert page.locator('.cv .step[data-step="0"] .text').inner_text() == "<script>window.hacked = 1</script>"
        page.goto(f"{server.url}/chain?run=..%2Foutside")
        page.get_by_text("is not a name of a run").wait_for()


def test_a_step_is_replaced_and_the_inside_is_read_in_the_browser(runs: Path, open_browser: Callable[..., Any]) -> None:
    Run.open(runs / "demo", writable=True).close()
    with serving(runs) as server:
        page = open_browser(height=1500)
        page.goto(f"{server.url}/branch?run=demo&step=8")
        page.get_by_text("replace", exact=True).first.click()
        page.get_by_label("Say this in its place").fill("Wait, that cannot be right.")
        page.get_by_role("button", name="Draw").click()
        heading(page, "What came of it").wait_for(timeout=240_000)
        page.get_by_text("effect against unedited").first.wait_for()
        picture(page, "branch-edit")
        page.goto(f"{server.url}/chain?run=demo&step=3")
        page.locator(".cv .step.on").wait_for()
        page.goto(f"{server.url}/inside?run=demo&step=8")
        page.get_by_role("button", name="Read the inside").click()
        page.get_by_role("tab", name="Attention").click(timeout=240_000)
        page.locator("svg[aria-label^='attention between steps']").wait_for()
        for scheme in ("light", "dark"):
            other = open_browser(scheme)
            other.goto(f"{server.url}/inside?run=demo&step=8")
            other.get_by_role("tab", name="Attention").click()
            other.locator("svg[aria-label^='attention between steps']").wait_for()
            picture(other, f"inside-{scheme}")


def test_images_are_pointed_at_masked_and_read_in_the_browser(runs: Path, open_browser: Callable[..., Any]) -> None:
    asked = {"problems": "scenes:count", "n_problems": 10, "seed": 4, "model": "tiny-vlm", "engine": "transformers"}
    run_study(StudyConfig.of(**asked, cutter="lines", positions="2", max_tokens=100, n=5, run=runs / "scenes"))
    with Run.open(runs / "scenes") as run:
        shown = run.chains()[0].images[0]
    side = shown.width // 6
    boxes = [(side * x, side * y, side * (x + 1), side * (y + 1)) for y in range(6) for x in range(6)]
    patch = next(k for k, box in enumerate(boxes) if mask_boxes(shown, [box]) != shown)
    with serving(runs) as server:
        page = open_browser(height=1640)
        page.goto(f"{server.url}/chain?run=scenes&step=2")
        page.locator(".place svg image").first.wait_for()
        pixels = page.locator(".place svg image").first.evaluate(PIXELS)
        assert pixels == [list(pixel) for pixel in shown.open().convert("RGBA").get_flattened_data()]
        page.get_by_text("Patches").click()
        page.locator(".place .part").nth(patch).hover()
        page.locator(".place .told", has_text=f"row {patch // 6}, column {patch % 6}").wait_for()
        page.locator(".place .part").nth(patch).click()
        page.locator(".place .part.on").wait_for()
        page.get_by_role("button", name="Branch here").click()
        page.get_by_text("other images", exact=True).click()
        page.locator(".place svg text", has_text="what is shown then").wait_for()
        sides = [page.get_by_label(name, exact=True).input_value() for name in ("Left", "Top", "Right", "Bottom")]
        assert sides == [str(one) for one in boxes[patch]]
        page.get_by_role("button", name="Draw").click()
        heading(page, "What came of it").wait_for(timeout=240_000)
        page.get_by_text("effect against control: as much masked elsewhere").wait_for()
        changed = list_jobs(runs)[0].progress().result["prefix_id"]
        page.goto(f"{server.url}/chain?run=scenes&step=2&branch={changed}")
        page.get_by_text("Here the question shows:").wait_for()
        picture(page, "images-branch")
        page.goto(f"{server.url}/features?run=scenes")
        page.get_by_role("button", name="Read the features").click()
        heading(page, "On the images of the run").wait_for(timeout=240_000)
        page.locator(".place .part").first.hover()
        picture(page, "images-light")


def test_features_are_read_in_the_browser(runs: Path, open_browser: Callable[..., Any]) -> None:
    Run.open(runs / "demo", writable=True).close()
    with serving(runs) as server:
        page = open_browser(height=1400)
        page.goto(f"{server.url}/features?run=demo")
        page.get_by_role("button", name="Read the features").click()
        page.get_by_role("tab", name="Shape").click(timeout=240_000)
        page.locator("svg[role=img]").first.wait_for()
        for scheme in ("light", "dark"):
            other = open_browser(scheme, height=1400)
            other.goto(f"{server.url}/features?run=demo")
            other.get_by_role("tab", name="Contexts").wait_for()
            picture(other, f"features-{scheme}")
