"""Split a teacher's text into its rationale and its own conclusion, and repair its closing sentences.

>>> read_response("5 + 7 = 12. The answer is 12. The answer is 13", "13", "number")
('5 + 7 = 12.', '12', ['gold_appended'])
"""

import re
from collections.abc import Sequence

from ..grading.answers import CLOSING, equivalent, normalize
from ..grading.closings import strip_closing
from ..grading.conclusions import BOXES, LETTERS, SENTENCE_END, Closing, Kind, find_closing, read_answer
from ..grading.formulas import last_boxed, without_formulas
from ..grading.latex import answer_in_expression
from ..grading.numbers import NUMBER
from .repairs import has_trailing_zero


# Conclusions at the end of a text in another form than the closing sentence: "Answer : D", "Hence option A", "the
# answers is 5", "the statement is therefore False". A rejected answer ("the answer is not C") does not count.
_STATED = (
    r"(?i:\b(?:answers?|ans|option|choice|statement|hence|be)\b)(?:(?!(?i:\bnot\b|n't|incorrect))[^.\n]){{0,80}}?"
    r"[\s:.(]({answer})\)?(?: is (?:the )?(?:correct|answer))?\W*\Z"
)
# A mark in the last line, before the text of an option: "**Answer:** garden", `\\boxed{\\text{garden}}`.
_OPTION_LABEL = re.compile(r"(?i:####|\banswer(?:\*\*)?\s*[:=]|\\boxed\{(?:\\text\{)?)(?=[^\n]*\Z)")
_END_OF_THOUGHT = "</think>"
_MAX_WORDS_BEHIND = 8  # behind a label or box that ends a text: "Answer: (B) garden", `\boxed{8}$ ways`
_MAX_BARE_ANSWER = 12  # characters of a text that is only an answer
_NUMBER = NUMBER.pattern.replace(r"(?<![\w.])", "")
_SO = r"\b(?:Therefore,?|Thus,?|Hence,?|So,?|Conclusion:)\s"
_UNIT = r"(?:(?![.!?]\s)[^\d=]){0,40}\Z"
_THEREFORE = rf"|{_SO}(?:(?!\d)[^.\n=]){{0,80}}?(?<![\w.])({_NUMBER})[^\d=.]{{0,40}}\.?\Z"
# "which is 13.", "60 / 2 = 30 envelopes", "so $m + n = 527$.", "Therefore, 27 cubes have no paint."
_LAST_NUMBER = rf"(?:\b(?:is|are|be|remains)|[=:])\s*(?:\$|\\\()?({_NUMBER})\$?{_UNIT}{_THEREFORE}"
# "Conclusion: The area is \( 2\sqrt{3} \) cm²."
_LAST_FORMULA = rf"{_SO}(?:(?![.!?]\s)[^=\n]){{0,100}}?\bis\s+(\\\([^=\n]+?\\\)|\$[^$=\n]+\$){_UNIT}"
_FINAL = {
    "choice": re.compile(_STATED.format(answer=r"[A-E](?!\w)")),
    "boolean": re.compile(_STATED.format(answer=r"(?i:true|false)")),
    "number": re.compile(f"{_STATED.format(answer=_NUMBER)}|{_LAST_NUMBER}"),
    "math": re.compile(f"{_LAST_FORMULA}|{_LAST_NUMBER}"),
}
# Conclusions of AQuA's texts, which come from forums.
_INFORMAL = re.compile(r"(?:\bIMO|\bi\.?e\.?|\bOA is correct -|[.=]|\bis in)\s*\(?([A-E])\)?\W*\Z")
# "… Answer: D", which would repeat the closing sentence that is added after it.
_LABELLED = re.compile(r"(?:\A|(?<=[\s.]))(?:Answer|ANSWER|Ans|ANS)\b\s*(?:is|:|\.)?\s*\(?[A-E]\)?\W*\Z")
_PRICE = re.compile(r"\\\$|\$(?=\s?[\d,]*\d(?![\d,]*[\\^_{a-z]))")
# `\frac{1}\)`, `\frac{x})`, `\binom{5}`
_ONE_ARGUMENT = re.compile(r"\\(?:[dt]?frac|[dt]?binom)\s*\{[^{}]*\}(?!\s*(?:[{\w]|\\[A-Za-z]))")


def read_response(
    text: str, gold: str | None, kind: Kind, choices: Sequence[str] = ()
) -> tuple[str, str | None, list[str]]:
    """Return (rationale without closing sentences, the teacher's own answer or None, flags).

    Teachers were shown the gold, and some added it after their own conclusion: "The answer is 412. The answer is 322".
    Then the first one is the teacher's answer. A text may name an option instead of its letter ("The answer is den").
    Only the text behind `</think>` concludes.
    """
    *thoughts, text = text.split(_END_OF_THOUGHT)
    rationale, answer, flags = _read_visible(text.strip(), gold, kind, choices)
    if thoughts:
        rationale = "\n".join(part.strip() for part in (*thoughts, rationale)).strip()
        flags.append("thinking_tag")
    return rationale, answer, flags


def without_thinking_tags(text: str) -> str:
    """Return a text in which a line break takes the place of each `</think>`."""
    return "\n".join(part.strip() for part in text.split(_END_OF_THOUGHT))


def concludes_otherwise(rationale: str, answer: str, kind: Kind, choices: Sequence[str]) -> bool:
    """Whether a rationale rejects `answer`, or concludes with another one in any layout.

    A label or box in the middle of a text does not conclude it ("correct answers: 12"); a sentence does.
    """
    closing, stated = _find_conclusion(rationale, kind, choices)
    if stated is None:
        return closing is not None and closing.denied
    return not equivalent(stated, answer, kind)


