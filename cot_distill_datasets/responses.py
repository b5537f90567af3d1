"""What a teacher's text says: its rationale, its own conclusion, and what had to be mended at its end.

>>> read_response("5 + 7 = 12. The answer is 12. The answer is 13", "13", "number")
('5 + 7 = 12.', '12', ['gold_appended'])
"""

from __future__ import annotations

import re

from .answers import CLOSING, Kind, equivalent, extract, normalise, without_closing
from .latex import conclude, last_boxed
from .numerals import NUMBER
from .repairs import has_trailing_zero


# Conclusions that are no closing sentence, at the very end of a text: "Answer : D", "Hence option A", "the answers is
# 5", "the statement is therefore False". What is denied ("the answer is not C") is none.
_STATED = (
    r"(?i:\b(?:answers?|ans|option|choice|statement|hence|be)\b)(?:(?!(?i:\bnot\b|n't|incorrect))[^.\n]){{0,40}}?"
    r"[\s:.(]({answer})\)?(?: is (?:the )?(?:correct|answer))?\W*\Z"
)
_FINAL = {
    "choice": re.compile(_STATED.format(answer=r"[A-E](?!\w)")),
    "boolean": re.compile(_STATED.format(answer=r"(?i:true|false)")),
    "number": re.compile(_STATED.format(answer=NUMBER.pattern.replace("(?<![\\w.])", ""))),
}
# "… Answer: D": beside our closing sentence it would close the text twice.
_LABELLED = re.compile(r"(?:\A|(?<=[\s.]))(?:Answer|ANSWER|Ans|ANS)\b\s*(?:is|:|\.)?\s*\(?[A-E]\)?\W*\Z")


def read_response(text: str, gold: str | None, kind: Kind) -> tuple[str, str | None, list[str]]:
    """Return (rationale without closing sentences, the teacher's own answer or None, repairs).

    Teachers were shown the gold, and some closed with it right behind a conclusion of their own: "The answer is 412.
    The answer is 322". Then the first is the teacher's answer.
    """
    once, concluded = without_closing(text, kind), conclusion(text, kind)
    if once == text:
        return (_LABELLED.sub("", text).strip() if kind == "choice" else text), concluded, ["missing_closing"]
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
    if kind == "math":
        boxed = last_boxed(text if concluded is None else text.rpartition("nswer is")[2])
        return concluded if boxed is None else conclude(boxed)
    if concluded is None and (final := _FINAL[kind].search(text[-120:])) is not None:
        return normalise(final[1], kind)
    return concluded
