"""What the category model sees of each sentence: its words, its neighbours, its place, and what it says again.

A feature has a name, whose first part tells its group:

- `word:`, `pair:`, `start1:` … `start3:`, `end:`: words, with every number written as `#`;
- `cue<o>:`: cues (`cotlab.categories.lexicon`) of the sentence at offset o, −3 … 3; `start<k>@<o>:` how
  neighbours begin;
- `form:`, `place:`: length, share of letters and digits, equations; place from the start and from the end;
- `again:`: numbers of the question or of earlier sentences, the most similar earlier sentence;
- `phase:`: whether the result of the chain was already said, how long ago something was checked or doubted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from cotlab.categories.lexicon import content_words, cues, numbers, words

__all__ = ["Features", "sentence_features"]

REACH = 3
"""Neighbours on each side whose cues are seen."""
_RESULT = re.compile(r"(?:=|≈)\s*\\?\(?\s*(\d[\d,]*(?:\.\d+)?)[^=≈]*$")
_SUM = re.compile(r"[\d.]+\s*[-+*/×]\s*[\d.]+")
_SHARED = ("again:new", "again:most", "form:equations", "again:far", "form:letters", "form:words", "again:seen")
"""Features of the neighbours that are seen as well."""
_EMPHATIC = re.compile(r"\b(?:so|therefore|thus|hence|answer|total|result|final)\b", re.IGNORECASE)
_ANEW = re.compile(r"again|another way|double", re.IGNORECASE)

Features = dict[str, float]


def sentence_features(sentences: Sequence[str], question: str = "") -> list[Features]:
    """Features of every sentence of a chain of thought.

    Args:
        sentences: The whole chain, in order: place and recurrence are those within it.
        question: What was asked; without it, what is quoted from the question is not seen.

    Returns:
        One mapping from feature names to values (0 where a name is missing) for each sentence.
    """
    seen = [cues(sentence) for sentence in sentences]
    own = [
        form | place | again | phase
        for form, place, again, phase in zip(
            [_form(sentence) for sentence in sentences],
            [_place(idx, len(sentences)) for idx in range(len(sentences))],
            _again(sentences, question),
            _phases(sentences, seen),
            strict=True,
        )
    ]
    tokens = [words(sentence) for sentence in sentences]
    rows = [
        {**own[idx], **_context(idx, own, seen), **_wording(tokens[idx]), **_openings(idx, tokens)}
        for idx in range(len(sentences))
    ]
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def _form(sentence: str) -> Features:
    length = max(len(sentence), 1)
    plain = re.sub(r"\\[a-z]+", "", sentence)
    return {
        "form:length": math.log1p(len(sentence)) / 5,
        "form:words": math.log1p(len(sentence.split())) / 3,
        "form:short": len(sentence.split()) < 5,
        "form:letters": sum(char.isalpha() for char in plain) / length,
        "form:digits": sum(char.isdigit() for char in sentence) / length,
        "form:equations": min(sentence.count("=") + sentence.count("≈"), 4) / 4,
        "form:numbers": min(len(numbers(sentence)), 8) / 8,
    }


def _place(idx: int, n: int) -> Features:
    left = n - 1 - idx
    return {
        "place:share": idx / n,
        "place:share²": (idx / n) ** 2,
        "place:from start": math.log1p(idx) / 5,
        "place:from end": math.log1p(left) / 5,
        "place:first": idx == 0,
        "place:first 3": idx < 3,
        "place:first 8": idx < 8,
        "place:last": left == 0,
        "place:last 4": left < 4,
        "place:last 10": left < 10,
    }


def _again(sentences: Sequence[str], question: str) -> list[Features]:
    """Numbers said before, and the most similar sentence before (Jaccard index of content words)."""
    asked, asked_words = numbers(question), content_words(question)
    contents, said = [content_words(sentence) for sentence in sentences], [numbers(one) for one in sentences]
    counts: Counter[str] = Counter()
    rows = []
    for idx, sentence in enumerate(sentences):
        here, row = said[idx], Features()
        if here:
            known = sum(number in counts for number in here) / len(here)
            row["again:seen"], row["again:new"] = known, 1 - known
            row["again:question"] = len(here & asked) / len(here)
            row["again:previous"] = len(here & said[idx - 1]) / len(here) if idx else 0
            row["again:often"] = min(max(counts[number] for number in here), 6) / 6
            row["again:recent"] = len(here & frozenset().union(*said[max(0, idx - 6) : idx])) / len(here)
            row["again:restates"] = idx > 0 and here <= said[idx - 1]
        else:
            row["again:no number"] = 1
        if result := _RESULT.search(sentence):
            row["again:result seen" if result[1] in counts else "again:result new"] = 1
        row["again:question words"] = len(contents[idx] & asked_words) / max(len(contents[idx]), 1)
        most, distance = _most_similar(contents, idx)
        row["again:most"], row["again:far"] = most, most * (distance > 5)
        row["again:repeats"] = most > 0.8 and len(contents[idx]) > 3
        rows.append(row)
        counts.update(here)
    return rows


def _most_similar(contents: Sequence[frozenset[str]], idx: int) -> tuple[float, int]:
    best, distance = 0.0, 0
    for other in range(idx):
        union = len(contents[idx] | contents[other])
        similarity = len(contents[idx] & contents[other]) / union if union else 0
        if similarity >= best:
            best, distance = similarity, idx - other
    return best, distance


def _phases(sentences: Sequence[str], seen: Sequence[frozenset[str]]) -> list[Features]:
    """Whether the chain already came to its result, and how fresh a check or a doubt is."""
    said = [numbers(sentence) for sentence in sentences]
    late = Counter(number for here in said[-12:] for number in here)
    results = frozenset(number for number, _ in late.most_common(2) if len(number) > 1)
    since, verifying, came, sums, rows = dict.fromkeys(("check", "wait", "alternative"), 50), 0.0, -1, set[str](), []
    for idx, sentence in enumerate(sentences):
        here, row = seen[idx], Features()
        for cue in since:
            since[cue] = 0 if cue in here else since[cue] + 1
            row[f"phase:since {cue}"] = math.exp(-since[cue] / 4)
        result = bool(said[idx] & results)
        if came < 0 and result and _EMPHATIC.search(sentence):
            came = idx
        verifying = 1.0 if "check" in here or _ANEW.search(sentence) else 0.85 * verifying
        computed = {re.sub(r"\s", "", match) for match in _SUM.findall(sentence)}
        if computed:
            row["phase:sums again"], row["phase:sums new"] = len(computed & sums) / len(computed), not computed & sums
        sums |= computed
        concludes, equation, after = bool(here & {"so", "therefore"}), "equals" in here, 0 <= came < idx
        recent = said[idx] & frozenset().union(*said[max(0, idx - 6) : idx])
        rows.append(
            row
            | {
                "phase:result": result,
                "phase:comes to result": came == idx,
                "phase:after result": after,
                "phase:verifying": verifying,
                "phase:verifying, equation": verifying * equation,
                "phase:after result, equation": after and equation,
                "phase:after result, so": after and concludes,
                "phase:result, so": result and concludes,
                "phase:so, equation": concludes and equation,
                "phase:so, no equation": concludes and not equation,
                "phase:so, recent": concludes * len(recent) / max(len(said[idx]), 1),
            }
        )
    return rows


def _context(idx: int, own: Sequence[Features], seen: Sequence[frozenset[str]]) -> Features:
    row = Features()
    for offset in range(-REACH, REACH + 1):
        there = idx + offset
        if not 0 <= there < len(seen):
            row[f"cue{offset}:edge"] = 0.5
            continue
        row.update(dict.fromkeys((f"cue{offset}:{cue}" for cue in seen[there]), 0.5 if offset else 1.0))
        if offset in (-1, 1):
            row.update({f"{name}@{offset}": own[there].get(name, 0) for name in _SHARED})
    return row


def _wording(tokens: Sequence[str]) -> Features:
    row = {f"word:{token}": 0.5 for token in tokens}
    row.update({f"pair:{a} {b}": 0.35 for a, b in zip(tokens, tokens[1:], strict=False)})
    row.update({f"start{k}:{' '.join(tokens[:k])}": 0.6 for k in (1, 2, 3)})
    row[f"end:{' '.join(tokens[-2:])}"] = 0.4
    return row


def _openings(idx: int, tokens: Sequence[Sequence[str]]) -> Features:
    around = [(offset, tokens[idx + offset]) for offset in (-1, 1) if 0 <= idx + offset < len(tokens)]
    return {f"start{k}@{offset}:{' '.join(there[:k])}": 0.4 for offset, there in around for k in (1, 2)}