def _read_visible(
    text: str, gold: str | None, kind: Kind, choices: Sequence[str]
) -> tuple[str, str | None, list[str]]:
    closing, stated = _find_conclusion(text, kind, choices)
    answer = conclusion(text, kind, closing) if closing is None or closing.answer == stated else stated
    once = strip_closing(text, kind, closing)
    if once == text:
        return _without_closing(text, answer, kind, closing, choices)
    flags = ["trailing_zero"] if has_trailing_zero(text[len(once) :].rpartition(CLOSING)[2]) else []
    if closing and answer is None and text[closing.end :].strip():  # "The answer is den", without the options
        flags.append("missing_closing")
    rationale = once
    while True:
        shorter, before = _without_conclusion(rationale, kind, choices)
        if before and answer and not equivalent(before, answer, kind):
            if rationale == once and gold and equivalent(answer, gold, kind):
                return shorter, before, [*flags, "gold_appended"]
            break
        if shorter == rationale:
            break
        rationale = shorter
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
    final = _FINAL[kind].search(text[-200:]) or (_INFORMAL.search(text[-120:]) if kind == "choice" else None)
    stated = final[final.lastindex or 1] if final else ""
    return read_answer(stated, kind) if kind == "math" else normalize(stated, kind)


def _behind(text: str, closing: Closing) -> str:
    return text[closing.end :] if closing.answer else text


def _without_closing(
    text: str, answer: str | None, kind: Kind, closing: Closing | None, choices: Sequence[str]
) -> tuple[str, str | None, list[str]]:
    flags = ["missing_closing", *(["denied"] if answer is None and closing and closing.denied else [])]
    if answer is None and _is_truncated(text):
        flags.append("cut_text")
    if _is_bare(text) and normalize(text, kind) == answer is not None:
        return "", answer, flags  # only the answer
    shorter, stated = _without_conclusion(text, kind, choices)
    if shorter != text and answer and stated and equivalent(stated, answer, kind):
        text = shorter
        flags.append("other_layout")
    return (_LABELLED.sub("", text).strip() if kind == "choice" else text), answer, flags


def _without_conclusion(text: str, kind: Kind, choices: Sequence[str]) -> tuple[str, str | None]:
    """Return a text without the sentence or line that concludes it, and the answer stated there.

    A conclusion that is part of the reasoning stays: "so $P = \\boxed{2}$". Both are what they were without one.
    """
    closing, stated = _find_conclusion(text, kind, choices)
    if closing is None:
        return text, None
    if closing.is_sentence:
        shorter = strip_closing(text, kind, closing)
        return shorter, stated if shorter != text else None
    conclusion_line, _, rest = text[closing.end :].lstrip(" *:\n").partition("\n")
    is_reasoning = "=" in conclusion_line or len(conclusion_line.split()) > _MAX_WORDS_BEHIND
    if text.startswith(BOXES, closing.start) or is_reasoning or not _begins_statement(text, closing):
        return text, stated
    before = text[: closing.start].rstrip(" *_\n")
    return f"{before}\n{rest}".strip(), stated


def _begins_statement(text: str, closing: Closing) -> bool:
    before = text[: closing.start].rstrip(" *_")
    return text.startswith("####", closing.start) or before.endswith(("\n", ".", "!", "?")) or not before


def _find_conclusion(text: str, kind: Kind, choices: Sequence[str]) -> tuple[Closing | None, str | None]:
    """Return what `find_closing` does and its answer, also where the text of an option takes the place of a letter.

    A label in the middle of a text does not conclude it: "To find the answer: 1. Add the pens. …".
    """
    closing = find_closing(text, kind)
    if closing is None and choices and (label := _OPTION_LABEL.search(text)) is not None:
        closing = Closing(*label.span(), None, False, False)
    if closing is None or closing.denied:
        return closing, None
    behind = text[closing.end :].strip()
    if not (closing.is_sentence or text.startswith(("####", *BOXES), closing.start)):
        is_short = len(behind.split()) <= _MAX_WORDS_BEHIND and "=" not in behind
        if "\n" in behind or not (is_short or _begins_statement(text, closing)):
            return None, None
    is_no_option = choices and closing.answer and closing.answer not in LETTERS[: len(choices)]  # "So answer is I"
    stated = _option(behind, choices) if is_no_option or closing.answer is None else closing.answer
    return (closing, stated) if stated or closing.is_sentence else (None, None)


def _option(text: str, choices: Sequence[str]) -> str | None:
    """Return the letter of the option whose text a conclusion gives in place of the letter."""
    stated = {_plain(text), _plain(SENTENCE_END.split(text, maxsplit=1)[0])} - {""}
    letters = [letter for letter, choice in zip(LETTERS, choices) if _plain(choice) in stated]
    return letters[0] if len(letters) == 1 else None


def _plain(text: str) -> str:
    return text.strip().strip(".*\"'$:{} ").casefold()


def _is_bare(text: str) -> bool:
    return len(text.split()) == 1 and len(text) <= _MAX_BARE_ANSWER


def _is_truncated(text: str) -> bool:
    """Whether a text ends in the middle, as some of GPT-4o's texts on MATH do inside a formula."""
    has_open_formula = text.count("$") % 2 == 1 and _PRICE.sub("", without_formulas(text)).count("$") % 2 == 1
    return (
        text.endswith((",", " and"))
        or text.count("{") != text.count("}")
        or (has_open_formula and not text.endswith((".", "!", "?")))
        or _ONE_ARGUMENT.search(text[-40:]) is not None
    )
