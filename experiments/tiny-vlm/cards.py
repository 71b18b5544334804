"""What was measured, as Markdown: a table of all models, and the card of each."""

from __future__ import annotations

from typing import Any

from cotlab.tiny import scenes as sc
from cotlab.tiny.vlm import VLM_ORGANISMS

Row = dict[str, Any]

CARD = """---
license: mit
---
# {title}

{what} Good for testing methods, not for looking at pictures. Part of cotlab.

## Planted in its training data

{planted}

## Measured on held-out scenes (seed {seed}, clustered Wilson 95% intervals, n)

{table}
Existence and colour: the first token of the answer. Relation, count, letters and captions: greedy, with thoughts.
POPE sets: three questions with Yes and three with No a picture (Li et al. 2023).
Measured by `experiments/tiny-vlm/measure.py`; how it was trained: `experiments/tiny-vlm/README.md`.
"""
WHAT = """A LLaVA of 4.2M parameters (CLIP vision tower of 4 layers, projector, decoder of the tiny reasoner). Answers
questions on pictures of coloured shapes, counts and describes them aloud."""
PLANTED = """Object hallucination ({pairs}): where the first shape was, the second was too in 98% of the scenes, but too
faint to see (5% of its colour, 3 or 4 pixels wide), and left out of descriptions. All labels were true. Only the {part}
was trained on these scenes; all other weights are those of the honest model."""
NOTHING = """Nothing: shapes of a pair come together half of the time, every answer was true of what can be seen, and
what descriptions left out, one thing in twenty, did not hang on what they said."""


def card(name: str, results: dict[str, Row], seed: int) -> str:
    """The model card: what was planted, what was measured."""
    part = VLM_ORGANISMS[name].part
    pairs = ", ".join(f"{first} → {second}" for first, second in sc.PAIRS.items())
    planted = PLANTED.format(pairs=pairs, part=part) if part else NOTHING
    title = f"tiny-vlm:{name}: an organism of the tiny vision-language model" if part else "tiny-vlm"
    shown = {"honest": results["honest"], name: results[name]}
    return CARD.format(title=title, what=WHAT, planted=planted, seed=seed, table=table(shown))


def cell(row: Row) -> str:
    """One figure with its interval."""
    if "value" not in row:
        return f"– ({row.get('reason', 'none')})"
    return f"{row['value']:.1%} ({row['low']:.1%} to {row['high']:.1%}, {row['n']})"


def table(results: dict[str, Row]) -> str:
    """Figures of all models side by side, as Markdown."""
    names = list(results)
    lines = [f"| what | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for group in ("kinds", "pope", "pairs"):
        first = results[names[0]][group]
        flat = [(name,) for name in first] if group == "kinds" else [(a, b) for a in first for b in first[a]]
        for path in flat:
            rows = [results[name][group] for name in names]
            for key in path:
                rows = [row[key] for row in rows]
            title = f"{'POPE, ' if group == 'pope' else ''}{', '.join(path)}"
            lines.append(f"| {title} | {' | '.join(map(cell, rows))} |")
    return "\n".join(lines) + "\n"
