"""One grader for audit, teacher and evaluation: what a text concludes, and whether two answers are the same.

>>> extract("5 + 7 = 12, and 12 * 2 = 24.\\nThe answer is $24.", "number", strict=True)
'24'
>>> equivalent("1,000.0", "1000", "number")
True

Nothing a model wrote is evaluated: numbers are read as `fractions.Fraction` from text of bounded length.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal


Kind = Literal["number"]

CLOSING = "The answer is"  # the closing sentence of every completion: `The answer is {answer}`
MAX_DIGITS = 100  # a longer run of digits is noise, and slow to convert

# No word boundary before a capital T: released texts lost line breaks ("= 2The answer is 2").
_CONCLUSION = re.compile(r"(?:\b(?:So|Thus|Hence|Therefore),?\s+)?(?:The|\bthe) (?:final )?answer is:?")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
# The look-behind keeps the 2 of `x2` and the 5 of `3-5` from being read as a number or a negative one.
_NUMBER = re.compile(rf"(?<![\w.])[-−]?\$?\s?(?:{_DIGITS}(?:\.\d+)?(?:\s?/\s?\d+)?|\.\d+)(?!\d)")
_OPERATOR_FOLLOWS = re.compile(r"\s*[-−+*/x×÷]\s*[\d$(]")


def extract(text: str, kind: Kind, *, strict: bool) -> str | None:
    """Return the answer that `text` concludes with, in canonical form, or None where it concludes nothing.

    The last conclusion counts. `strict` requires the closing sentence ("The answer is 18"); otherwise a text without
    one gives its last number. In "The answer is 12 + 6 = 18" the value behind the last `=` counts; an expression left
    unworked ("The answer is 84 - 52") is no conclusion.
    """
    conclusions = list(_CONCLUSION.finditer(text))
    if conclusions:
        sentence = _SENTENCE_END.split(text[conclusions[-1].end() :].lstrip(), maxsplit=1)[0]
        concluded = _first_number(sentence.rpartition("=")[2])
        if concluded is not None or strict:
            return concluded
    if strict:
        return None
    numbers = _NUMBER.findall(text)
    return normalise(numbers[-1], kind) if numbers else None


def without_closing(text: str) -> str:
    """Return `text` without its last sentence where that is a closing sentence, else as it is.

    Work inside the closing sentence stays: of "The answer is 19 + 18 = 37" the equation is kept.
    """
    conclusions = list(_CONCLUSION.finditer(text))
    if not conclusions:
        return text
    sentence, *behind = _SENTENCE_END.split(text[conclusions[-1].end() :].strip(), maxsplit=1)
    if any(part.strip() for part in behind):
        return text
    work = f"{sentence}." if "=" in sentence else ""
    return f"{text[: conclusions[-1].start()].rstrip()} {work}".strip()


def _first_number(expression: str) -> str | None:
    number = _NUMBER.search(expression)
    if number is None or _OPERATOR_FOLLOWS.match(expression, number.end()):
        return None
    return normalise(number.group(), "number")


def normalise(answer: str, kind: Kind) -> str | None:
    """Return the canonical form of an answer (`"$1,450.0"` → `"1450"`), or None where it is not of this kind."""
    value = _value(answer)
    if value is None:
        return None
    if value.denominator == 1:
        return str(value.numerator)
    plain = re.sub(r"[\s,$]", "", answer).replace("−", "-")
    return plain if "/" in plain else plain.rstrip("0")


def equivalent(a: str, b: str, kind: Kind) -> bool:
    """Whether two answers are the same (`1/2` and `0.50` are), whatever their dress."""
    value = _value(a)
    return value is not None and value == _value(b)


def _value(answer: str) -> Fraction | None:
    plain = re.sub(r"[\s,$]", "", answer).replace("−", "-")
    if len(plain) > MAX_DIGITS or not re.fullmatch(r"-?(?:\d+(?:\.\d+)?(?:/\d+)?|\.\d+)", plain):
        return None
    numerator, _, denominator = plain.partition("/")
    divisor = int(denominator or "1")
    return Fraction(numerator) / divisor if divisor else None
