"""LaTeX answers: how to find them in a text, clean them, and compare them.

>>> last_boxed(r"so $m = 3$ and $\\boxed{\\frac{1}{2}}$."), tidy(r"$\\dfrac12$.")
('\\\\frac{1}{2}', '\\\\frac{1}{2}')

Equal tidy forms are equivalent, and different plain numbers are not. math-verify compares everything else in a
separate process with a time limit (`latex_judge.py`), because some LaTeX takes forever to evaluate.
"""

import re
import unicodedata
from collections import deque
from fractions import Fraction
from functools import lru_cache

from .latex_judge import Verdict, judge
from .numbers import expand_unicode, normalize_number, number_value


MAX_LENGTH = 300  # characters; longer text is not an answer
CACHE_SIZE = 20_000  # answers, and pairs of answers, of up to `MAX_LENGTH` characters: less than 100 MB

_DELIMITERS = {"$$": "$$", "$": "$", r"\[": r"\]", r"\(": r"\)"}
_EXPRESSION_END = re.compile(r"[.!?](?=\s|$)|\n|</|\\n")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
# "$5 and $7" contains prices, not a formula. The limit (`MAX_LENGTH`) bounds the search for a missing delimiter.
_FORMULA = re.compile(
    r"\\\((.{1,300}?)\\\)|\\\[(.{1,300}?)\\\]|\$\$([^$]{1,300})\$\$|\$(?![\s$])([^$]{1,300})(?<!\s)\$(?!\d)", re.DOTALL
)
_RELATION = re.compile(r"\\(?:approx|to|(?:Long)?rightarrow|(?:Long)?Rightarrow|implies)(?![A-Za-z])")
_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_THIN_COMMA = re.compile(r",[\u202f\u2009\xa0]")  # "11,\u202f880"
_SPACING = re.compile(r"\\left\b|\\right\b|\\[!,;:]|\\ |~|\\displaystyle")
_UNIT_SIGNS = re.compile(r"\\?\(degrees?\)|\^\s*\\circ\b|(?<=\d)\\circ\b|\^\s*\{\\circ\}|°|\\?%|\\\$|\$|\\[\[\]()]")
_UNIT = re.compile(
    r"(?<=[\d})])(?:\s*\\(?:text|mbox|mathrm|textnormal)\s*\{[^{}]*(?:\}|\Z)|\s*[A-Za-z]{2,}(?:[\s.]+[A-Za-z]{2,})*[\s.]*)"
    r"(?:\^\{?\d\}?)?$"
)
_TEXT_COMMAND = re.compile(r"\\(?:text|mbox|mathrm|textbf|textnormal)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]frac")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
_SLASH = re.compile(r"(-?)(\d+)\s*/\s*(\d+)")
_ASSIGNMENT = re.compile(r"[A-Za-z]\s*=\s*(.+)")
_SPACE = re.compile(r"\s")
_NUMBER_BASE = re.compile(r"(?<=\d)_\{?(\d+)\}?")
_ADVERB = re.compile(r"(?:therefore|thus|then|just|simply|equal to)\s+")
_ARTICLE = re.compile(r"(?:an?|the)\s")
_PLACEHOLDER = re.compile(r"correct|un(?:known|clear)", re.IGNORECASE)  # "Let's assume the answer is correct."
_TERM = re.compile(r"(.*[\d}])([A-Za-z])")  # "2s", but not "2 m", where m is a unit
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_MAX_PASSES = 10  # real answers need at most three
_MAX_WORDS = 2  # "October 30", "square inches"; more words are prose


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{…}` outside drawings, with balanced braces, or None."""
    text = strip_drawings(text)
    boxes = list(_BOXED.finditer(text))
    return _balanced_prefix(text[boxes[-1].end() :]) if boxes else None


def strip_drawings(text: str) -> str:
    """Remove Asymptote drawings (`[asy]…[/asy]`), which MATH contains, from a text."""
    return _DRAWING.sub("", text)


def last_formula(text: str) -> tuple[int, int, str | None] | None:
    """Return the start, the end and the answer of the last formula (`$…$`, `\\(…\\)`) in `text`."""
    formulas = deque(_FORMULA.finditer(text), maxlen=1)
    for formula in formulas:
        side = _RELATION.split(formula[formula.lastindex or 0])[-1]
        return formula.start(), formula.end(), answer_in_expression(side.strip().rstrip(".,\\ "))
    return None


def leading_expression(text: str) -> tuple[str, str]:
    """Split `text` (what follows "The answer is") into its leading expression and the rest.

    The expression ends at its closing delimiter, or at the end of the line or sentence.
    """
    opener = next((opener for opener in _DELIMITERS if text.startswith(opener)), None)
    if (boxed := _BOXED.match(text)) is not None:
        expression = _balanced_prefix(text[boxed.end() :]) or ""
        return expression, text[boxed.end() + len(expression) + 1 :]
    if opener is not None:
        expression, _, rest = text[len(opener) :].partition(_DELIMITERS[opener])
        return expression, rest
    expression, *parts = _EXPRESSION_END.split(text, maxsplit=1)
    return expression, "".join(parts)


def answer_in_expression(expression: str) -> str | None:
    """Return the tidy answer of an expression: the last side of a chain of equations, or None if it is prose."""
    inner = last_boxed(expression)
    side = _last_side(expression if inner is None else inner)
    answer = tidy(_ADVERB.sub("", side.rpartition(", or ")[2].strip()[: MAX_LENGTH + 1]))
    is_prose = _ARTICLE.match(answer) is not None or len(_PLAIN_WORD.findall(answer)) > _MAX_WORDS
    return None if is_prose or not answer or _PLACEHOLDER.fullmatch(answer) else answer


def canonical(answer: str) -> str:
    r"""Return the form used in closing sentences: without outer `$`, spacing, units, or `k=` before a number."""
    plain = unicodedata.normalize("NFKC", expand_unicode(_THIN_COMMA.sub(",", answer)))
    plain = plain.strip().strip("$<>›*").rstrip(".,;: ")
    plain = _UNIT.sub("", _SPACING.sub("", plain).replace("{,}", ",").strip()).strip()
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
    plain = _FRACTION.sub(r"\\frac", _UNIT_SIGNS.sub("", canonical(answer))).replace("⁄", "/").replace("−", "-")
    plain = _TEXT_COMMAND.sub(r"\1", _UNIT.sub("", plain.strip()))
    plain = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", re.sub(r"√(\d+)", r"\\sqrt{\1}", plain)).strip()
    if (number := _plain_number(plain)) is not None and "/" not in number:
        return number
    if (slash := _SLASH.fullmatch(plain)) is not None:
        return rf"{slash[1]}\frac{{{slash[2]}}}{{{slash[3]}}}"
    return re.sub(r"\s+", " ", plain)


def equivalent(a: str, b: str) -> bool:
    """Whether two LaTeX answers are the same. A comparison that times out counts as different."""
    return verdict(a, b) == "same"


def verdict(a: str, b: str) -> Verdict:
    """Compare two LaTeX answers: `same`, `other`, or `timeout` if the judge exceeded its time or memory limit.

    The order of several values (`1,2`) and of sets does not matter, because MATH asks for all solutions, separated by
    commas. The order in points, tuples and intervals matters. A number base is part of its number (`3120_4` is not
    `3120`). Ratios are compared literally (`22:4` is not `11:2`), because the questions ask for lowest terms.

    Verdicts are cached. This includes timeouts, because the limit is CPU time and the same pair would exceed it again.
    A pair that only exceeded the wall-clock limit on a busy machine is compared again at the next call.
    """
    try:
        return _cached_verdict(tidy(a), tidy(b))
    except TimeoutError:
        return "timeout"


@lru_cache(CACHE_SIZE)
def _cached_verdict(a: str, b: str) -> Verdict:
    terms = _parse_term(a), _parse_term(b)
    if None not in terms:
        return "same" if terms[0] == terms[1] else "other"
    first, second = (_SPACE.sub("", side) for side in (a, b))
    if first == second or not (first and second):
        return "same" if first == second != "" else "other"
    if _NUMBER_BASE.findall(first) != _NUMBER_BASE.findall(second) or (":" in first and ":" in second):
        return "other"
    return judge(a, b)


def _plain_number(plain: str) -> str | None:
    return None if "\\" in plain else normalize_number(plain)  # `\\frac{2}{4}` is not reduced


def _parse_term(side: str) -> tuple[Fraction, str] | None:
    """Parse a number with an optional variable (`2s`, `7m`): math-verify treats some letters as units."""
    number, letter = term.groups() if (term := _TERM.fullmatch(side)) else (side, "")
    value = number_value(number)
    return None if value is None else (value, letter)


def _last_side(expression: str) -> str:
    r"""Return what follows the last `=` of a chain of equations, except one inside braces (`\sum_{k=0}`)."""
    depth = 0
    for position in range(len(expression) - 1, -1, -1):
        depth += (expression[position] == "}") - (expression[position] == "{")
        if expression[position] == "=" and depth == 0:
            return expression[position + 1 :]
    return expression


def _balanced_prefix(text: str) -> str | None:
    """Return the text before the brace that closes the group `text` starts in, or None if it stays open."""
    depth = 1
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:position]
    return None
