"""`cotlab demo` on the embedded tiny reasoner, whole: the table, the JSON and the page."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

DEMO = [sys.executable, "-m", "cotlab", "demo", "--engine", "transformers", "--problems", "1", "--rollouts", "12"]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.remote += [value for name, value in attrs if name in ("src", "href") and value and "//" in value]


def test_the_demo_samples_reports_and_finds_everything_the_second_time(tmp_path: Path) -> None:
    command = [*DEMO, "--out", str(tmp_path / "demo"), "--json"]
    first = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    values = [step["value_before"] for step in document["steps"]]
    assert all(value["n"] >= 12 and value["low"] <= value["value"] <= value["high"] for value in values)
    assert {step["category"] for step in document["steps"]} & {"active_computation", "plan_generation"}
    page = Path(document["report"]).read_text(encoding="utf-8")
    parser = Tags()
    parser.feed(page)
    assert parser.remote == [] and "Content-Security-Policy" in page
    second = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    again = json.loads(second.stdout)
    assert again["sampled_now"] == 0 and again["steps"] == document["steps"]
