"""Split a teacher's text into its rationale and its own conclusion, and repair its closing sentences.

>>> read_response("5 + 7 = 12. The answer is 12. The answer is 13", "13", "number")
('5 + 7 = 12.', '12', ['gold_appended'])
"""

import re
from collections.abc import Sequence

from ..grading.answers import CLOSING, equivalent, normalize
from ..grading.closings import strip_closing
from ..grading.conclusions import BOXES, LETTERS, Closing, Kind, find_closing
from ..grading.formulas import last_boxed, without_formulas
from ..grading.latex import answer_in_expression
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
_THEREFORE = rf"|\b(?:Therefore|Thus|Hence|So),?\s(?:(?!\d)[^.\n=]){{0,40}}?(?<![\w.])({_NUMBER})[^\d=.]{{0,40}}\.?\Z"
_FINAL = {
    "choice": re.compile(_STATED.format(answer=r"[A-E](?!\w)")),
    "boolean": re.compile(_STATED.format(answer=r"(?i:true|false)")),
    "number": re.compile(_STATED.format(answer=_NUMBER) + _THEREFORE),
    # "so $m + n = 527$.", "Therefore, 27 cubes have no paint."
    "math": re.compile(rf"(?:\b(?:is|are|be)|[=:])\s*\$?({_NUMBER})\$?[^\d=]{{0,40}}\Z{_THEREFORE}"),
}
# Conclusions of AQuA's texts, which come from forums.
_INFORMAL = re.compile(r"(?:\bIMO|\bi\.?e\.?|\bOA is correct -|[.=]|\bis in)\s*\(?([A-E])\)?\W*\Z")
# "… Answer: D", which would repeat the closing sentence that is added after it.
_LABELLED = re.compile(r"(?:\A|(?<=[\s.]))(?:Answer|ANSWER|Ans|ANS)\b\s*(?:is|:|\.)?\s*\(?[A-E]\)?\W*\Z")
_CALCULATION = re.compile(r"<<[^<>]*>>")  # GSM8K's marks: "$<<48/2=24>>24"
_PRICE = re.compile(r"\\\$|\$(?=\s?[\d,]*\d(?![\d,]*[\\^_{a-z]))")
_ONE_ARGUMENT = re.compile(r"\\[dt]?frac\s*\{[^{}]*\}\s*(?:\\[)\]]|\$|\Z)")  # `\frac{1}\)`


def read_response(
    text: str, gold: str | None, kind: Kind, choices: Sequence[str] = ()
) -> tuple[str, str | None, list[str]]:
    """Return (rationale without closing sentences, the teacher's own answer or None, flags).

    Teachers were shown the gold, and some added it after their own conclusion: "The answer is 412. The answer is 322".
    Then the first one is the teacher's answer. A text may name an option instead of its letter ("The answer is den").
    """
    closing = find_closing(text, kind)
    answer = _option(text, closing, choices) or conclusion(text, kind, closing)
    once = strip_closing(text, kind, closing)
    if once == text:
        return _without_closing(text, answer, kind, closing)
    flags = ["trailing_zero"] if has_trailing_zero(text[len(once) :].rpartition(CLOSING)[2]) else []
    if closing and answer is None and text[closing.end :].strip():  # "The answer is den", without the options
        flags.append("missing_closing")
    rationale = once
    while (shorter := strip_closing(rationale, kind, earlier := find_closing(rationale, kind))) != rationale:
        before = earlier.answer if earlier else None
        if before and answer and not equivalent(before, answer, kind):
            if rationale == once and gold and equivalent(answer, gold, kind):
                return shorter, before, [*flags, "gold_appended"]
            break
        rationale = shorter
    rationale = _without_layout(rationale, answer, kind)
    return rationale, answer, [*flags, "doubled_closing"] if rationale != once else flags


def conclusion(text: str, kind: Kind, closing: Closing | None) -> str | None:
    r"""Return the answer that a teacher concludes with, in its closing sentence or else at the end of its text.

    In MATH, a `\boxed` after the closing sentence is used first; without that sentence, the last `\boxed` is.
    """
    if kind == "math" and closing and closing.is_sentence and (boxed := last_boxed(_behind(text, closing))):
        return answer_in_expression(boxed)
    if closing and (closing.answer is not None or closing.denied):
        return closing.answer
    if _is_bare(text):
        return normalize(text, kind)
    final = _FINAL[kind].search(text[-120:]) or (_INFORMAL.search(text[-120:]) if kind == "choice" else None)
    return normalize(final[final.lastindex or 1], kind) if final else None


def _behind(text: str, closing: Closing) -> str:
    return text[closing.end :] if closing.answer else text


def _without_closing(
    text: str, answer: str | None, kind: Kind, closing: Closing | None
) -> tuple[str, str | None, list[str]]:
    flags = ["missing_closing", *(["denied"] if answer is None and closing and closing.denied else [])]
    if answer is None and _is_truncated(text):
        flags.append("cut_text")
    if _is_bare(text) and normalize(text, kind) == answer is not None:
        return "", answer, flags  # only the answer
    text = _without_layout(text, answer, kind)
    return (_LABELLED.sub("", text).strip() if kind == "choice" else text), answer, flags


def _without_layout(text: str, answer: str | None, kind: Kind) -> str:
    """Remove a last line like `#### 18` or `**Answer:** No` that concludes as the closing sentence will."""
    layout = find_closing(text, kind)
    if layout is None or layout.is_sentence or layout.answer is None or text.startswith(BOXES, layout.start):
        return text
    line = text.rfind("\n", 0, layout.start) + 1
    behind = text[layout.end :].strip()
    is_last = "\n" not in behind and "=" not in behind and not text[line : layout.start].strip(" *_")
    return text[:line].rstrip() if is_last and answer and equivalent(layout.answer, answer, kind) else text


def _option(text: str, closing: Closing | None, choices: Sequence[str]) -> str | None:
    """Return the letter of the option whose text follows the conclusion, if it names no letter."""
    if closing is None or closing.answer is not None or closing.denied:
        return None
    stated = _plain(text[closing.end :])
    letters = [letter for letter, choice in zip(LETTERS, choices) if _plain(choice) == stated != ""]
    return letters[0] if len(letters) == 1 else None


def _plain(text: str) -> str:
    return text.strip().strip(".*\"'$ ").casefold()


def _is_bare(text: str) -> bool:
    return len(text.split()) == 1 and len(text) <= _MAX_BARE_ANSWER


def _is_truncated(text: str) -> bool:
    """Whether a text ends in the middle, as some of GPT-4o's texts on MATH do inside a formula."""
    text = _CALCULATION.sub("", text)
    return (
        text.endswith(",")
        or text.count("{") != text.count("}")
        or _PRICE.sub("", without_formulas(text)).count("$") % 2 == 1
        or _ONE_ARGUMENT.search(text[-40:]) is not None
    )
