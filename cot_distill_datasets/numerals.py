r"""Numbers as people and models write them, read exactly and without evaluating anything.

>>> normalise_number("$1,450.0"), normalise_number(r"3\frac{1}{2}"), normalise_number("1.2 × 10^3")
('1450', '7/2', '1200')
>>> number_value("1/2") == number_value("0.50") == number_value("½")
True
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction


MAX_DIGITS = 100  # a longer number is noise, and slow to convert; so is a greater power of ten

_SPACE = r"[^\S\n]?"  # a number stands on one line: `answers` searches a text line by line
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d+)"
_LATEX_FRACTION = rf"\\[dt]?frac(?:\{{-?\d+\}}\{{\d+\}}|{_SPACE}\d\d)"
_VULGAR = "[¼-¾⅐-⅞]"  # ½
_RAISED = r"(?:\^(?:\{[-−]?\d+\}|[-−]?\d+)|[⁻⁰¹²³⁴-⁹]+)"
_TIMES = rf"{_SPACE}(?:[×x*·]|\\times|\\cdot){_SPACE}"
_BEHIND_DIGITS = (
    rf"{_SPACE}(?:{_LATEX_FRACTION}|{_VULGAR})|[^\S\n]\d+[/⁄]\d+"
    rf"|(?:\.\d+)?(?:{_SPACE}[/⁄]{_SPACE}\d+|[eE][-+−]?\d+(?!\w)|{_TIMES}10{_RAISED})?"
)
# The look-behind keeps the 2 of `x2` and the 5 of `3-5` from being read as a number or a negative one; the look-ahead
# before it is quick, and passes no letter.
NUMBER = re.compile(
    rf"(?=[-−$\\€£\d.¼-¾⅐-⅞])(?<![\w.])[-−]?(?:\\?\$|[€£])?{_SPACE}"
    rf"(?:10{_RAISED}|{_DIGITS}(?:{_BEHIND_DIGITS})|{_LATEX_FRACTION}|{_VULGAR}|\.\d+)(?!\d)"
)

_SIGNS = str.maketrans({"−": "-", "⁄": "/", "€": "$", "£": "$"})
_SCIENTIFIC = re.compile(rf"(?:{_TIMES}|\A(?P<sign>[-−]?))10(?P<raised>{_RAISED})")
_VULGAR_FRACTION = re.compile(rf"\s?({_VULGAR})")
_SUPERSCRIPT = re.compile(r"(?<=[\w)}\]])[⁻⁰¹²³⁴-⁹]+")
_FRACTION = re.compile(r"\s?\\[dt]?frac(?:\{(-?\d+)\}\{(\d+)\}|\s?(\d)(\d))")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # a comma before other than three digits is that of a list
_DRESS = re.compile(r"\\?\$|(?<=[-$/])\s|\s(?=/)")
_PLAIN = re.compile(
    r"(?P<sign>-?)(?:(?P<whole>\d+) (?=\d+/))?(?P<number>\d+(?:\.\d+)?|\.\d+)"
    r"(?:/(?P<divisor>\d+)|[eE](?P<exponent>[-+]?\d{1,3}))?"
)


def normalise_number(answer: str) -> str | None:
    """Return the canonical form of a number (`1450`, `0.5`, `7/2`), or None where `answer` is none."""
    if _is_whole(answer):
        return str(int(answer))
    if (parts := _parts(answer)) is None or (value := _value(parts)) is None:
        return None
    canonical = _canonical(parts, value)
    return canonical if len(canonical) <= MAX_DIGITS else None  # `1e100` is shorter than what it says


def _canonical(parts: re.Match[str], value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    if parts["whole"]:
        return str(value)
    if parts["exponent"]:
        return f"{Decimal(parts[0]):f}".rstrip("0")
    return parts[0] if parts["divisor"] else parts[0].rstrip("0")


def number_value(answer: str) -> Fraction | None:
    """Return the exact value of a number, or None where `answer` is none or is longer than `MAX_DIGITS`."""
    if _is_whole(answer):
        return Fraction(int(answer))
    parts = _parts(answer)
    return None if parts is None else _value(parts)


def _is_whole(answer: str) -> bool:
    """Whether an answer is digits and nothing else: nearly all are, and reading them so is quick."""
    return answer.isascii() and answer.isdecimal() and len(answer) <= MAX_DIGITS


def spell_out(text: str) -> str:
    """Return a text with fractions and powers of one sign in ordinary ones: `1½` → `1 1/2`, `x²` → `x^{2}`."""
    if text.isascii():
        return text
    text = _SUPERSCRIPT.sub(lambda raised: f"^{{{unicodedata.normalize('NFKC', raised[0])}}}", text)
    return _VULGAR_FRACTION.sub(lambda sign: f" {unicodedata.normalize('NFKC', sign[1])}", text)


def _parts(answer: str) -> re.Match[str] | None:
    plain = spell_out(answer).translate(_SIGNS).strip() if len(answer) <= 2 * MAX_DIGITS else ""
    if "\\" in plain or "{" in plain or "^" in plain:
        plain = _FRACTION.sub(r" \1\3/\2\4", _SCIENTIFIC.sub(_exponent, plain.replace("{,}", ",")))
    plain = _THOUSANDS.sub("", _DRESS.sub("", plain.strip()))
    return _PLAIN.fullmatch(plain) if len(plain) <= MAX_DIGITS else None


def _exponent(power: re.Match[str]) -> str:
    mantissa = "" if power["sign"] is None else f"{power['sign']}1"  # `10^5` alone
    return f"{mantissa}e{power['raised'].strip('^{}')}"


def _value(parts: re.Match[str]) -> Fraction | None:
    divisor, exponent = int(parts["divisor"] or 1), int(parts["exponent"] or 0)
    if divisor == 0 or abs(exponent) > MAX_DIGITS:
        return None
    number = parts["number"]
    value = Fraction(int(number) if number.isdecimal() else number) / divisor + int(parts["whole"] or 0)
    return (-value if parts["sign"] else value) * Fraction(10) ** exponent
