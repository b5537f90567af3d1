"""Removes the closing sentence from a teacher's text but keeps any reasoning inside it.

>>> from cot_distill_datasets.grading.conclusions import find_closing
>>> text = "Add them. The answer is 19 + 18 = 37."
>>> strip_closing(text, "number", find_closing(text, "number"))
'Add them. 19 + 18 = 37.'
"""

import re

from .conclusions import LEADING_BOOLEAN, LEADING_LETTER, SENTENCE_END, Closing, Kind
from .formulas import leading_expression


_CONJUNCTION = re.compile(r"(?:(?:So|\bThus|Hence|Therefore)|[,;]?\s*\b(?:so|thus|hence|therefore)),?\s+\Z|[,;]\s*\Z")
_SENTENCE_BOUNDARY = re.compile(r"(?:\A|[.!?:;)\]}\"'”’*>\n])\s*\Z")
_LAST_SENTENCE = re.compile(r"(?:(?<=[.!?]\s)|(?<=\n)|\A)(?:(?![.!?]\s)[^\n])*\Z")
_SUBORDINATE = re.compile(
    r"\A\s*(?:(?:therefore|thus|hence|so),?\s+)?(?:since|because|given that|considering that)\s+", re.IGNORECASE
)
_EMPTY_CLAUSE = re.compile(
    r"\s*(?:(?:therefore|thus|hence|so|however)\b,?\s*)*"
    r"(?:(?:given|based on|considering|according to|from|with|by|in)\b[^\n]*)?\Z",
    re.IGNORECASE,
)
_EQUATION = re.compile(r"\w\W*=\W*\w")
_LETTER_EQUATION = re.compile(r"=\s*[A-E]\W*\Z")  # "is 7=D"
_OPTION_TEXT = re.compile(r"(?:[^\W\d_]+\W+){0,5}[^\W\d_]+\W*")  # "den", but not "n = 11"
_MAX_WORDS = 6  # words after an answer that only repeat it ("Option C: nutrients"); more words are reasoning


def strip_closing(text: str, kind: Kind, closing: Closing | None) -> str:
    """Return `text` without its last sentence if that is its closing sentence, and unchanged otherwise.

    `closing` is what `find_closing` returns for `text`.

    Reasoning in the closing sentence is kept: the equation of "The answer is 19 + 18 = 37", or the reason of "The
    answer is C because only 400 is divisible by 100". A sentence without an answer, or one that starts with other
    words ("However, the answer is 29"), does not count as a closing sentence. One with the text of an option does.
    """
    if closing is None or not closing.is_sentence:
        return text
    tail = text[closing.end :].strip()
    after = "".join(SENTENCE_END.split(tail, maxsplit=1)[1:])
    if kind == "math":
        after = leading_expression(tail)[1]
    if kind == "choice" and len(after.split()) <= _MAX_WORDS:  # "The answer is D. 1000"
        after = ""
    before = _text_before_closing(text, closing.start)
    is_option_text = kind == "choice" and not closing.denied and _OPTION_TEXT.fullmatch(tail) is not None
    if after.strip(" .\n*$") or before is None or (tail and closing.answer is None and not is_option_text):
        return text
    if before.endswith("=") and closing.answer:  # "8 / 2 = The answer is 4"
        return f"{before} {closing.answer}."
    return f"{before} {_reasoning_in_closing(tail, kind, before)}".strip()


def _text_before_closing(text: str, start: int) -> str | None:
    """Return the text before the "The answer is" at `start`, or None if its sentence starts with other words."""
    conjunction = _CONJUNCTION.search(text[max(0, start - 16) : start])
    before = text[: start - len(conjunction[0]) if conjunction else start].rstrip()
    if conjunction is None and not text[start].isupper() and _SENTENCE_BOUNDARY.search(before) is None:
        return None
    # "2 + 3 = 5, so the answer is 5"
    if before.endswith(",") or (conjunction and conjunction[0].lstrip()[:1] in ",;"):
        is_aside = before.count("(") > before.count(")")  # "1500 (incorrect, answer should be 1275)"
        return None if is_aside else _end_clause(before.rstrip(",; "))
    return before


def _end_clause(before: str) -> str:
    """Turn the clause that is left of the last sentence ("Since 2 + 3 = 5, the answer is 5") into a sentence."""
    sentence = _LAST_SENTENCE.search(before)
    assert sentence is not None
    clause = _SUBORDINATE.sub("", sentence[0])
    kept = before[: sentence.start()]
    if _EMPTY_CLAUSE.match(clause) and len(clause.split()) <= _MAX_WORDS + 2 and not re.search(r"[\d=]", clause):
        return kept.rstrip()  # "Given this context, the answer is False"
    return f"{kept}{clause[:1].upper()}{clause[1:]}."


def _reasoning_in_closing(closing: str, kind: Kind, before: str) -> str:
    """Return the reasoning in `closing` (what follows "The answer is"), or "" if `before` already contains it."""
    if kind in ("choice", "boolean"):
        answer = (LEADING_LETTER if kind == "choice" else LEADING_BOOLEAN).match(closing)
        closing = closing[answer.end() :].lstrip(" .:;,)-–*") if answer else closing
        closing = _SUBORDINATE.sub("", closing)
    closing = closing.strip().rstrip(".")
    is_equation = _EQUATION.search(closing) is not None and _LETTER_EQUATION.search(closing) is None
    compact, compact_before = (re.sub(r"[\s$]", "", text) for text in (closing, before))
    if not (is_equation or len(closing.split()) > _MAX_WORDS) or compact in compact_before:
        return ""
    return f"{closing[:1].upper()}{closing[1:]}."
