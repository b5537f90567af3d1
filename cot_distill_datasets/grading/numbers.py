r"""Exact parsing of the ways people and models write numbers, without evaluating anything.

>>> normalize_number("$1,450.0"), normalize_number(r"3\frac{1}{2}"), normalize_number("1.2 × 10^3")
('1450', '7/2', '1200')
>>> number_value("1/2") == number_value("0.50") == number_value("½")
True
"""

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction


MAX_DIGITS = 100  # longer numbers and larger powers of ten are noise and slow to convert

_SPACE = r"[^\S\n]?"  # never a line break: `answers` searches a text line by line
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|\\[,! ]|[\u2009\u202f])\d{3})+|\d+)"
_LATEX_FRACTION = rf"\\[dt]?frac(?:\{{-?\d+\}}\{{\d+\}}|{_SPACE}\d\d)"
_VULGAR = "[¼-¾⅐-⅞]"  # ½
_EXPONENT = r"(?:\^(?:\{[-−]?\d+\}|[-−]?\d+)|[⁻⁰¹²³⁴-⁹]+)"
_TIMES = rf"{_SPACE}(?:[×x*·]|\\times|\\cdot){_SPACE}"
_DIGIT_SUFFIX = (
    rf"{_SPACE}(?:{_LATEX_FRACTION}|{_VULGAR})|[^\S\n]\d+[/⁄]\d+"
    rf"|(?:\.\d+)?(?:{_SPACE}[/⁄]{_SPACE}\d+|[eE][-+−]?\d+(?!\w)|{_TIMES}10{_EXPONENT})?"
)
# The lookbehind stops `x2` from yielding 2 and `3-5` from yielding -5. The lookahead rejects letters quickly.
NUMBER = re.compile(
    rf"(?=[-−$\\€£\d.¼-¾⅐-⅞])(?<![\w.])[-−]?(?:\\?\$|[€£])?{_SPACE}"
    rf"(?:10{_EXPONENT}|{_DIGITS}(?:{_DIGIT_SUFFIX})|{_LATEX_FRACTION}|{_VULGAR}|\.\d+)(?!\d)"
)

_ASCII_SIGNS = str.maketrans({"−": "-", "⁄": "/", "€": "$", "£": "$"})
_SCIENTIFIC = re.compile(rf"(?:{_TIMES}|\A(?P<sign>[-−]?))10(?P<raised>{_EXPONENT})")
_VULGAR_FRACTION = re.compile(rf"\s?({_VULGAR})")
_SUPERSCRIPT = re.compile(r"(?<=[\w)}\]])[⁻⁰¹²³⁴-⁹]+")
_FRACTION = re.compile(r"\s?\\[dt]?frac(?:\{(-?\d+)\}\{(\d+)\}|\s?(\d)(\d))")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # any other comma separates a list
_THIN_SPACE = re.compile(r"(?<=\d)(?:\\[,! ]|[\u2009\u202f])(?=\d{3})")
_SCALE = re.compile(r"\s(hundred|thousand|million|billion|trillion)\b")
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_FORMATTING = re.compile(r"\\?\$|(?<=[-$/])\s|\s(?=/)")
_PARTS = re.compile(
    r"(?P<sign>-?)(?:(?P<whole>\d+) (?=\d+/))?(?P<number>\d+(?:\.\d+)?|\.\d+)"
    r"(?:/(?P<divisor>\d+)|[eE](?P<exponent>[-+]?\d{1,3}))?"
)


def normalize_number(answer: str) -> str | None:
    """Return the canonical form of a number (`1450`, `0.5`, `7/2`), or None if `answer` is not a number."""
    if _is_digits(answer):
        return str(int(answer))
    if (parts := _parse(answer)) is None or (value := _value(parts)) is None:
        return None
    canonical = parts[0] if parts["divisor"] else parts[0].rstrip("0")
    if value.denominator == 1 or parts["whole"]:
        canonical = str(value)
    elif parts["exponent"]:
        canonical = f"{Decimal(parts[0]):f}".rstrip("0")
    return canonical if len(canonical) <= MAX_DIGITS else None  # `1e100` is short, its canonical form is not


def number_value(answer: str) -> Fraction | None:
    """Return the exact value of a number, or None if `answer` is not a number or exceeds `MAX_DIGITS`."""
    if _is_digits(answer):
        return Fraction(int(answer))
    parts = _parse(answer)
    return None if parts is None else _value(parts)


def number_in(text: str, number: re.Match[str]) -> str | None:
    """Return the canonical form of a match of `NUMBER` in `text`, with its sign and scale: "minus 3 million"."""
    canonical, end = normalize_number(number[0]), number.end()
    if canonical is None or (end == len(text) and number.start() == 0):
        return canonical
    if (scale := _SCALE.match(text, end)) is not None and (value := number_value(canonical)) is not None:
        canonical = normalize_number(str(value * _SCALES[scale[1]]))
    if canonical and text.endswith("minus ", 0, number.start()) and not canonical.startswith("-"):
        canonical = f"-{canonical}"
    return canonical


def _is_digits(answer: str) -> bool:
    """Whether an answer consists of ASCII digits, as nearly all do: these are converted without a regex."""
    return answer.isascii() and answer.isdecimal() and len(answer) <= MAX_DIGITS


def expand_unicode(text: str) -> str:
    """Replace Unicode fractions and superscripts: `1½` → `1 1/2`, `x²` → `x^{2}`."""
    if text.isascii():
        return text
    text = _SUPERSCRIPT.sub(lambda power: f"^{{{unicodedata.normalize('NFKC', power[0])}}}", text)
    return _VULGAR_FRACTION.sub(lambda sign: f" {unicodedata.normalize('NFKC', sign[1])}", text)


def _parse(answer: str) -> re.Match[str] | None:
    plain = expand_unicode(answer).translate(_ASCII_SIGNS).strip() if len(answer) <= 2 * MAX_DIGITS else ""
    if "\\" in plain or "{" in plain or "^" in plain:
        plain = _THIN_SPACE.sub(",", plain).replace("{,}", ",")
        # `10^5` without a factor has its sign before the mantissa.
        plain = _SCIENTIFIC.sub(
            lambda power: f"{'' if power[1] is None else power[1] + '1'}e{power['raised'].strip('^{}')}", plain
        )
        plain = _FRACTION.sub(r" \1\3/\2\4", plain)
    plain = _THOUSANDS.sub("", _FORMATTING.sub("", plain.strip()))
    return _PARTS.fullmatch(plain) if len(plain) <= MAX_DIGITS else None


def _value(parts: re.Match[str]) -> Fraction | None:
    divisor, exponent = int(parts["divisor"] or 1), int(parts["exponent"] or 0)
    if divisor == 0 or abs(exponent) > MAX_DIGITS:
        return None
    number = parts["number"]
    value = Fraction(int(number) if number.isdecimal() else number) / divisor + int(parts["whole"] or 0)
    return (-value if parts["sign"] else value) * Fraction(10) ** exponent
