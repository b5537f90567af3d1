"""Split a teacher's text into its rationale and its own conclusion, and repair its closing sentences.

>>> read_response("5 + 7 = 12. The answer is 12. The answer is 13", "13", "number")
('5 + 7 = 12.', '12', ['gold_appended'])
"""

import re

from ..grading.answers import CLOSING, Kind, denies, equivalent, extract, normalize
from ..grading.closings import strip_closing
from ..grading.latex import answer_in_expression, last_boxed
from ..grading.numbers import NUMBER
from .repairs import has_trailing_zero


# Conclusions at the end of a text in another form than the closing sentence: "Answer : D", "Hence option A", "the
# answers is 5", "the statement is therefore False". A rejected answer ("the answer is not C") does not count.
_STATED = (
    r"(?i:\b(?:answers?|ans|option|choice|statement|hence|be)\b)(?:(?!(?i:\bnot\b|n't|incorrect))[^.\n]){{0,40}}?"
    r"[\s:.(]({answer})\)?(?: is (?:the )?(?:correct|answer))?\W*\Z"
)
_MAX_BARE_ANSWER = 12  # characters of a text that is only an answer
_NUMBER = NUMBER.pattern.replace(r"(?<![\w.])", "")
_FINAL = {
    "choice": re.compile(_STATED.format(answer=r"[A-E](?!\w)")),
    "boolean": re.compile(_STATED.format(answer=r"(?i:true|false)")),
    "number": re.compile(_STATED.format(answer=_NUMBER)),
    "math": re.compile(rf"(?:\b(?:is|are|be)|[=:])\s*\$?({_NUMBER})\$?[^\d=]{{0,40}}\Z"),  # "so $m + n = 527$."
}
# Conclusions of AQuA's texts, which come from forums.
_INFORMAL = re.compile(r"(?:\bIMO|\bi\.?e\.?|\bOA is correct -|[.=]|\bis in)\s*\(?([A-E])\)?\W*\Z")
# "… Answer: D", which would repeat the closing sentence that is added after it.
_LABELLED = re.compile(r"(?:\A|(?<=[\s.]))(?:Answer|ANSWER|Ans|ANS)\b\s*(?:is|:|\.)?\s*\(?[A-E]\)?\W*\Z")


def read_response(text: str, gold: str | None, kind: Kind) -> tuple[str, str | None, list[str]]:
    """Return (rationale without closing sentences, the teacher's own answer or None, flags).

    Teachers were shown the gold, and some added it after their own conclusion: "The answer is 412. The answer is 322".
    Then the first one is the teacher's answer.
    """
    once, answer = strip_closing(text, kind), conclusion(text, kind)
    if once == text:
        flags = ["missing_closing", *(["denied"] if answer is None and denies(text) else [])]
        # Some of GPT-4o's texts on MATH end inside a formula.
        if answer is None and (text.endswith(",") or text.count("{") != text.count("}") or text.count("$") % 2 == 1):
            flags.append("cut_text")
        if _is_bare(text) and normalize(text, kind) == answer is not None:
            return "", answer, flags  # only the answer
        return (_LABELLED.sub("", text).strip() if kind == "choice" else text), answer, flags
    flags = ["trailing_zero"] if has_trailing_zero(text[len(once) :].rpartition(CLOSING)[2]) else []
    rationale = once
    while (shorter := strip_closing(rationale, kind)) != rationale:
        earlier = extract(rationale, kind, strict=True)
        if earlier and answer and not equivalent(earlier, answer, kind):
            if rationale == once and gold and equivalent(answer, gold, kind):
                return shorter, earlier, [*flags, "gold_appended"]
            break
        rationale = shorter
    return rationale, answer, [*flags, "doubled_closing"] if rationale != once else flags


def conclusion(text: str, kind: Kind) -> str | None:
    r"""Return the answer that a teacher concludes with, in its closing sentence or else at the end of its text.

    In MATH, a `\boxed` after the closing sentence is used first; without that sentence, the last `\boxed` is.
    """
    answer = extract(text, kind, strict=True)
    if kind == "math" and (boxed := last_boxed(text if answer is None else text.rpartition("nswer is")[2])):
        return answer_in_expression(boxed)
    if answer is not None or denies(text):
        return answer
    if _is_bare(text):
        return normalize(text, kind)
    final = _FINAL[kind].search(text[-120:]) or (_INFORMAL.search(text[-120:]) if kind == "choice" else None)
    return normalize(final[1], kind) if final else None


def _is_bare(text: str) -> bool:
    return len(text.split()) == 1 and len(text) <= _MAX_BARE_ANSWER
