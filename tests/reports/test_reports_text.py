"""Model text and estimates as a person reads them; the Markdown summary."""

import pytest

from cotlab.reports import to_markdown
from cotlab.reports.text import clip, format_estimate, format_number, format_p, one_line, readable, trimmed
from cotlab.stats.estimate import Estimate


@pytest.mark.parametrize(
    ("number", "signed", "shown"),
    [
        (0.615, False, "0.61"),
        (-0.2, True, "−0.20"),
        (0.2, True, "+0.20"),
        (-0.001, True, "0.00"),
        (0.0, True, "0.00"),
        (None, True, "–"),
    ],
)
def test_numbers(number, signed, shown):
    assert format_number(number, signed=signed) == shown


def test_estimates():
    assert format_estimate(Estimate(0.5, 0.4, 0.6, n=100)) == "0.50 [0.40, 0.60]"
    assert format_estimate(Estimate(-0.5, -0.6, 0.1), signed=True) == "−0.50 [−0.60, +0.10]"
    assert format_estimate(Estimate(0.5)) == "0.50"
    assert format_estimate(Estimate.missing("3 rollouts, 10 are needed")) == "3 rollouts, 10 are needed"


@pytest.mark.parametrize(("p", "shown"), [(None, "–"), (0.0002, "<0.001"), (0.04, "0.040"), (1.0, "1.000")])
def test_p_values(p, shown):
    assert format_p(p) == shown


def test_texts():
    assert readable("a\r\nb\x00\t") == "a\nb␀\t"
    assert clip("abcdef", 4) == "abcd… (2 more characters)"
    assert clip("abcd", 4) == "abcd"
    assert one_line("  a\n\n b ", 10) == "a b"
    assert one_line("abcdefgh", 5) == "abcd…"
    assert trimmed("\n</think>\n\n The end. ") == "</think>\n The end."


def test_markdown_has_a_row_a_step_and_escapes(report, report_of):
    text = to_markdown(report)
    rows = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == sum(len(chain.steps) for chain in report.chains)
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert report.command in text
    hostile = to_markdown(
        report_of([("<img src=x> | [x](http://planted.example)\n# planted `code` **b**", None, None)])
    )
    (row,) = [line for line in hostile.splitlines() if "planted" in line]
    assert "\\<img src=x\\> \\| \\[x\\](" in row and "\\# planted \\`code\\`" in row
