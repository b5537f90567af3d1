"""Numbers as people and models write them, read exactly and without evaluating anything.

>>> normalise_number("$1,450.0"), number_value("1/2") == number_value("0.50")
('1450', True)
"""

from __future__ import annotations

import re
from fractions import Fraction


_PLAIN_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?(?:/\d+)?|\.\d+)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # a comma before other than three digits is that of a list
_DRESS = re.compile(r"\$|(?<=[-−$/])\s|\s(?=/)")

MAX_DIGITS = 100  # a longer run of digits is noise, and slow to convert

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
# The look-behind keeps the 2 of `x2` and the 5 of `3-5` from being read as a number or a negative one.
NUMBER = re.compile(rf"(?<![\w.])[-−]?\$?\s?(?:{_DIGITS}(?:\.\d+)?(?:\s?/\s?\d+)?|\.\d+)(?!\d)")


def normalise_number(answer: str) -> str | None:
    """Return the canonical form of a number, or None where `answer` is none."""
    if answer.isascii() and answer.isdecimal() and len(answer) <= MAX_DIGITS:  # nearly all are
        return str(int(answer))
    value = number_value(answer)
    if value is None:
        return None
    if value.denominator == 1:
        return str(value.numerator)
    plain = _plain(answer)
    return plain if "/" in plain else plain.rstrip("0")


def number_value(answer: str) -> Fraction | None:
    """Return the exact value of a number, or None where `answer` is none or is longer than `MAX_DIGITS`."""
    plain = _plain(answer)
    if len(plain) > MAX_DIGITS or not _PLAIN_NUMBER.fullmatch(plain):
        return None
    numerator, _, denominator = plain.partition("/")
    divisor = int(denominator or "1")
    return Fraction(numerator) / divisor if divisor else None


def _plain(answer: str) -> str:
    return _THOUSANDS.sub("", _DRESS.sub("", answer.strip())).replace("−", "-")
