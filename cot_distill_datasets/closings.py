"""A text without its closing sentence: what the importer and a rationale keep of "…, so the answer is 19 + 18 = 37".

>>> without_closing("Add them. The answer is 19 + 18 = 37.", "number")
'Add them. 19 + 18 = 37.'
"""

from __future__ import annotations

import re

from . import latex
from .answers import LEADING_LETTER, LEADING_TRUTH, SENTENCE_END, Kind, last_conclusion, stated_answer


_LEAD = re.compile(r"(?:(?:So|\bThus|Hence|Therefore)|[,;]?\s*\b(?:so|thus|hence|therefore)),?\s+\Z|[,;]\s*\Z")
_BOUNDARY = re.compile(r"(?:\A|[.!?:;)\]}\"'”’*>\n])\s*\Z")
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
_MOST_WORDS = 6  # behind an answer, in its closing sentence: "Option C: nutrients"; more is part of the reasoning


def without_closing(text: str, kind: Kind) -> str:
    """Return `text` without its last sentence where that is a closing sentence, else as it is.

    Reasoning inside it stays: of "The answer is 19 + 18 = 37" the equation, of "The answer is C because only 400 is
    divisible by 100" the reason. A sentence that states no answer, or that began before ("However, the answer is 29"),
    is none.
    """
    conclusion = last_conclusion(text)
    if conclusion is None:
        return text
    tail = text[conclusion.end() :].strip()
    behind = "".join(SENTENCE_END.split(tail, maxsplit=1)[1:])
    if kind == "math":
        behind = latex.leading_expression(tail)[1]
    if kind == "choice" and len(behind.split()) <= _MOST_WORDS:  # "The answer is D. 1000"
        behind = ""
    before = _before(text, conclusion.start())
    answer = stated_answer(tail, kind)
    if behind.strip(" .\n*$") or before is None or (tail and answer is None):
        return text
    if before.endswith("="):  # "8 / 2 = The answer is 4"
        return f"{before} {answer}."
    return f"{before} {_reasoning(tail, kind, before)}".strip()


def _before(text: str, start: int) -> str | None:
    """Return what stands before the closing sentence that begins at `start`, or None where it began earlier."""
    lead = _LEAD.search(text[max(0, start - 16) : start])
    before = text[: start - len(lead[0]) if lead else start].rstrip()
    if lead is None and not text[start].isupper() and _BOUNDARY.search(before) is None:
        return None
    if before.endswith(",") or (lead and lead[0].lstrip()[:1] in ",;"):  # "2 + 3 = 5, so the answer is 5"
        is_aside = before.count("(") > before.count(")")  # "1500 (incorrect, answer should be 1275)"
        return None if is_aside else _closed_clause(before.rstrip(",; "))
    return before


def _closed_clause(before: str) -> str:
    """Return a text whose last sentence lost its main clause, "the answer is …", as whole sentences."""
    sentence = _LAST_SENTENCE.search(before)
    assert sentence is not None
    clause = _SUBORDINATE.sub("", sentence[0])
    kept = before[: sentence.start()]
    if _EMPTY_CLAUSE.match(clause) and len(clause.split()) <= _MOST_WORDS + 2 and not re.search(r"[\d=]", clause):
        return kept.rstrip()  # "Given this context, the answer is False"
    return f"{kept}{clause[:1].upper()}{clause[1:]}."


def _reasoning(stated: str, kind: Kind, before: str) -> str:
    """Return what a closing sentence holds beyond its answer, where `before` does not say it already."""
    if kind in ("choice", "boolean"):
        answer = (LEADING_LETTER if kind == "choice" else LEADING_TRUTH).match(stated)
        stated = stated[answer.end() :].lstrip(" .:;,)-–*") if answer else stated
        stated = _SUBORDINATE.sub("", stated)
    stated = stated.strip().rstrip(".")
    is_equation = _EQUATION.search(stated) is not None and _LETTER_EQUATION.search(stated) is None
    if not (is_equation or len(stated.split()) > _MOST_WORDS) or _bare(stated) in _bare(before):
        return ""
    return f"{stated[:1].upper()}{stated[1:]}."


def _bare(text: str) -> str:
    return re.sub(r"[\s$]", "", text)
