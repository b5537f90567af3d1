r"""The tidy form of LaTeX answers: one spelling for fractions, signs, units and relations.

>>> tidy(r"$\dfrac12$."), tidy("x**2 >= 4*pi"), canonical(r"\text{gray}")
('\\frac{1}{2}', 'x^2 \\ge 4\\cdot \\pi', 'gray')
"""

import re
import unicodedata
from functools import lru_cache

from .numbers import expand_unicode, normalize_number


MAX_LENGTH = 600  # characters; longer text is not an answer
CACHE_SIZE = 20_000  # answers, and pairs of answers, of up to `MAX_LENGTH` characters: less than 100 MB
THIN_COMMA = re.compile(r",[\u202f\u2009\xa0]|,\s*\\!\s*(?=\d{3})")  # "11,\u202f880", "11,\! 880"
_DOLLAR_COMMA = re.compile(r"(?<!\\)\$\s*[,\n]\s*(?=\$)")  # "$48$,$384$"
_BRACED_COMMA = re.compile(r"(?<=\d)\s*\{\s*,\s*\}\s*(?=\d)")
# A backslash before another one ends the row of a matrix: `\\ ` is not a space.
_SPACING = re.compile(r"\\left\b|\\right\b|(?<!\\)\\[!,;: ]|~|\\displaystyle|\\q?quad")
_DEGREE = r"\^\s*\\(?:circ|degree)\b|\\degree\b|\^\s*\{\s*\\circ\s*\}|°"
_SIGN = rf"\\?\(degrees?\)|{_DEGREE}|(?<=\d)\\circ\b|\\?%|(?<!\\)\\\$|\$|(?<!\\)\\[\[\]()]"
_UNIT_SIGNS = re.compile(rf"(?P<list>(?:(?:{_SIGN})\s*)+,\s*)|{_SIGN}")  # "45^\circ,135^\circ" is a list
_ANGLE = re.compile(rf"(\d+(?:\.\d+)?|[A-Za-z])\s*(?:{_DEGREE})")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\b")
UNIT = re.compile(
    r"(?<=[\d})])(?:\s*\\(?:text|mbox|mathrm|textnormal)\s*\{[^{}]*(?:\}|\Z)"
    r"|\s*[A-Za-z]{2,}(?:[\s.]+[A-Za-z]{2,})*[\s.]*)"
    r"(?:\^\{?\d\}?)?$"
)
_TEXT_COMMAND = re.compile(r"\\(?:text|mbox|mathrm|textbf|textnormal)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]frac")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(?:(\d)|(?=\{))")
_SHORT_ROOT = re.compile(r"√(\d+)|\\sqrt\s*(\d)")
_REPEATING = re.compile(r"(-?)(\d*)\.(\d*)\\overline\s*\{(\d+)\}")
_SLASH = re.compile(r"(-?)(\d+)\s*/\s*(\d+)")
_ASSIGNMENT = re.compile(r"[A-Za-z]\s*=\s*(.+)")
_UNICODE = str.maketrans(
    {"⁄": "/", "−": "-", "–": "-", "∈": r"\in ", "∞": r"\infty ", "∪": r"\cup ", "π": r"\pi ", "≠": r"\ne ", "⋅": "*",
     "×": r"\times ", "≤": r"\le ", "≥": r"\ge "}
)  # fmt: skip
# Mathematics in plain text: `x**2`, `4*pi`, `sqrt(3)`, `x != 2`.
_PLAIN_SIGNS = {"**": "^", "*": r"\cdot ", "<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "pi": r"\pi "}
_PLAIN = re.compile(r"\*\*|\*|<=|>=|(?<=\s)!=|(?<![A-Za-z\\])pi(?![A-Za-z])|(?<![A-Za-z\\])sqrt\(([^()]*)\)")
_LONG_RELATION = re.compile(r"\\(ne|le|ge)q(?![A-Za-z])")
_MAX_PASSES = 10  # real answers need at most three


def canonical(answer: str) -> str:
    r"""Return the form used in closing sentences: without outer `$`, spacing, units, or `k=` before a number."""
    answer = _DOLLAR_COMMA.sub(", ", THIN_COMMA.sub(",", answer))
    plain = unicodedata.normalize("NFKC", expand_unicode(answer))
    plain = _SPACING.sub("", _BRACED_COMMA.sub(",", plain).strip().strip("$<>›*")).rstrip(".,;: \\")
    plain = UNIT.sub("", plain.strip()).strip()
    if (command := _TEXT_COMMAND.fullmatch(plain)) is not None:
        plain = command[1].strip()
    if (assignment := _ASSIGNMENT.fullmatch(plain)) is not None and normalize_number(assignment[1]) is not None:
        plain = assignment[1]
    return _plain_number(plain) or plain


def tidy(answer: str) -> str:
    """Return the form used in comparisons: canonical, without degree, percent and dollar signs.

    The result is empty if nothing is left, or if the answer is longer than `MAX_LENGTH`.
    """
    return _tidy_cached(answer) if len(answer) <= MAX_LENGTH else ""


@lru_cache(CACHE_SIZE)
def _tidy_cached(answer: str) -> str:
    for _ in range(_MAX_PASSES):  # removing one thing may expose the next; the result must be a fixed point
        tidied = _tidy_once(answer)
        if tidied == answer:
            return tidied if len(tidied) <= MAX_LENGTH else ""
        answer = tidied
    return ""


def _tidy_once(answer: str) -> str:
    if _TRIGONOMETRIC.search(answer):
        answer = _ANGLE.sub(r"(\1\\cdot\\frac{\\pi}{180})", answer)
    plain = _UNIT_SIGNS.sub(lambda sign: ", " if sign["list"] else "", canonical(answer))
    plain = _FRACTION.sub(r"\\frac", plain).translate(_UNICODE)
    plain = _PLAIN.sub(lambda sign: rf"\sqrt{{{sign[1]}}}" if sign[1] else _PLAIN_SIGNS.get(sign[0], sign[0]), plain)
    plain = _LONG_RELATION.sub(r"\\\1", _REPEATING.sub(_repeating_decimal, plain))
    plain = _TEXT_COMMAND.sub(r"\1", UNIT.sub("", plain.strip()))
    plain = _SHORT_ROOT.sub(lambda root: rf"\sqrt{{{root[1] or root[2]}}}", plain)
    plain = _SHORT_FRACTION.sub(lambda part: rf"\frac{{{part[1]}}}" + f"{{{part[2]}}}" * bool(part[2]), plain).strip()
    if (number := _plain_number(plain)) is not None and "/" not in number:
        return number
    if (slash := _SLASH.fullmatch(plain)) is not None:
        return rf"{slash[1]}\frac{{{slash[2]}}}{{{slash[3]}}}"
    if plain.endswith("}") and len(re.findall(r"(?<!\\)\}", plain)) > len(re.findall(r"(?<!\\)\{", plain)):
        plain = plain[:-1]
    return re.sub(r"\s+", " ", plain)


def _repeating_decimal(decimal: re.Match[str]) -> str:
    sign, whole, fixed, period = decimal.groups()
    value = int((whole + fixed + period) or 0) - int((whole + fixed) or 0)
    return rf"{sign}\frac{{{value}}}{{{10 ** len(fixed) * (10 ** len(period) - 1)}}}"


def _plain_number(plain: str) -> str | None:
    return None if "\\" in plain else normalize_number(plain)  # `\\frac{2}{4}` is not reduced
