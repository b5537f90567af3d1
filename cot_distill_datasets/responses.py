"""What a teacher's text says: its rationale, its own conclusion, and what had to be mended at its end.

>>> read_response("5 + 7 = 12. The answer is 12. The answer is 13", "13", "number")
('5 + 7 = 12.', '12', ['gold_appended'])
"""

from __future__ import annotations

import re

from .answers import CLOSING, Kind, denies, equivalent, extract, normalise
from .closings import without_closing
from .latex import conclude, last_boxed
from .numerals import NUMBER
from .repairs import has_trailing_zero


# Conclusions that are no closing sentence, at the very end of a text: "Answer : D", "Hence option A", "the answers is
# 5", "the statement is therefore False". What is denied ("the answer is not C") is none.
_STATED = (
    r"(?i:\b(?:answers?|ans|option|choice|statement|hence|be)\b)(?:(?!(?i:\bnot\b|n't|incorrect))[^.\n]){{0,40}}?"
    r"[\s:.(]({answer})\)?(?: is (?:the )?(?:correct|answer))?\W*\Z"
)
_BARE_ANSWER = 12  # characters of a text that is nothing but an answer
_NUMBER = NUMBER.pattern.replace(r"(?<![\w.])", "")
_FINAL = {
    "choice": re.compile(_STATED.format(answer=r"[A-E](?!\w)")),
    "boolean": re.compile(_STATED.format(answer=r"(?i:true|false)")),
    "number": re.compile(_STATED.format(answer=_NUMBER)),
    "math": re.compile(rf"(?:\b(?:is|are|be)|[=:])\s*\$?({_NUMBER})\$?[^\d=]{{0,40}}\Z"),  # "so $m + n = 527$."
}
_OFFHAND = re.compile(r"(?:\bIMO|\bi\.?e\.?|\bOA is correct -|[.=]|\bis in)\s*\(?([A-E])\)?\W*\Z")  # of AQuA's forums
# "… Answer: D": beside our closing sentence it would close the text twice.
_LABELLED = re.compile(r"(?:\A|(?<=[\s.]))(?:Answer|ANSWER|Ans|ANS)\b\s*(?:is|:|\.)?\s*\(?[A-E]\)?\W*\Z")


def read_response(text: str, gold: str | None, kind: Kind) -> tuple[str, str | None, list[str]]:
    """Return (rationale without closing sentences, the teacher's own answer or None, repairs).

    Teachers were shown the gold, and some closed with it right behind a conclusion of their own: "The answer is 412.
    The answer is 322". Then the first is the teacher's answer.
    """
    once, concluded = without_closing(text, kind), conclusion(text, kind)
    if once == text:
        found = ["missing_closing", *(["denied"] if concluded is None and denies(text) else [])]
        if concluded is None and _is_cut(text):
            found.append("cut_text")
        if _is_bare(text) and normalise(text, kind) == concluded is not None:
            return "", concluded, found  # nothing but the answer
        return (_LABELLED.sub("", text).strip() if kind == "choice" else text), concluded, found
    repairs = ["trailing_zero"] if has_trailing_zero(text[len(once) :].rpartition(CLOSING)[2]) else []
    rationale = once
    while (shorter := without_closing(rationale, kind)) != rationale:
        own = extract(rationale, kind, strict=True)
        if own and concluded and not equivalent(own, concluded, kind):
            if rationale == once and gold and equivalent(concluded, gold, kind):
                return shorter, own, [*repairs, "gold_appended"]
            break
        rationale = shorter
    return rationale, concluded, [*repairs, "doubled_closing"] if rationale != once else repairs


def conclusion(text: str, kind: Kind) -> str | None:
    r"""Return the answer that a teacher concludes with: in its closing sentence, or else at the very end of its text.

    Of LaTeX, a `\boxed` behind the closing sentence, or without one, counts.
    """
    concluded = extract(text, kind, strict=True)
    if kind == "math" and (boxed := last_boxed(text if concluded is None else text.rpartition("nswer is")[2])):
        return conclude(boxed)
    if concluded is not None or denies(text):
        return concluded
    if _is_bare(text):
        return normalise(text, kind)
    final = _FINAL[kind].search(text[-120:]) or (_OFFHAND.search(text[-120:]) if kind == "choice" else None)
    return normalise(final[1], kind) if final else None


def _is_bare(text: str) -> bool:
    return len(text.split()) == 1 and len(text) <= _BARE_ANSWER


def _is_cut(text: str) -> bool:
    """Whether a text ends in the middle: some of GPT-4o's on MATH were cut inside a formula."""
    return text.endswith(",") or text.count("{") != text.count("}") or text.count("$") % 2 == 1
