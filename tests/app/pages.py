"""Driving the pages as Streamlit runs them, for the tests beside this file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from app.conftest import APP
from streamlit.testing.v1 import AppTest

from cotlab.sampling import list_jobs


def page(name: str, **params: str) -> AppTest:
    """A page, as a link leads to it."""
    at = AppTest.from_file(str(APP / "streamlit_app.py"), default_timeout=120)
    if name != "runs":
        at.switch_page(f"app_pages/{name}.py")
    for key, value in params.items():
        at.query_params[key] = value
    return at.run()


def shown(at: AppTest) -> str:
    """All HTML and text of a page."""
    parts = [element.proto.body for element in at.get("html")]
    parts += [block.value for kind in (at.code, at.info, at.error, at.subheader, at.caption) for block in kind]
    return "\n".join(parts)


def param(at: AppTest, name: str) -> str:
    value = at.query_params.get(name, "")
    return value[0] if isinstance(value, list) and value else str(value or "")


def press(at: AppTest, label: str) -> AppTest:
    return next(button for button in at.button if button.label == label).click().run()


def branched(root: Path, way: str, step: str, fill: Callable[[AppTest], None], run: str = "stairs") -> AppTest:
    """Choose a way to branch, fill its form in, wait for its job, and open the page again."""
    at = page("branch", run=run, step=step)
    at = at.get("button_group")[0].set_value(way).run()
    fill(at)
    at = press(at, "Draw")
    assert not at.exception and not at.error, shown(at)
    (job,) = list_jobs(root)
    until = time.monotonic() + 250
    while job.alive() and time.monotonic() < until:
        time.sleep(0.2)
    assert job.progress().state == "done", job.progress().error
    at = page("branch", run=run, step=step)
    return at.get("button_group")[0].set_value(way).run()


def imported(root: Path, kind: str, path: str, name: str) -> AppTest:
    at = page("runs")
    next(box for box in at.selectbox if box.label == "Format").set_value(kind)
    texts = {box.label: box for box in at.text_input}
    texts["File or folder on this machine"].set_value(path)
    texts["Name of the new run"].set_value(name)
    return press(at, "Import")


def wait_for(root: Path) -> None:
    (job,) = list_jobs(root)
    until = time.monotonic() + 250
    while job.alive() and time.monotonic() < until:
        time.sleep(0.2)
