"""How many sentence cuts agree with the published chunks of Thought Anchors, and why the others differ.

    python experiments/cutting-agreement/run.py --data FOLDER [--out results.json] [--examples 3]

FOLDER holds `{model}/{kind}/problem_N/{base_solution,chunks_labeled}.json`, as the math-rollouts data set does.

1. The text that was cut is the response between its think tags.
2. The published chunks, joined, have the text's characters but for white space, in order. So the end of each chunk is
   the text position with as many non-blank characters before it; no chunk is searched for.
3. Cuts are compared in that coordinate: where among the non-blank characters, whatever the white space around.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from cotlab.chains import CUTTERS, Cutter, get_cutter, split_response

LIST_NUMBER = re.compile(r"(?:^|\n)\s*[*_]*\d{1,2}\.\s*\Z")
FACTORIAL = re.compile(r"[\w)}]!\s*\Z")
ABBREVIATION = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|vs|etc|e\.g|i\.e|cf|Eq|Fig)\.\s*\Z")
LIST_ITEM = re.compile(r"\s*(?:[-*•]|\(?\d{1,3}[.)]|#{1,6})\s")
SHORT = 10
"""Published chunks shorter than this were joined to the next."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A think text and its published cuts."""

    name: str
    text: str
    published: frozenset[int]
    """Cuts as numbers of non-blank characters before them."""


def read_traces(data: Path) -> Iterator[Trace]:
    """All traces below a folder, by name.

    Raises:
        ValueError: The chunks of a trace do not join to its text.
    """
    for path in sorted(data.glob("*/*/problem_*/chunks_labeled.json")):
        name = "/".join(path.parts[-4:-1])
        chunks = [_solid(entry["chunk"]) for entry in json.loads(path.read_text(encoding="utf-8"))]
        solution = json.loads((path.parent / "base_solution.json").read_text(encoding="utf-8"))["solution"]
        text = split_response(solution).think
        if _solid(text) != "".join(chunks):
            raise ValueError(f"{name}: the chunks do not join to the text")
        yield Trace(name, text, frozenset(accumulate(len(chunk) for chunk in chunks[:-1])))


def cuts_of(cutter: Cutter, text: str) -> frozenset[int]:
    """Cuts of a text in the same coordinate."""
    before = [0, *accumulate(not char.isspace() for char in text)]
    return frozenset(before[end] for end in cutter.cut_text(text)[:-1])


def compare(traces: list[Trace], cutter: Cutter) -> dict[str, float | int]:
    """Agreement over all cuts of all traces: precision and recall of the cutter against the published cuts."""
    both = ours = published = 0
    for trace in traces:
        cuts = cuts_of(cutter, trace.text)
        both += len(cuts & trace.published)
        ours += len(cuts)
        published += len(trace.published)
    precision, recall = both / ours, both / published
    f1 = 2 * precision * recall / (precision + recall)
    return {
        "cuts": ours,
        "published": published,
        "agree": both,
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(f1, 4),
    }


def differences(traces: list[Trace], cutter: Cutter) -> dict[str, list[str]]:
    """Cuts that only one of the two has, by class, each as the text around it with `|` at the cut."""
    classes: dict[str, list[str]] = {}
    for trace in traces:
        cuts = cuts_of(cutter, trace.text)
        solid = [i for i, char in enumerate(trace.text) if not char.isspace()]
        bounds = sorted({0, len(solid), *cuts, *trace.published})
        for cut in sorted(cuts ^ trace.published):
            place = bounds.index(cut)
            left, right = trace.text[: solid[cut - 1] + 1], trace.text[solid[cut] :]
            pieces = cut - bounds[place - 1], bounds[place + 1] - cut
            gap = trace.text[len(left) : solid[cut]]
            kind = _only_ours(left, gap, right, pieces) if cut in cuts else _only_published(left, gap, right)
            classes.setdefault(kind, []).append(f"{left[-40:]}{gap}|{right[:40]}")
    return classes


def _only_ours(left: str, gap: str, right: str, pieces: tuple[int, int]) -> str:
    if LIST_ITEM.match(right) and "\n\n" not in gap and not re.search(r"[.?!]\Z", left):
        return "ours only: list item on its own line"
    if left.endswith(('."', '?"', '!"', ".)", "?)", "!)", ".”", "?”", ".*", "?*", "!*", ".**")):
        return "ours only: quote or bracket closes behind the full stop"
    if min(pieces) < SHORT:
        return "ours only: step of fewer than 10 characters that is a formula, or a verdict that ends its paragraph"
    return "ours only: other"


def _only_published(left: str, gap: str, right: str) -> str:
    if LIST_NUMBER.search(left):
        return "published only: cut between a list number and its item"
    if FACTORIAL.search(left) and not right[:1].isupper():
        return "published only: cut behind a factorial"
    if left.endswith("..") and not right[:1].isupper():
        return "published only: cut behind an ellipsis that the sentence goes on after"
    if ABBREVIATION.search(left):
        return "published only: cut behind an abbreviation"
    if re.match(r"[A-Za-z' ]{1,9}[.!?]", right):
        return 'published only: cut before a verdict that ends its paragraph ("Correct.")'
    return "published only: other"


def _solid(text: str) -> str:
    return re.sub(r"\s", "", text)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description="Agreement of cuts with the published chunks of Thought Anchors.")
    parser.add_argument("--data", type=Path, required=True, help="folder with {model}/{kind}/problem_N")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--examples", type=int, default=2, help="examples of each class of difference")
    args = parser.parse_args()
    traces = list(read_traces(args.data))
    if not traces:
        parser.error(f"--data {args.data} holds no {{model}}/{{kind}}/problem_N/chunks_labeled.json")
    found = differences(traces, get_cutter("sentences/1"))
    counts = Counter({kind: len(places) for kind, places in found.items()})
    results = {
        "traces": len(traces),
        "agreement": {cutter.id: compare(traces, cutter) for cutter in CUTTERS if cutter.rule},
        "differences of sentences/1": dict(counts.most_common()),
        "examples": {
            kind: places[:: max(1, len(places) // args.examples)][: args.examples] for kind, places in found.items()
        },
    }
    args.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({key: results[key] for key in results if key != "examples"}, indent=2))


if __name__ == "__main__":
    main()
