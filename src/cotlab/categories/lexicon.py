"""Words and marks that say what a sentence of a chain of thought does."""

from __future__ import annotations

import re

__all__ = ["CUES", "NUMBER", "backtracks", "content_words", "cues", "numbers", "words"]

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_TOKEN = re.compile(r"[a-z']+|\\[a-z]+|#|[=+*/^≈×÷<>?!:-]")
_CONTENT = re.compile(r"[a-z]+|\d[\d.,]*\d|\d")
_STOP = frozenset(
    "the a an of to in is that so and i it for be we by this as with have on are if which from or me let then there "
    "would".split()
)

CUES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "wait": r"^\W*(?:but |oh,? |so |and )?(?:wait|hold on)\b",
        "hmm": r"\bhmm\b",
        "but": r"^(?:but|however)\b",
        "alternative": r"\b(?:alternatively|another (?:way|approach|method))\b",
        "maybe": r"\b(?:maybe|perhaps|might|not sure|confus\w+|unsure)\b",
        "seems": r"\bseems?\b",
        "question": r"\?\s*$",
        "right?": r"right\?\s*$",
        "mistake": r"\b(?:contradict\w*|discrepan\w*|mistake|wrong|incorrect|error|conflict\w*|mess\w*|missing"
        r"|misunder\w*|misinter\w*)\b",
        "check": r"\b(?:check\w*|verif\w*|confirm\w*|re-?calculat\w*|recount\w*|make sure|re-?compute\w*"
        r"|re-?examin\w*|review|double-check\w*|test)\b",
        "correct": r"\b(?:correct|consistent|matches|makes sense|accurate|right|same (?:result|answer))\b",
        "let me": r"\b(?:let me|let's|let us)\b",
        "think": r"\bthink\b",
        "need to": r"\b(?:need|want|should|have) to\b",
        "will": r"\b(?:i'll|i will|we'll|going to|we can|i can|i could|can use)\b",
        "first": r"^(?:okay, |so,? |now,? )*(?:first|next|then|second|third|finally|starting|step)\b",
        "now": r"^(?:so,? |okay,? )?now\b",
        "know": r"\b(?:remember|recall|know|formula|theorem|property|definition|rule|general|known|identity)\b",
        "because": r"\b(?:because|since)\b",
        "so": r"^so\b",
        "therefore": r"^(?:therefore|thus|hence)\b",
        "total": r"\b(?:total|altogether|in total|overall|summary|conclusion|putting it all|adding|final)\b",
        "answer": r"\banswer\b",
        "final answer": r"final answer",
        "boxed": r"\\boxed",
        "problem": r"\b(?:problem|question|given|asks?|asking|asked|says|states?)\b",
        "i have": r"\bi (?:have|need|'ve got)\b",
        "define": r"\b(?:denote|let|where|call)\b",
        "equals": r"=",
        "approx": r"≈|\\approx",
        "operator": r"[+*/×÷^]|\\times|\\frac|\\div|\d\s*-\s*\d",
        "colon": r":\s*$",
        "item": r"^\s*(?:[-*•]|\d+[.)])\s",
        "formula": r"\\\(|\\\[|\$",
        "yes": r"^(?:yes|yep|yeah|okay|ok|great|good|perfect|ah)\b",
        "no": r"^(?:no|nope)\b|\bno,",
        "compute": r"\b(?:calculat\w*|comput\w*|simplif\w*|solv\w*|multipl\w*|divid\w*|subtract\w*|add\w*|plug\w*"
        r"|substitut\w*|expand\w*)\b",
        "if": r"^(?:so,? |but |now,? )?(?:if|when)\b",
        "each": r"\b(?:each|every|all|any|always)\b",
        "example": r"\b(?:for example|for instance|e\.g\.|such as)\b",
        "means": r"\b(?:means?|implies|meaning|which is|that is|corresponds?|represents?)\b",
        "again": r"\bagain\b",
        "actually": r"\bactually\b",
        "earlier": r"\b(?:earlier|previous\w*|before|initial\w*|already|above)\b",
        "no words": r"^[^a-z]*$",
        "would be": r"\b(?:would be|should be|will be)\b",
        "not": r"\b(?:not|n't)\b",
        "how many": r"\bhow many\b",
        "method": r"\b(?:approach|method|way|strategy|step by step|break|formula)\b",
    }.items()
}
"""Regular expressions by name; each is on or off for a sentence."""

_BACKTRACKS = re.compile(
    r"""
    \b(?:start(?:ing)?[ ]over|start[ ](?:again|afresh)|scrap[ ]th)
    | \bback[ ]to[ ](?:square[ ]one|the[ ](?:start|beginning))\b
    | \b(?:go(?:ing)?|step(?:ping)?|went)[ ]back[ ](?:to|and)\b
    | (?:^|[,.!]\ )\W*back[ ]to[ ](?!the[ ]original[ ]problem)
    | \b(?:dead[ ]end|no[ ]luck)\b
    | \b(?:that|this|it|which)[ ](?:fails|won't[ ]work|(?:doesn't|does[ ]not|didn't)[ ](?:work|help|lead))\b
    | \b(?:approach|method|way|path|attempt|idea)[ ](?:fails|won't[ ]work|(?:is(?:n't|[ ]not)|was(?:n't|[ ]not))[ ]
        (?:working|right|correct|helpful)|(?:doesn't|does[ ]not|didn't)[ ](?:work|help|seem[ ]to[ ]work))\b
    | \b(?:try|need|find|think[ ]of|use|want)[ ](?:a[ ](?:different|better|new)|another)[ ]
        (?:approach|way|method|idea|path|strategy|one|combination)\b
    | ^\W*(?:wait|hmm|no)\b[^.?!]*\b(?:another[ ](?:way|approach|idea)|better[ ]idea|different[ ]approach)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def backtracks(sentence: str) -> bool:
    """Whether a sentence says that it gives up the present attempt, or goes back to before it (rule `backtracks/1`)."""
    return bool(_BACKTRACKS.search(sentence))


def cues(sentence: str) -> frozenset[str]:
    """Names of the cues that a sentence shows."""
    return frozenset(name for name, pattern in CUES.items() if pattern.search(sentence))


def words(sentence: str) -> list[str]:
    """Lower-case words, LaTeX commands and operators in order; every number is `#`."""
    return _TOKEN.findall(NUMBER.sub("#", sentence.lower()))


def content_words(sentence: str) -> frozenset[str]:
    """Words and numbers that carry content."""
    return frozenset(word for word in _CONTENT.findall(sentence.lower()) if word not in _STOP)


def numbers(sentence: str) -> frozenset[str]:
    """Numbers as they are written."""
    return frozenset(number.strip(",") for number in NUMBER.findall(sentence))
