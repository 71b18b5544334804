"""`cotlab demo` on the embedded tiny reasoner, whole: the table, the JSON and the page."""

from html.parser import HTMLParser
from pathlib import Path

from command_line import document

DEMO = ("demo", "--engine", "transformers", "--problems", "1", "--rollouts", "12")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.remote += [value for name, value in attrs if name in ("src", "href") and value and "//" in value]


def test_the_demo_samples_reports_and_finds_everything_the_second_time(tmp_path: Path) -> None:
    first = document(*DEMO, "--out", tmp_path / "demo")
    values = [step["value_before"] for step in first["steps"]]
    assert all(value["n"] >= 12 and value["low"] <= value["value"] <= value["high"] for value in values)
    assert {step["category"] for step in first["steps"]} & {"active_computation", "plan_generation"}
    page = Path(first["report"]).read_text(encoding="utf-8")
    parser = Tags()
    parser.feed(page)
    assert parser.remote == [] and "Content-Security-Policy" in page
    again = document(*DEMO, "--out", tmp_path / "demo")
    assert again["sampled_now"] == 0 and again["steps"] == first["steps"]
